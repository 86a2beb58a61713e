"""One graph on one runtime, held against Paddle: its numbers, its detections, its mAP, and its batches.

This is what ``temper verify`` and every export do; a graph that is beyond the tolerance of its precision
(``deploy.compare``) is not the model that was trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..bundle.manifest import Parity, RawDifference
from ..core.errors import TemperError, UsageError
from ..deploy.check import runtimes_here
from ..deploy.compare import (
    MAP_PICTURES,
    MATCH,
    PADDLE_TOLERANCES,
    Tolerance,
    different_in_batch,
    tolerance_dict,
)
from ..deploy.runtimes.base import Runtime
from ..deploy.runtimes.load import DEFAULT_RUNTIME, runtime_kind
from ..detection.agreement import Agreement, Closeness, MatchRule, Spread
from ..detection.detections import Detections
from .bisect import relative_error
from .evaluate import Progress, no_progress, runtime_detections
from .parity import PaddleReference
from .probe import GraphFile, GraphOn, open_probe
from .suspect import Suspect, find_suspect

#: Pictures in the batch that must equal them one by one.
BATCH = 8


@dataclass(frozen=True, eq=False)
class Unmatched:
    """A picture on which one side found what the other did not, boxes in pixels of the graph's input.

    Attributes:
        row: of the picture in its data set.
        missing: what only Paddle found.
        strange: what only the graph found.
    """

    row: int
    missing: Detections
    strange: Detections

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"picture": self.missing.source, "only_paddle": len(self.missing), "only_graph": len(self.strange)}


@dataclass(frozen=True)
class BatchCheck:
    """Whether pictures in a batch get the answers they get alone.

    Attributes:
        size: of the batch.
        different: how many get another; None if it was not tried.
        not_tried: why not; None if it was.
    """

    size: int
    different: int | None
    not_tried: str | None = None


@dataclass(frozen=True, eq=False)
class Proof:
    """What came of holding a graph on a runtime against Paddle.

    Attributes:
        graph: and its precision.
        runtime: its name and version.
        agreement: of the detections.
        raw: of the network's numbers; empty where the runtime does not show them.
        batch: of the batches.
        map_paddle: on the same pictures, in points.
        map_graph: of the graph.
        unmatched: pictures with detections that have no partner, those with most first.
        faults: what is beyond the tolerance, a clause each.
        worst: places in the reference's rows of the pictures that differ most.
        suspect: where the difference begins; None if nothing is wrong, or nobody looked.
    """

    graph: GraphFile
    runtime: tuple[str, str]
    agreement: Agreement
    raw: dict[str, RawDifference]
    batch: BatchCheck
    map_paddle: float | None
    map_graph: float | None
    unmatched: tuple[Unmatched, ...]
    faults: tuple[str, ...]
    worst: tuple[int, ...]
    suspect: Suspect | None = None

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"{self.graph.name} on {self.runtime[0]}"

    def parity(self) -> Parity:
        """The part that goes into a bundle's manifest."""
        return Parity(
            images=self.agreement.pictures,
            runtime=" ".join(self.runtime),
            largest_score_difference=self.agreement.matched_scores.largest,
            largest_box_difference_px=self.agreement.boxes_px.largest,
            mean_score_difference=self.agreement.matched_scores.mean,
            mean_box_difference_px=self.agreement.boxes_px.mean,
            matched_share=self.agreement.matched_share,
            map_paddle=self.map_paddle,
            map_graph=self.map_graph,
            raw=self.raw,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for a record."""
        return {
            "variant": self.graph.name,
            "precision": self.graph.precision,
            "runtime": self.runtime[0],
            "runtime_version": self.runtime[1],
            "passed": not self.faults,
            "faults": list(self.faults),
            "suspect": None if self.suspect is None else self.suspect.to_dict(),
            "tolerance": tolerance_dict(PADDLE_TOLERANCES[self.graph.precision]),
            "raw": {name: one.model_dump(mode="json") for name, one in self.raw.items()},
            "detections": self.agreement.to_dict(),
            "map": {"paddle": self.map_paddle, "graph": self.map_graph},
            "batch": {
                "size": self.batch.size,
                "same": None if self.batch.different is None else not self.batch.different,
                "not_tried": self.batch.not_tried,
            },
            "unmatched": [one.to_dict() for one in self.unmatched],
        }


def prove(
    paddle: PaddleReference,
    graph: GraphFile,
    runtime: Runtime,
    found: Sequence[Detections] | None = None,
    progress: Progress = no_progress,
) -> Proof:
    """Hold a graph on a runtime against Paddle.

    Args:
        paddle: what it should find, on which pictures.
        graph: the file.
        runtime: has loaded it.
        found: what it finds on the reference's pictures, if that is known already, boxes in pixels of its input.
        progress: called after every picture.

    Raises:
        TemperError: if the runtime fails, or a picture cannot be read.
    """
    tolerance = PADDLE_TOLERANCES[graph.precision]
    if graph.precision != "fp32":
        # what the accuracy budget let through is no fault here
        tolerance = replace(tolerance, map_points=max(tolerance.map_points, paddle.map_budget))
    if found is None:
        found = runtime_detections(runtime, paddle.store, paddle.rows, progress)
    agreement, unmatched = _compare_detections(paddle, found, tolerance)
    raw, worst = _compare_raw(paddle, graph, runtime.name)
    batch = _compare_batch(paddle, runtime, tolerance.batch)
    ap = paddle.judge(found)
    by_row = {row: place for place, row in enumerate(paddle.rows)}
    return Proof(
        graph=graph,
        runtime=(runtime.name, runtime.version),
        agreement=agreement,
        raw=raw,
        batch=batch,
        map_paddle=paddle.ap,
        map_graph=ap,
        unmatched=tuple(unmatched),
        faults=tuple(_faults(tolerance, agreement, raw, batch, (paddle.ap, ap))),
        worst=(*worst, *(by_row[one.row] for one in unmatched)),
    )


def prove_on(
    paddle: PaddleReference,
    graph: GraphFile,
    runtimes: Iterable[str],
    open_runtime: Callable[[str], Runtime],
    traced: Callable[[], Path],
    progress: Progress = no_progress,
) -> Iterator[Proof]:
    """Hold a graph against Paddle on several runtimes, and look for where a difference begins.

    Args:
        paddle: what it should find, on which pictures.
        graph: the file.
        runtimes: their names.
        open_runtime: loads the graph on one of them.
        traced: gives the fp32 graph traced from the same weights; only called where there is a difference.
        progress: called after every picture.

    Yields:
        One proof per runtime; one that does not run has that as its fault.
    """
    for name in runtimes:
        try:
            runtime = open_runtime(name)
            try:
                proof = prove(paddle, graph, runtime, progress=progress)
            finally:
                runtime.close()
        except TemperError as error:
            none = BatchCheck(BATCH, None, "the graph did not run")
            fault = str(error).rstrip(".")
            yield Proof(graph, (name, ""), Agreement(), {}, none, paddle.ap, None, (), (fault,), ())
            continue
        yield investigated(proof, paddle, traced()) if proof.faults else proof


def runtimes_for(graph: GraphFile, named: Sequence[str] = ()) -> list[str]:
    """The runtimes that a graph is to be proven on.

    Args:
        graph: to be proven.
        named: those asked for; none takes all of this machine that build nothing first.

    Returns:
        ONNX Runtime on the processor is among them whatever the graph is made for, as every other is compared with it;
        the others only where the graph is made for them.
    """
    chosen = list(dict.fromkeys(named)) or [name for name in runtimes_here() if not runtime_kind(name).builds]
    return [name for name in chosen if name == DEFAULT_RUNTIME or graph.target in runtime_kind(name).targets]


def investigated(proof: Proof, paddle: PaddleReference, traced: Path) -> Proof:
    """The proof, with what is found out about where a difference begins; see :func:`~.suspect.find_suspect`."""
    return replace(proof, suspect=find_suspect(paddle, traced, proof.graph, proof.runtime[0], proof.worst))


def require_proof(proofs: Iterable[Proof]) -> None:
    """Refuse graphs that are beyond their tolerance.

    Raises:
        TemperError: with the figures and their limits, and where the difference begins if that is known.
    """
    sentences = []
    for proof in proofs:
        if proof.faults:
            where = f" {proof.suspect.sentence}" if proof.suspect else ""
            faults = ", ".join(proof.faults)
            sentences.append(f"{proof.title}, on {proof.agreement.pictures} pictures: {faults}.{where}")
    if sentences:
        raise TemperError(f"What was exported is not what was trained. {' '.join(sentences)}")


def _compare_detections(
    paddle: PaddleReference, found: Sequence[Detections], tolerance: Tolerance
) -> tuple[Agreement, list[Unmatched]]:
    settings = paddle.settings
    rule = MatchRule(
        settings.score_floor, settings.max_detections, MATCH, settings.nms_iou, tolerance.exact or Closeness()
    )
    total, unmatched = Agreement(), []
    for row, answer, ours in zip(paddle.rows, paddle.answers, found, strict=True):
        candidates = answer.candidates if tolerance.exact else None
        # a location at the end of the list of the best may be taken or left: scores up to its own prove nothing
        above = replace(rule, score_floor=answer.score_floor)
        one = total.add_picture(answer.detections, ours, above, candidates)
        if len(one.missing) or len(one.strange):
            unmatched.append(Unmatched(row, answer.detections.keep(one.missing), ours.keep(one.strange)))
    unmatched.sort(key=lambda one: -len(one.missing) - len(one.strange))
    return total, unmatched


@dataclass
class _Raw:
    """One of the network's outputs over several pictures."""

    spread: Spread = field(default_factory=Spread)
    errors: list[float] = field(default_factory=list)


def _compare_raw(
    paddle: PaddleReference, graph: GraphFile, runtime: str
) -> tuple[dict[str, RawDifference], tuple[int, ...]]:
    """The differences by the outputs' names, and the places of the pictures from the most different one on."""
    places = paddle.raw_places
    if not runtime_kind(runtime).runs_files:
        return {}, ()
    looked_into = GraphOn(graph.path, graph.precision, runtime)
    outputs = dict(zip(("scores", "regressions"), looked_into.raw_names, strict=True))
    sums = {name: _Raw() for name in outputs}
    with open_probe(looked_into, list(outputs.values())) as probe:
        for place in places:
            expected = paddle.answers[place].raw
            assert expected is not None
            there = probe.run(paddle.store.image(paddle.rows[place])[np.newaxis])
            for (name, tensor), theirs in zip(outputs.items(), expected, strict=True):
                ours = there[tensor][0].astype(np.float32)
                sums[name].errors.append(relative_error(theirs, ours))
                sums[name].spread.add(np.abs(ours - theirs) if ours.shape == theirs.shape else np.zeros(0))
    order = sorted(range(len(places)), key=lambda index: -max(one.errors[index] for one in sums.values()))
    return {name: _raw_difference(one) for name, one in sums.items()}, tuple(places[index] for index in order)


#: What stands in a record for an error without end: JSON has no infinity.
_ENDLESS = 1e30


def _raw_difference(one: _Raw) -> RawDifference:
    def bounded(value: float) -> float:
        return min(value, _ENDLESS) if np.isfinite(value) else _ENDLESS

    return RawDifference(
        largest=bounded(one.spread.largest),
        mean=bounded(one.spread.mean or 0.0),
        relative_error=bounded(max(one.errors)),
    )


def _compare_batch(paddle: PaddleReference, runtime: Runtime, closeness: Closeness) -> BatchCheck:
    rows = [paddle.rows[index % len(paddle.rows)] for index in range(BATCH)]
    images = np.stack([paddle.store.image(row) for row in rows])
    try:
        _, different = different_in_batch(runtime, images, paddle.settings.score_floor, closeness)
    except UsageError as error:  # an engine that was not built for so many
        return BatchCheck(BATCH, None, str(error))
    return BatchCheck(BATCH, len(different))


def _faults(
    tolerance: Tolerance,
    agreement: Agreement,
    raw: dict[str, RawDifference],
    batch: BatchCheck,
    ap: tuple[float | None, float | None],
) -> list[str]:
    faults = []
    for name, one in raw.items():
        if tolerance.relative_error is not None and one.relative_error > tolerance.relative_error:
            faults.append(
                f"the network's {name} have a relative error of {one.relative_error:.2g} (limit "
                f"{tolerance.relative_error:g})"
            )
    score, box = agreement.matched_scores.largest, agreement.boxes_px.largest
    if tolerance.score is not None and score > tolerance.score:
        faults.append(f"scores of matched detections differ by up to {score:.2g} (limit {tolerance.score:g})")
    if tolerance.box_px is not None and box > tolerance.box_px:
        faults.append(f"their box edges by up to {box:.2g} px (limit {tolerance.box_px:g} px)")
    if agreement.matched_share < tolerance.matched_share:
        faults.append(
            f"{1 - agreement.matched_share:.1%} of the detections have no partner (limit "
            f"{1 - tolerance.matched_share:.0%})"
        )
    in_paddle, ours = ap
    lost = 0.0 if in_paddle is None or ours is None else in_paddle - ours
    # on few pictures one box that falls to the other side moves mAP by points
    if agreement.pictures >= MAP_PICTURES and lost > tolerance.map_points:
        faults.append(f"mAP is {ours:.1f} where Paddle's is {in_paddle:.1f} ({tolerance.map_points:g} may be lost)")
    if batch.different:
        faults.append(f"{batch.different} of {batch.size} pictures get another answer in a batch than alone")
    return faults
