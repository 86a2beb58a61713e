"""Everywhere that a line's messages go, made from its settings."""

from __future__ import annotations

from pathlib import Path

from .mqtt import MqttSink
from .plant import PlantSink
from .settings import PublishSettings
from .sink import Sink
from .webhook import WebhookSink


def make_sinks(settings: PublishSettings, store: Path) -> list[Sink]:
    """The sinks that settings ask for; none is opened yet. The metrics are made by whoever has the vitals.

    Args:
        settings: of the line.
        store: the SQLite file that the event log is in.

    Raises:
        MissingDependencyError: if the library of one is not installed.
        UsageError: if settings of one cannot be right.
    """
    sinks: list[Sink] = []
    if settings.mqtt is not None:
        sinks.append(MqttSink(settings.mqtt, settings.line))
    if settings.webhook is not None:
        sinks.append(WebhookSink(settings.webhook, settings.line))
    if settings.plant is not None:
        sinks.append(PlantSink(settings.plant, settings.line, store))
    return sinks
