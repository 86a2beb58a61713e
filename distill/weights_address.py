"""Addresses of weights, as a recipe may give them."""

from __future__ import annotations

import ipaddress
import urllib.parse

_SUFFIXES = (".pdparams", ".safetensors")


def is_address(weights: str) -> bool:
    """Whether a recipe's ``weights`` are an address rather than a file."""
    return "://" in weights


def check_address(url: str) -> None:
    """Refuse addresses that would not be fetched.

    Raises:
        ValueError: saying what is accepted instead.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"'{url}' is no address ({error})") from error
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"'{url}' could be changed on its way; give the same address with https://")
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"'{url}' is neither a file nor an address that begins with https://")
    if parts.username or parts.password:
        raise ValueError("an address with a password in it would be stored with the run; fetch the file and name it")
    if parts.query or parts.fragment:
        # the same of a signed query: it would stand in the run and in every bundle made of it
        raise ValueError("an address goes without '?' and '#'; fetch the file and name it, or give its plain address")
    if not parts.path.endswith(_SUFFIXES):
        raise ValueError(f"'{url}' must end in {' or '.join(_SUFFIXES)}")


def is_loopback(host: str | None) -> bool:
    """Whether a host is this very machine, so that nobody stands between."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
