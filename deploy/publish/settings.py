"""Where messages go, as plain values; ``line.yml`` fills them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from ...core.errors import UsageError


@dataclass(frozen=True)
class Secret:
    """Where a password or a key is; it is read when it is needed, and never kept in settings or logs.

    Attributes:
        file: holds it, nothing else; a line break at the end is not part of it.
        variable: the environment variable that holds it, where there is no file.
    """

    file: Path | None = None
    variable: str | None = None

    def read(self, purpose: str) -> str | None:
        """The secret; None if none is asked for.

        Args:
            purpose: what it is of, for messages.

        Raises:
            UsageError: if the file cannot be read, the variable is not set, or there is nothing in it.
        """
        if self.file is not None:
            try:
                value = self.file.read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                raise UsageError(
                    f"{purpose} cannot be read from {self.file}: {why}. Give a file that holds it."
                ) from error
            place = f"the file {self.file}"
        elif self.variable is not None:
            value, place = os.environ.get(self.variable, ""), f"the environment variable {self.variable}"
        else:
            return None
        if not value:
            raise UsageError(f"{purpose} is not in {place}: there is nothing in it. Put it there.")
        return value


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own, so that nobody else hears what goes there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True)
class Backoff:
    """How long is waited between tries, in seconds; every wait is made up to a quarter shorter by chance.

    Attributes:
        first: after the first failure; it doubles from there.
        most: and does not grow beyond this.
        slow: after a refusal, which waiting alone does not mend.
    """

    first: float = 0.5
    most: float = 30.0
    slow: float = 60.0


@dataclass(frozen=True)
class MqttSettings:
    """An MQTT broker.

    Attributes:
        host: name or address.
        port: 1883 is usual, 8883 with TLS.
        topic: what topics begin with, before the line.
        username: of the account; None for none.
        password: of the account.
        tls: whether the connection is encrypted.
        ca: certificates of the authorities to trust; None for the system's.
        certificate: of this client; None for none.
        key: of this client's certificate.
        allow_plain: whether a password may go beyond this machine without TLS.
        keepalive_seconds: after which the broker counts a silent line as gone.
        window: most messages on their way without an acknowledgement; the broker may ask for fewer.
        timeout_seconds: that a connection, or the acknowledgement of a message, may take.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    topic: str = "temper"
    username: str | None = None
    password: Secret = Secret()
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    allow_plain: bool = False
    keepalive_seconds: int = 15
    window: int = 100
    timeout_seconds: float = 10.0


@dataclass(frozen=True)
class WebhookSettings:
    """An HTTP address that messages are posted to.

    Attributes:
        url: where to.
        secret: the key that bodies are signed with; unsigned without.
        timeout_seconds: that an answer may take.
        batch: most messages in one request.
        allow_http: whether an address beyond this machine may be without TLS.
        ca: certificates of the authorities to trust; None for the usual ones.
    """

    url: str
    secret: Secret = Secret()
    timeout_seconds: float = 10.0
    batch: int = 100
    allow_http: bool = False
    ca: Path | None = None


@dataclass(frozen=True)
class PlantSettings:
    """The plant's PostgreSQL database.

    Attributes:
        url: ``postgresql://user@host/database``.
        password: of the user; it may be in the URL too.
        timeout_seconds: that connecting, or one statement, may take.
    """

    url: str
    password: Secret = Secret()
    timeout_seconds: float = 10.0


@dataclass(frozen=True)
class MetricsSettings:
    """Prometheus metrics and health.

    Attributes:
        address: to listen on; other machines reach only what is not loopback.
        port: of /metrics, /health and /ready; 0 for a free one.
    """

    address: str = "127.0.0.1"
    port: int = 9469


@dataclass(frozen=True)
class PublishSettings:
    """Everywhere that a line's messages go; None where they do not.

    Attributes:
        line: name of the line.
        mqtt: a broker.
        webhook: an HTTP address.
        plant: the plant's database.
        backoff: between tries, for all of them.
    """

    line: str
    mqtt: MqttSettings | None = None
    webhook: WebhookSettings | None = None
    plant: PlantSettings | None = None
    backoff: Backoff = field(default_factory=Backoff)
