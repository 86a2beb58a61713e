"""MLPerf's own LoadGen as the driver of single stream, multi stream and offline.

LoadGen decides when a query is issued and keeps the time of it, on its own clock. What it measured of every query is in
the trace it writes; its summary has but a few percentiles.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.errors import MissingDependencyError, TemperError
from ...deploy.stages import StageTimes
from .load import Call, Load, Turn, add_up, split

MODULE, PACKAGE = "mlperf_loadgen", "mlcommons-loadgen"
_SCENARIOS = {"single-stream": "SingleStream", "multi-stream": "MultiStream", "offline": "Offline"}
#: A line of the trace per sample (the file is no JSON where LoadGen quotes twice): when the query was due, in
#: microseconds from the start of the test, its number, and from there to the answer.
_SAMPLE = re.compile(r'"name":"Sample".*?"ts":([\d.]+),.*?"query_seq":(\d+),.*?"complete_ns":(\d+)')
_NS_PER_MS = 1e6


def loadgen_version() -> str | None:
    """The version of LoadGen that is installed; None if none is."""
    if importlib.util.find_spec(MODULE) is None:
        return None
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:  # built from its sources
        return "unknown"


def drive_loadgen(call: Call, load: Load, first: int = 0) -> Turn:
    """One turn, driven by LoadGen; the pictures come in the order it draws them.

    Args:
        call: the candidate.
        load: in any scenario but ``line``.
        first: offset of the numbers of the pictures.

    Raises:
        MissingDependencyError: if LoadGen is not installed.
        TemperError: if its trace does not have the queries that were answered.
    """
    loadgen = _import_loadgen()
    answered = _Answered(loadgen, call, load, first)
    with tempfile.TemporaryDirectory(prefix="temper-loadgen-") as folder:
        sut = loadgen.ConstructSUT(answered.issue, _nothing_to_flush)
        qsl = loadgen.ConstructQSL(load.pictures, load.pictures, _is_loaded, _is_loaded)
        try:
            loadgen.StartTestWithLogSettings(sut, qsl, _settings(loadgen, load), _log_settings(loadgen, folder))
        finally:
            loadgen.DestroyQSL(qsl)
            loadgen.DestroySUT(sut)
        if answered.fault is not None:
            raise answered.fault
        return answered.turn(Path(folder) / "mlperf_log_trace.json")


class _Answered:
    """The system under test, as LoadGen calls it: answers queries in LoadGen's thread and notes their stages."""

    def __init__(self, loadgen: Any, call: Call, load: Load, first: int) -> None:
        self._loadgen, self._call, self._load, self._first = loadgen, call, load, first
        self._calls: list[list[StageTimes]] = []  # of each query
        self._images = 0
        self.fault: Exception | None = None

    def issue(self, samples: Sequence[Any]) -> None:
        """Answer one query."""
        calls: list[StageTimes] = []
        self._calls.append(calls)
        for part in self._split(samples):
            try:
                if self.fault is None:
                    calls.append(self._call(self._pictures(part)))
            except Exception as error:  # it must not come past LoadGen's C++; raised when LoadGen has ended
                self.fault = error
            self._loadgen.QuerySamplesComplete([self._loadgen.QuerySampleResponse(one.id, 0, 0) for one in part])

    def turn(self, trace: Path) -> Turn:
        """What LoadGen measured, query by query, with the stages of each."""
        due_ms: dict[int, float] = {}
        latency_ms: dict[int, float] = {}
        with trace.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                found = _SAMPLE.search(line)
                if found:
                    query, latency = int(found[2]), int(found[3]) / _NS_PER_MS
                    due_ms[query] = float(found[1]) / 1000
                    latency_ms[query] = max(latency, latency_ms.get(query, 0.0))
        if len(due_ms) != len(self._calls):
            raise TemperError(
                f"LoadGen's trace has {len(due_ms)} of the {len(self._calls)} queries that were answered, so its "
                "figures cannot be used. Measure with --driver temper."
            )
        offline = self._load.scenario == "offline"
        samples = [
            {**add_up(calls), "end_to_end": latency_ms[query]}
            for query, calls in zip(sorted(due_ms), self._calls, strict=True)
        ]
        seconds = (max(due_ms[query] + latency_ms[query] for query in due_ms) - min(due_ms.values())) / 1000
        return Turn([call for calls in self._calls for call in calls] if offline else samples, self._images, seconds)

    def _split(self, samples: Sequence[Any]) -> list[Sequence[Any]]:
        # a sample of a single stream is the whole of a call
        return split(samples, 1 if self._load.scenario == "single-stream" else self._load.batch)

    def _pictures(self, samples: Sequence[Any]) -> list[int]:
        numbers = [one.index for one in samples]
        if self._load.scenario == "single-stream":
            numbers = [numbers[0] + i for i in range(self._load.batch)]
        self._images += len(numbers)
        return [(self._first + number) % self._load.pictures for number in numbers]


def _settings(loadgen: Any, load: Load) -> Any:
    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, _SCENARIOS[load.scenario])
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.performance_sample_count_override = load.pictures
    settings.min_query_count = load.samples
    settings.min_duration_ms = max(1, round(1000 * load.seconds))
    settings.max_duration_ms = max(1, round(1000 * load.limit_seconds))
    # hints of how many queries to draw beforehand; calls may turn out to be faster than they were
    calls = -(-load.query_pictures // load.batch) if load.scenario == "multi-stream" else 1
    expected_ns = max(1, round(load.expected_ms * calls * _NS_PER_MS / 4))
    settings.single_stream_expected_latency_ns = expected_ns
    settings.multi_stream_expected_latency_ns = expected_ns
    settings.multi_stream_samples_per_query = load.query_pictures
    if load.scenario == "offline":
        # LoadGen takes a tenth more than the rate says, and asks for the least number of samples as queries
        settings.min_query_count = 1
        settings.offline_expected_qps = load.offline_pictures / (1.1 * settings.min_duration_ms / 1000)
    return settings


def _log_settings(loadgen: Any, folder: str) -> Any:
    settings = loadgen.LogSettings()
    settings.log_output.outdir = folder
    settings.log_output.copy_summary_to_stdout = False
    settings.enable_trace = True
    return settings


def _nothing_to_flush() -> None:
    """Queries are answered as they are issued."""


def _is_loaded(numbers: Sequence[int]) -> None:
    """The pictures are in memory already, as they are for Temper's own driver."""


def _import_loadgen() -> Any:
    try:
        import mlperf_loadgen
    except ImportError as error:
        raise MissingDependencyError(
            f"LoadGen cannot be imported ({error}). Install it with pip install '{PACKAGE}', or measure with "
            "--driver temper."
        ) from error
    return mlperf_loadgen
