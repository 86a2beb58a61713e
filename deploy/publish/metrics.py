"""Prometheus metrics, counted from the event log, and whether the line is alive and ready, on one port."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import MissingDependencyError, install_hint
from ..results.message import Message, last_of
from .health import Answer, StatusServer, state_answer
from .settings import MetricsSettings
from .sink import Progress

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

#: Upper edges of the latency histogram, seconds.
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)
#: The stage of the histogram that is from exposure to verdict; the others are those of a call (``deploy/stages.py``).
WHOLE = "exposure_to_verdict"
BATCH = 2000


def _nothing() -> dict[str, float]:
    return {}


def _no_troubles() -> Sequence[str]:
    return ()


def _no_progress() -> Sequence[Progress]:
    return ()


@dataclass(frozen=True)
class Vitals:
    """Where the metrics get what no message tells, asked at every request; by several threads.

    Attributes:
        ages: seconds since each part's last heartbeat, by its name.
        memory: resident memory in bytes, by process.
        disk_free: free bytes, by folder.
        progress: of the forwarders.
        troubles: why the line is not alive, one sentence each; none if it is.
        waiting: why it is not ready yet, one sentence each; none if it is.
    """

    ages: Callable[[], Mapping[str, float]] = _nothing
    memory: Callable[[], Mapping[str, float]] = _nothing
    disk_free: Callable[[], Mapping[str, float]] = _nothing
    progress: Callable[[], Sequence[Progress]] = _no_progress
    troubles: Callable[[], Sequence[str]] = _no_troubles
    waiting: Callable[[], Sequence[str]] = _no_troubles


class MetricsSink:
    """Counts messages; a sink like the others, so that every message is counted in its turn.

    Counters begin at 0 with each start of the process, as Prometheus expects them to, and what the last one had not
    counted yet is counted by this one.

    Args:
        line: name of the line, a label of every metric.
        vitals: what no message tells.

    Raises:
        MissingDependencyError: if prometheus_client is not installed.
    """

    name = "metrics"
    target = "The metrics"
    batch = BATCH
    patience = 10.0
    linger = 0.5
    undeliverable = 0
    complaint: str | None = None

    def __init__(self, line: str, vitals: Vitals | None = None) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        except ImportError as error:
            raise MissingDependencyError(
                "Metrics need prometheus-client, which is not installed. " + install_hint("plant")
            ) from error
        self.registry: CollectorRegistry = CollectorRegistry()
        self.vitals = vitals or Vitals()
        self._line = line
        self._open_gaps: set[tuple[str, int]] = set()

        def named(kind: Any, name: str, says: str, *labels: str, **more: Any) -> Any:
            return kind(f"temper_{name}", says, ["line", *labels], registry=self.registry, **more)

        self._frames = named(Counter, "frames", "Frames by verdict and cause.", "camera", "verdict", "cause")
        self._dropped = named(Counter, "frames_dropped", "Frames given up under overload.", "camera")
        self._defects = named(Counter, "defects", "Defects of the strip.", "label", "severity")
        self._gaps = named(Counter, "gaps", "Times in which a camera gave nothing.", "camera")
        self._gap_frames = named(Counter, "gap_frames", "Frames that cameras counted in gaps.", "camera")
        self._gap_metres = named(Counter, "gap_metres", "Strip that passed in gaps, metres.", "camera")
        self._connected = named(Gauge, "camera_connected", "1 while a camera is connected.", "camera")
        self._latency = named(
            Histogram, "latency_seconds", "Time of a frame by stage.", "camera", "stage", buckets=BUCKETS
        )
        self.registry.register(_Readings(line, self.vitals))

    def open(self) -> None:
        """Nothing to open."""

    def check(self) -> None:
        """Always there."""

    def close(self) -> None:
        """Nothing to close."""

    def send(self, messages: Sequence[Message]) -> int:
        """Count messages."""
        for message in messages:
            self._COUNT[message.kind](self, message.payload)
        return last_of(messages)

    def _frame(self, told: dict[str, Any]) -> None:
        camera = told["camera"]
        self._frames.labels(self._line, camera, told["verdict"], told["cause"] or "").inc()
        if told["cause"] == "dropped":
            self._dropped.labels(self._line, camera).inc()
        stages = {stage: value for stage, value in told["stages_ms"].items() if value is not None}
        if told["latency_ms"] is not None:
            stages[WHOLE] = told["latency_ms"]
        for stage, milliseconds in stages.items():
            self._latency.labels(self._line, camera, stage).observe(milliseconds / 1000)

    def _gap(self, told: dict[str, Any]) -> None:
        camera, gap = told["camera"], (told["run"], told["number"])
        if gap not in self._open_gaps:  # counted when it begins
            self._gaps.labels(self._line, camera).inc()
        if told["state"] == "open":
            self._open_gaps.add(gap)
        else:
            self._open_gaps.discard(gap)
        self._gap_frames.labels(self._line, camera).inc(max(0, told["frames"] or 0))
        self._gap_metres.labels(self._line, camera).inc(max(0.0, told["length_m"] or 0.0))

    def _defect(self, told: dict[str, Any]) -> None:
        self._defects.labels(self._line, told["label"], told["severity"]).inc()

    def _notice(self, told: dict[str, Any]) -> None:
        self._connected.labels(self._line, told["camera"]).set(told["state"] == "connected")

    _COUNT = {"frame": _frame, "gap": _gap, "defect": _defect, "notice": _notice}  # noqa: RUF012


class _Readings:
    """What is read at the moment of a request."""

    def __init__(self, line: str, vitals: Vitals) -> None:
        self._line, self._vitals = line, vitals

    def collect(self) -> Iterable[Metric]:
        """The gauges and counters, as prometheus_client asks for them."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for name, says, label, values in (
            ("heartbeat_age_seconds", "Time since the last heartbeat.", "part", self._vitals.ages()),
            ("resident_memory_bytes", "Resident memory.", "process", self._vitals.memory()),
            ("disk_free_bytes", "Free space.", "folder", self._vitals.disk_free()),
        ):
            gauge = GaugeMetricFamily(f"temper_{name}", says, labels=["line", label])
            for key, value in values.items():
                gauge.add_metric([self._line, key], value)
            yield gauge
        labels = ["line", "sink"]
        sent = CounterMetricFamily("temper_sink_sent", "Messages acknowledged.", labels=labels)
        given_up = CounterMetricFamily("temper_sink_undeliverable", "Messages too large for it.", labels=labels)
        retried = CounterMetricFamily("temper_sink_retried", "Tries that failed.", labels=labels)
        behind = GaugeMetricFamily("temper_sink_behind", "Messages that wait.", labels=labels)
        failing = GaugeMetricFamily("temper_sink_failing", "1 while nothing goes out.", labels=labels)
        for progress in self._vitals.progress():
            whose = [self._line, progress.sink]
            sent.add_metric(whose, progress.sent)
            given_up.add_metric(whose, progress.undeliverable)
            retried.add_metric(whose, progress.retried)
            behind.add_metric(whose, progress.behind)
            failing.add_metric(whose, float(progress.trouble is not None))
        yield from (sent, given_up, retried, behind, failing)


class MetricsServer(StatusServer):
    """Serves ``/metrics``, ``/health`` and ``/ready``; use it as a context manager.

    ``/health`` answers 200 while the line is alive and 503 with the reasons when it is not, ``/ready`` likewise for
    readiness. Beyond loopback it is reached only where the settings say so.

    Args:
        sink: has counted what there is to tell.
        settings: where to listen.

    Raises:
        TemperError: if the port is taken, or the address is not of this machine.
    """

    def __init__(self, sink: MetricsSink, settings: MetricsSettings) -> None:
        def metrics() -> Answer:
            from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

            return Answer(200, generate_latest(sink.registry), CONTENT_TYPE_LATEST)

        vitals = sink.vitals
        pages = {
            "/metrics": metrics,
            "/health": lambda: state_answer("alive", vitals.troubles(), heartbeat_ages=_finite(vitals.ages())),
            "/ready": lambda: state_answer("ready", [*vitals.troubles(), *vitals.waiting()]),
        }
        super().__init__(pages, settings)


def _finite(ages: Mapping[str, float]) -> dict[str, float | None]:
    """Ages that JSON can say: null for a part that has never beaten."""
    return {name: round(age, 3) if math.isfinite(age) else None for name, age in ages.items()}
