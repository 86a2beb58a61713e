"""Measuring PaddleDetection's exported model beside the graphs of a bundle, and the table of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..bundle.loader import open_bundle
from ..core.errors import TemperError
from ..deploy.detector import BundleDetector, open_detector
from ..deploy.stages import StageTimes
from ..detection.dataset import DataSet
from ..detection.detections import Detections
from ..detection.images import read_image
from ..detection.metrics import evaluate
from .peer_session import PeerSession, PeerSettings

BATCHES = (1, 8)
PEER = "PaddleDetection, fp32"
PRECISIONS = ("fp32", "int8")
#: Pictures that the latencies are taken on; more are only read for mAP.
TIMED_PICTURES = 32
#: How near a batch's scores have to be to those of its pictures alone.
_BATCH_SCORE = 1e-3


class Side(Protocol):
    """What takes its turn."""

    def detect_batch(
        self, images: Sequence[NDArray[np.uint8]], sources: Sequence[str] = (), timer: StageTimes | None = None
    ) -> list[Detections]:
        """Detections on decoded pictures; ``timer`` gets ``end_to_end`` and ``compute`` in milliseconds."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of a call, whatever its batch."""

    median_ms: float
    p90_ms: float


@dataclass(frozen=True)
class Row:
    """One side at one batch.

    Attributes:
        side: who.
        batch: pictures in a call.
        end_to_end: from decoded pictures to boxes; None where it does not run.
        engine: ONNX Runtime's call alone.
        fault: why it does not run.
        ap: mAP on the validation pictures, points from 0 to 100, one picture at a time.
    """

    side: str
    batch: int
    end_to_end: Timing | None
    engine: Timing | None
    fault: str | None
    ap: float | None


@dataclass(frozen=True)
class Result:
    """All of one run.

    Attributes:
        rows: the table.
        peer_ap_same_resize: mAP of PaddleDetection's model where pictures are resized as for the training.
        images: validation pictures.
        rounds: turns of every side.
        calls: counted in a turn.
        threads: of ONNX Runtime; None where it chose.
    """

    rows: tuple[Row, ...]
    peer_ap_same_resize: float | None
    images: int
    rounds: int
    calls: int
    threads: int | None


def measure(
    bundle: Path,
    graphs: Mapping[int, Path | str],
    settings: PeerSettings,
    data: DataSet,
    rounds: int,
    calls: int,
    threads: int | None,
) -> Result:
    """Measure latency in turns, then mAP.

    Args:
        bundle: of the same weights.
        graphs: by batch PaddleDetection's ONNX file, or why there is none.
        settings: of that model.
        data: validation pictures.
        rounds: turns of every side.
        calls: counted in a turn.
        threads: of ONNX Runtime; None lets it choose.

    Raises:
        TemperError: if bundle or pictures cannot be read, or PaddleDetection's model does not run at batch 1.
    """
    with open_bundle(bundle) as opened:
        ours = {
            f"Temper, {one.name}": open_detector(opened, one.name, threads=threads)
            for one in opened.manifest.variants
            if one.name in PRECISIONS
        }
        rule = next(iter(ours.values())).rule
        coloured = [read_image(data.image_path(one), "rgb") for one in data.samples]
        own = (
            coloured
            if opened.manifest.input.channels == "rgb"
            else [read_image(data.image_path(one), "grey") for one in data.samples]
        )
        peers, faults = _peers(graphs, settings, threads, coloured)
        pictures = {PEER: coloured} | dict.fromkeys(ours, own)
        sides: dict[tuple[str, int], Side] = {(PEER, batch): session for batch, session in peers.items()}
        sides |= {(name, batch): detector for name, detector in ours.items() for batch in BATCHES}
        taken = _take_turns(sides, pictures, rounds, calls)
        ap = {PEER: _ap(data, peers[1], coloured)} | {name: _ap(data, one, own) for name, one in ours.items()}
        same = _ap(data, PeerSession(_file(graphs[1]), settings, threads, rule.apply), coloured)
        for detector in ours.values():
            detector.runtime.close()
    rows = []
    for batch in BATCHES:
        for name in pictures:
            whole, engine = taken.get((name, batch), (None, None))
            rows.append(Row(name, batch, whole, engine, faults.get(batch) if name == PEER else None, ap[name]))
    return Result(tuple(rows), same, len(coloured), rounds, calls, threads)


