"""Where a line's verdicts go beyond the device, in ``line.yml``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from ...core.settings.section import Section
from ..publish.settings import is_loopback

#: A name or an address; not an address of the web, in which a password may stand.
_HOST = re.compile(r"[^\s/@?#\[\]]+")
Port = Annotated[int, Field(ge=1, le=65_535)]
Positive = Annotated[float, Field(gt=0, le=1e6)]


class MqttSection(Section):
    """An MQTT broker."""

    host: str = Field("127.0.0.1", min_length=1, max_length=253, description="name or address of the broker")
    port: Port = Field(1883, description="8883 is usual with TLS")
    topic: str = Field("temper", min_length=1, max_length=200, description="what topics begin with, before the line")
    username: str | None = Field(None, max_length=200, description="of the broker's account")
    password_file: str | None = Field(None, description="holds the password, nothing else")
    tls: bool = Field(False, description="whether the connection is encrypted")
    ca: str | None = Field(None, description="certificates of the authorities to trust; the system's")
    certificate: str | None = Field(None, description="of this client")
    key: str | None = Field(None, description="of this client's certificate")
    allow_plain: bool = Field(False, description="whether the password may go beyond this machine without tls")
    keepalive_seconds: int = Field(15, ge=2, le=3600, description="after which the broker counts the line as gone")

    @model_validator(mode="after")
    def _hides_the_password(self) -> MqttSection:
        if self.password_file is not None and not (self.tls or self.allow_plain or is_loopback(self.host)):
            raise ValueError(
                "the broker is beyond this machine, and its password would go there plain; set tls, or allow_plain"
            )
        return self

    @field_validator("topic")
    @classmethod
    def _is_a_topic(cls, topic: str) -> str:
        if "+" in topic or "#" in topic or topic.startswith("$") or not topic.isprintable():
            raise ValueError("messages go to one topic, so there is no + or # in it, nor a $ at its beginning")
        return topic

    @field_validator("host")
    @classmethod
    def _is_a_host(cls, host: str) -> str:
        if not _HOST.fullmatch(host):
            raise ValueError("a host is a name or an address alone; port, username and password_file are fields")
        return host


class WebhookSection(Section):
    """An HTTP address that verdicts are posted to."""

    url: str = Field(min_length=1, max_length=2000, description="https://…")
    secret_file: str | None = Field(None, description="holds the key that bodies are signed with")
    timeout_seconds: Positive = Field(10.0, description="that an answer may take")
    batch: int = Field(100, ge=1, le=10_000, description="most messages in one request")
    allow_http: bool = Field(False, description="whether an address beyond this machine may be without TLS")


class PlantSection(Section):
    """The plant's PostgreSQL database, for many lines."""

    url: str = Field(min_length=1, max_length=2000, description="postgresql://user@host/database")
    password_file: str | None = Field(None, description="holds the password, nothing else")


class MetricsSection(Section):
    """Prometheus metrics and the health endpoint."""

    address: str = Field("127.0.0.1", min_length=1, max_length=253, description="0.0.0.0 for other machines to read")
    port: Port = Field(9469, description="of /metrics, /health and /ready")
