"""Passwords in addresses, hidden wherever an address is told: messages, logs, events, mistakes in settings."""

from __future__ import annotations

import re

#: What stands for a password.
HIDDEN = "***"
#: How to write what an address cannot hold, for messages.
ENCODED = "write @ as %40, / as %2F, # as %23, ? as %3F, : as %3A, [ as %5B, ] as %5D, % as %25 and a space as %20"
# greedy: a password may hold anything, an @, a slash or a second '://' too, so the last @ of a line ends it
_CREDENTIALS = re.compile(r"(?<=\w://)(?P<user>[^\s/?#:@\[\]]*)(?P<rest>.*)@")
_PARAMETER = re.compile(r"(?P<name>(?:pass(?:word|wd|phrase)?|pwd|token|secret|api_?key)=)[^&\s]+", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """A text in which addresses keep their user and lose their password: ``rtsp://user:***@host``.

    It sees no difference between a password that is written as it should be and one with a raw ``@``, ``/``, ``#``,
    ``?``, space or ``://``. So it rather hides too much: in a line all from the first address's user to the last ``@``.
    What follows ``password=``, ``token=`` and the like is hidden too: some cameras take it in the path or the query.

    Args:
        text: any text with addresses in it. A line break is never part of an address.
    """
    return _PARAMETER.sub(rf"\g<name>{HIDDEN}", _CREDENTIALS.sub(_hide, text))


def address_shown(address: str) -> str:
    """An address as messages show it: scheme, host, port and path; nothing that can hold a secret.

    Args:
        address: as it was written, which may be wrongly.
    """
    scheme, separator, rest = address.partition("://") if "://" in address else ("", "", address)
    rest = re.split(r"[?#]", rest.rpartition("@")[2], maxsplit=1)[0]
    authority, slash, path = rest.partition("/")
    host, colon, port = authority.rpartition(":")
    if colon and not port.isdecimal() and not port.endswith("]"):
        authority = host  # no port, so perhaps a password whose host was forgotten
    return without_passwords(f"{scheme}{separator}{authority}{slash}{path}")


def _hide(found: re.Match[str]) -> str:
    # a user without a password is often a token
    return f"{found['user']}:{HIDDEN}@" if found["rest"].startswith(":") else f"{HIDDEN}@"