def _file(graph: Path | str) -> Path:
    if isinstance(graph, str):
        raise TemperError(f"PaddleDetection's export does not run at batch 1: {graph}.")
    return graph


def _peers(
    graphs: Mapping[int, Path | str],
    settings: PeerSettings,
    threads: int | None,
    pictures: Sequence[NDArray[np.uint8]],
) -> tuple[dict[int, PeerSession], dict[int, str]]:
    """Sessions by batch of those that give the answers of batch 1, and what is wrong with the others."""
    alone = PeerSession(_file(graphs[1]), settings, threads)
    sessions, faults = {1: alone}, {}
    for batch in BATCHES[1:]:
        graph = graphs[batch]
        if isinstance(graph, str):
            faults[batch] = graph
            continue
        try:
            session = PeerSession(graph, settings, threads)
            chosen = [pictures[row % len(pictures)] for row in range(batch)]
            together = session.detect_batch(chosen)
            wanted = [alone.detect_batch([picture])[0] for picture in chosen]
            if all(_same(one, other) for one, other in zip(wanted, together, strict=True)):
                sessions[batch] = session
            else:
                faults[batch] = "its answers are not those of the pictures alone"
        except TemperError as error:
            faults[batch] = str(error).rstrip(".")
    return sessions, faults


def _same(one: Detections, other: Detections) -> bool:
    return len(one) == len(other) and bool(np.allclose(one.scores, other.scores, atol=_BATCH_SCORE))


def _take_turns(
    sides: Mapping[tuple[str, int], Side],
    pictures: Mapping[str, Sequence[NDArray[np.uint8]]],
    rounds: int,
    calls: int,
) -> dict[tuple[str, int], tuple[Timing, Timing]]:
    """End to end and engine alone, for every side."""
    samples: dict[tuple[str, int], list[StageTimes]] = {side: [] for side in sides}
    for number in range(rounds):
        order = list(sides)
        first = number % len(order)
        for name, batch in (*order[first:], *order[:first]):
            some = pictures[name][:TIMED_PICTURES]
            for call in range(calls + 1):
                timer: StageTimes = {}
                chosen = [some[(call * batch + row) % len(some)] for row in range(batch)]
                sides[name, batch].detect_batch(chosen, timer=timer)
                if call:  # the first one of a turn finds cold caches
                    samples[name, batch].append(timer)
    return {
        side: (_timing([one["end_to_end"] for one in times]), _timing([one["compute"] for one in times]))
        for side, times in samples.items()
    }


def _timing(times: Sequence[float]) -> Timing:
    return Timing(float(np.median(times)), float(np.percentile(times, 90)))


def _ap(data: DataSet, side: BundleDetector | PeerSession, pictures: Sequence[NDArray[np.uint8]]) -> float | None:
    found = [
        side.detect_batch([picture], [one.file_name])[0] for picture, one in zip(pictures, data.samples, strict=True)
    ]
    return evaluate(data, found).ap


def markdown(result: Result) -> str:
    """The table, in Markdown."""
    lines = [
        "| | batch | end to end, ms: median | p90 | engine alone, ms: median | p90 | mAP |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in result.rows:
        if row.end_to_end is None or row.engine is None:
            times = f"does not work: {row.fault} | | |"
        else:
            shown = (row.end_to_end.median_ms, row.end_to_end.p90_ms, row.engine.median_ms, row.engine.p90_ms)
            times = " | ".join(f"{value:.2f}" for value in shown)
        ap = "-" if row.ap is None or row.batch != BATCHES[0] else f"{row.ap:.2f}"
        lines.append(f"| {row.side} | {row.batch} | {times} | {ap} |")
    same = result.peer_ap_same_resize
    told = "not known" if same is None else f"{same:.2f}"
    return "\n".join(
        [
            *lines,
            "",
            f"{result.images} validation pictures; {result.rounds} rounds of {result.calls} calls, "
            f"{result.threads or 'ONNX Runtime chose the number of'} threads. With pictures resized as for the "
            f"training, the mAP of PaddleDetection's model is {told}.",
        ]
    )
