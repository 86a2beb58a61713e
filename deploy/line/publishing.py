"""The part of the service that tells: MQTT, webhook, the plant's database, metrics. A thread for each, one process."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from ...core.events import Event
from ..publish.metrics import MetricsServer, MetricsSink, Vitals
from ..publish.settings import MetricsSettings, MqttSettings, PlantSettings, PublishSettings, Secret, WebhookSettings
from ..publish.sink import Forwarder, Sink
from ..publish.sinks import make_sinks
from ..results.events import EventLog
from ..results.schema import STORE_NAME
from ..supervision.board import Board
from ..supervision.part import Context
from .config import LineConfig

log = logging.getLogger("temper.publishing")


def sinks_of(config: LineConfig) -> tuple[str, ...]:
    """Names of the sinks that a line has."""
    there = {"mqtt": config.mqtt, "webhook": config.webhook, "plant": config.plant, "metrics": config.metrics}
    return tuple(name for name, section in there.items() if section is not None)


def beats_of(config: LineConfig) -> tuple[str, ...]:
    """The signs of life that this part gives."""
    return tuple(f"sink {name}" for name in sinks_of(config))


def publish_settings(config: LineConfig) -> PublishSettings:
    """What ``line.yml`` says, as the sinks take it."""
    mqtt = webhook = plant = None
    if (one := config.mqtt) is not None:
        files: dict[str, Any] = {
            name: Path(value) if value else None for name, value in one.model_dump(include=_FILES).items()
        }
        plain = one.model_dump(exclude={*_FILES, "password_file"})
        mqtt = MqttSettings(**plain, **files, password=_secret(one.password_file))
    if (hook := config.webhook) is not None:
        webhook = WebhookSettings(**hook.model_dump(exclude={"secret_file"}), secret=_secret(hook.secret_file))
    if (database := config.plant) is not None:
        plant = PlantSettings(database.url, _secret(database.password_file))
    return PublishSettings(config.line, mqtt, webhook, plant)


_FILES = {"ca", "certificate", "key"}


def run(context: Context, config: dict[str, Any], board: str, wake: int | None) -> None:
    """Forward until it is asked to stop, and then what still waits.

    Args:
        context: of the supervisor.
        config: a :class:`LineConfig` as plain values.
        board: path of the service's board, for metrics and health.
        wake: file descriptor that is written to when something was stored; None looks again and again.

    Raises:
        TemperError: if a library is missing, or a port is taken.
    """
    import json

    line = LineConfig.model_validate_json(json.dumps(config))
    store = Path(line.results.folder) / STORE_NAME
    with contextlib.ExitStack() as stack:
        events = stack.enter_context(EventLog(store, wake))
        sinks: list[Sink] = [*make_sinks(publish_settings(line), store)]
        forwarders: list[Forwarder] = []
        if line.metrics is not None:
            watcher = _Watcher(Board(Path(board)), store.parent, forwarders)
            counted = MetricsSink(line.line, watcher.vitals())
            server = MetricsServer(counted, MetricsSettings(line.metrics.address, line.metrics.port))
            stack.enter_context(server)
            sinks.append(counted)
            log.info("metrics and health on http://%s:%d", line.metrics.address, server.port)
        forwarders += [Forwarder(sink, events, report=_report) for sink in sinks]
        threads = [
            threading.Thread(target=_forward, args=(forwarder, sink.name, context), name=sink.name, daemon=True)
            for forwarder, sink in zip(forwarders, sinks, strict=True)
        ]
        for thread in threads:
            thread.start()
        context.ready()
        for thread in threads:
            thread.join()


def _forward(forwarder: Forwarder, name: str, context: Context) -> None:
    forwarder.run(context.stop, lambda: context.beat(f"sink {name}"))


class _Watcher:
    """What the metrics tell beside the messages, read from the board."""

    def __init__(self, board: Board, folder: Path, forwarders: Sequence[Forwarder]) -> None:
        self._board, self._folder, self._forwarders = board, folder, forwarders

    def vitals(self) -> Vitals:
        return Vitals(
            ages=self._ages,
            memory=self._memory,
            disk_free=lambda: {str(self._folder): float(shutil.disk_usage(self._folder).free)},
            progress=lambda: [forwarder.progress for forwarder in self._forwarders],
            troubles=self._troubles,
            waiting=self._waiting,
        )

    def _ages(self) -> Mapping[str, float]:
        ages = {name: self._board.age(name) for name in self._board.names if _is_beat(name)}
        return {name: age for name, age in ages.items() if age is not None}

    def _memory(self) -> Mapping[str, float]:
        with contextlib.suppress(psutil.Error):
            parent = psutil.Process().parent()
            if parent is not None:
                return {str(child.pid): float(child.memory_info().rss) for child in (parent, *parent.children())}
        return {}

    def _troubles(self) -> Sequence[str]:
        found = []
        limit = self._board.get("hang seconds") or 10.0
        for name, age in self._ages().items():
            if age > limit:
                found.append(f"{name} gave no sign of life for {age:.0f} s.")
        if self._board.get("store failing"):
            found.append("Verdicts cannot be stored.")
        return found

    def _waiting(self) -> Sequence[str]:
        return [] if self._board.get("inspection ready") is not None else ["The inspection is not at work yet."]


def _is_beat(name: str) -> bool:
    return (
        name == "supervisor" or name.startswith(("camera ", "sink ")) or name in ("prepare", "infer", "judge", "store")
    )


def _secret(file: str | None) -> Secret:
    return Secret(Path(file) if file else None)


def _report(event: Event) -> None:
    (log.warning if event.kind == "warning" else log.info)("%s: %s", event.stage, event.data.get("message", ""))
