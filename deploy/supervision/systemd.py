"""Telling systemd how a service is: a datagram to the socket that it names (sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import socket

from ...core.passwords import without_passwords
from .log import in_one_line


def notify(*states: str, status: str | None = None) -> None:
    """Send states such as ``READY=1``; nothing where no systemd listens.

    Args:
        states: each a ``NAME=value``.
        status: what 'systemctl status' shows; lines in it become one, as each would count as a state.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    told = list(states) if status is None else [*states, f"STATUS={without_passwords(in_one_line(status))}"]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        # a systemd that does not take it now must not hold up who watches
        sender.setblocking(False)
        message = "\n".join(told).encode("utf-8", "replace")
        sender.sendto(message, f"\0{address[1:]}" if address.startswith("@") else address)
