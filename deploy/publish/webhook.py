"""Messages to an HTTP address: batches in order, signed."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...core.errors import MissingDependencyError, UsageError, install_hint
from ...core.passwords import ENCODED, address_shown
from ..results.message import Message
from .messages import SCHEMA, describe, encode
from .settings import WebhookSettings, is_loopback
from .sink import SinkAway, SinkRefused

if TYPE_CHECKING:
    from httpx import Client, Response

#: Seconds since 1970 at which the request was signed.
TIMESTAMP_HEADER = "X-Temper-Timestamp"
#: ``sha256=`` and the HMAC-SHA256 in hexadecimal of the timestamp, a full stop and the body.
SIGNATURE_HEADER = "X-Temper-Signature"


class WebhookSink:
    """Posts ``{"schema": 1, "line": ..., "messages": [...]}``; any answer of 2xx takes delivery of the whole batch.

    Args:
        settings: of the address.
        line: name of the line.

    Raises:
        MissingDependencyError: if httpx is not installed.
        UsageError: if the address is none, or beyond this machine without TLS.
    """

    name = "webhook"
    linger = 0.0
    undeliverable = 0
    complaint: str | None = None

    def __init__(self, settings: WebhookSettings, line: str) -> None:
        try:
            import httpx  # noqa: F401
        except ImportError as error:
            raise MissingDependencyError(
                "A webhook needs httpx, which is not installed. " + install_hint("plant")
            ) from error
        self._settings, self._line = settings, line
        self.target = f"The webhook {_checked(settings)}"
        self.batch = settings.batch
        # connecting, writing, and reading may each take the timeout
        self.patience = 4 * settings.timeout_seconds
        self._key: bytes | None = None
        self._client: Client | None = None

    def open(self) -> None:
        """Read the key; the connection is made with the first request.

        Raises:
            UsageError: if the key or the certificates cannot be read.
        """
        import ssl

        import httpx

        secret = self._settings.secret.read("The key that the webhook's requests are signed with")
        self._key = secret.encode() if secret is not None else None
        trust: ssl.SSLContext | bool = True
        if self._settings.ca is not None:
            try:
                trust = ssl.create_default_context(cafile=str(self._settings.ca))
            except OSError as error:
                raise UsageError(
                    f"The certificates to trust, {self._settings.ca}, cannot be used: {error}. Give a PEM file."
                ) from error
        self._client = httpx.Client(timeout=self._settings.timeout_seconds, verify=trust)

    def check(self) -> None:
        """Nothing is known between requests."""

    def send(self, messages: Sequence[Message]) -> int:
        """Post messages as one request, or as several smaller ones where it is too large for the other side.

        Returns:
            The ``event_id`` of the last one that was taken.

        Raises:
            SinkAway: if there is no answer, or one of 5xx, 408, 425 or 429.
            SinkRefused: if there is any other answer than 2xx.
        """
        answer = self._post(messages)
        while answer.status_code == 413 and len(messages) > 1:
            messages = messages[: len(messages) // 2]
            answer = self._post(messages)
        if answer.is_success:
            return messages[-1].event_id
        status = f"{answer.status_code} {answer.reason_phrase}".strip()
        if answer.status_code >= 500 or answer.status_code in (408, 425, 429):
            raise SinkAway(f"{self.target} answers {status}.", _retry_after(answer))
        raise SinkRefused(
            f"{self.target} refuses the message {messages[0].key} with {status}; it and all after it wait. "
            "Mend the address, the key or the receiver."
        )

    def _post(self, messages: Sequence[Message]) -> Response:
        import httpx

        if self._client is None:
            raise SinkAway(f"{self.target} is not open.")
        body = encode(
            {"schema": SCHEMA, "line": self._line, "messages": [describe(message, self._line) for message in messages]}
        )
        moment = str(int(time.time()))
        headers = {"Content-Type": "application/json", TIMESTAMP_HEADER: moment}
        if self._key is not None:
            headers[SIGNATURE_HEADER] = signature(self._key, moment, body)
        try:
            return self._client.post(self._settings.url, content=body, headers=headers)
        except httpx.TimeoutException as error:
            raise SinkAway(f"{self.target} does not answer within {self._settings.timeout_seconds:g} s.") from error
        except httpx.HTTPError as error:
            raise SinkAway(f"{self.target} cannot be reached: {error or type(error).__name__}.") from error

    def close(self) -> None:
        """Close the connection."""
        if (client := self._client) is not None:
            self._client = None
            client.close()


def signature(key: bytes, timestamp: str, body: bytes) -> str:
    """What stands in the header ``X-Temper-Signature``.

    Args:
        key: known to both sides.
        timestamp: what stands in ``X-Temper-Timestamp``; signed too, so that an old request cannot be sent again later.
        body: of the request.
    """
    return "sha256=" + hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _checked(settings: WebhookSettings) -> str:
    """The address without what may be secret in it: user, password and query.

    Raises:
        UsageError: if it is none, or not safe.
    """
    import httpx

    try:
        parts = urlsplit(settings.url)
        host, _ = parts.hostname, parts.port
        httpx.URL(settings.url)
    except (ValueError, httpx.InvalidURL):
        parts, host = urlsplit(""), None
    shown = address_shown(settings.url)
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(
            "The webhook's url is no address of the web. Give one such as https://plant.example/temper; in a password "
            f"{ENCODED}."
        )
    if parts.scheme == "http" and not settings.allow_http and not is_loopback(host):
        raise UsageError(
            f"The webhook {shown} is beyond this machine and without TLS. Give an https address, or set allow_http."
        )
    return shown


def _retry_after(answer: Response) -> float | None:
    """The seconds that the other side asks to be left alone for, where it says a number."""
    value = answer.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 7 else None
