"""What candidates weigh where no duration may be reported: on an emulated processor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.events import Event, Reporter
from .candidate import Entrant
from .latency import STAGE, load_entrant
from .measurement import BenchmarkSettings, FootprintRow
from .worker_process import WorkerProcess

#: An emulator takes some hundred times as long as the processor it stands for.
ANSWER_SECONDS = 3600.0


def measure_footprint(
    entrants: Sequence[Entrant], pictures: Sequence[Path], settings: BenchmarkSettings, report: Reporter
) -> list[FootprintRow]:
    """Load each entrant in a process of its own and make one call with it, as a benchmark does before it measures.

    Args:
        entrants: what to load.
        pictures: encoded picture files; the first of them make up the call.
        settings: of the benchmark.
        report: hears of the progress.

    Returns:
        A row per entrant with the size of its graph and the version of its runtime; durations and memory are None, as
        those of an emulator are not the device's.

    Raises:
        TemperError: if an entrant does not load or answer.
    """
    patience = max(settings.answer_seconds, ANSWER_SECONDS)
    rows = []
    for done, entrant in enumerate(entrants, start=1):
        with WorkerProcess(entrant.title, patience) as worker:
            loaded = load_entrant(entrant, worker, pictures)
            worker.ask("finish")
        rows.append(
            FootprintRow(
                subject=entrant.subject,
                batch=entrant.candidate.batch,
                file_bytes=entrant.file_bytes,
                load_ms=None,
                first_call_ms=None,
                peak_memory_mib=None,
                idle_memory_mib=None,
                runtime_version=loaded["runtime_version"],
            )
        )
        report(Event("step", STAGE, {"done": done, "total": len(entrants), "unit": "graphs"}))
    return rows
