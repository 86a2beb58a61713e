"""Where does a difference from Paddle begin? The steps from Paddle to a runtime, one after the other.

Paddle -> the fp32 graph traced from the same weights -> the graph in question on ONNX Runtime -> the same on its
runtime. Both ends of a step share names: Paddle and the traced graph those of what backbone, neck and head give, two
graphs those of all tensors. The first step whose ends differ is searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import TemperError
from ..deploy.compare import MATCH, PADDLE_TOLERANCES
from ..deploy.runtimes.load import DEFAULT_RUNTIME, runtime_kind
from ..detection.agreement import MatchRule, compare_rows
from ..detection.decode import decode_detections
from ..detection.detections import Detections
from .bisect import Layer, first_difference, half_way, relative_error
from .graph import NETWORK, OUTPUTS
from .parity import PaddleReference
from .probe import GraphFile, GraphOn, open_probe

#: Pictures that the search runs on: those that differ most.
_PICTURES = 2


@dataclass(frozen=True)
class Suspect:
    """Where a difference begins.

    Attributes:
        sentence: for people.
        layer: of the graph; None where it is no single layer.
    """

    sentence: str
    layer: Layer | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"sentence": self.sentence, "layer": None if self.layer is None else self.layer.to_dict()}


def find_suspect(
    paddle: PaddleReference, traced: Path, graph: GraphFile, runtime: str, places: Sequence[int] = ()
) -> Suspect:
    """Look for where a graph on a runtime begins to differ from Paddle.

    Args:
        paddle: what should come out.
        traced: the fp32 graph, traced from the same weights.
        graph: the one in question; it may be ``traced`` itself.
        runtime: it differs on.
        places: of the pictures in the reference's rows that differ most, the worst first.

    Returns:
        What was found; a search that a runtime does not let happen is an answer too.
    """
    chosen = list(dict.fromkeys([*places, 0]))[:_PICTURES]
    images = [paddle.store.image(paddle.rows[place]) for place in chosen]
    fp32 = GraphOn(traced, "fp32")
    here = GraphOn(graph.path, graph.precision)
    try:
        found = _in_tracing(paddle, fp32, images)
        if found is None and graph.path.read_bytes() != traced.read_bytes():
            found = _in_graph(fp32, here, images, "the graph traced anew from the weights")
        if found is None and runtime != DEFAULT_RUNTIME:
            if not runtime_kind(runtime).runs_files:
                return Suspect(
                    f"On {DEFAULT_RUNTIME} the graph computes what Paddle does, so the difference is {runtime}'s; an "
                    "engine does not show its layers."
                )
            there = GraphOn(graph.path, graph.precision, runtime)
            found = _in_graph(here, there, images, f"the same graph on {DEFAULT_RUNTIME}")
        return found or _in_tail(paddle, GraphOn(graph.path, graph.precision, runtime), images)
    except TemperError as error:
        return Suspect(f"Where it begins could not be found out: {error}")


def _in_tracing(paddle: PaddleReference, fp32: GraphOn, images: Sequence[NDArray[np.uint8]]) -> Suspect | None:
    """The first of what backbone, neck and head give that the traced graph has otherwise."""
    from .trace import paddle_features

    limit = PADDLE_TOLERANCES["fp32"].relative_error or 0.0
    errors: dict[str, float] = {}
    names = [
        f"{NETWORK}/{name}" for name in paddle_features(paddle.detector, paddle.normalisation.apply(images[0][None]))
    ]
    names = [name for name in names if name in fp32.producers]
    ends = dict(zip(fp32.raw_names, ("the head's scores", "the head's regressions"), strict=True))
    with open_probe(fp32, [*names, *ends]) as probe:
        for image in images:
            there = probe.run(image[np.newaxis])
            for name, expected in _in_paddle(paddle, image, ends).items():
                if name in there:
                    errors[name] = max(errors.get(name, 0.0), relative_error(expected, there[name]))
    before = "the picture"
    for name in [*names, *ends]:
        if errors[name] > limit:
            return Suspect(
                f"The network as it was traced already differs from Paddle: up to {before} both agree, and "
                f"{_part(name, ends)} have a relative error of {errors[name]:.2g}; check the versions of paddlepaddle "
                "and paddle2onnx with 'temper doctor'."
            )
        before = _part(name, ends)
    return None


def _in_paddle(
    paddle: PaddleReference, image: NDArray[np.uint8], ends: dict[str, str]
) -> dict[str, NDArray[np.float32]]:
    from ..distill.training.evaluate import raw_predictions
    from .trace import paddle_features

    batch = image[np.newaxis]
    features = paddle_features(paddle.detector, paddle.normalisation.apply(batch))
    raw = raw_predictions(paddle.detector, batch, paddle.normalisation)
    return {f"{NETWORK}/{name}": value for name, value in features.items()} | dict(zip(ends, raw, strict=True))


def _part(name: str, ends: dict[str, str]) -> str:
    return ends.get(name) or f"the values of {name}"


def _in_graph(reference: GraphOn, other: GraphOn, images: Sequence[NDArray[np.uint8]], known: str) -> Suspect | None:
    """The layer at which one graph leaves the other; None if their ends agree as their precision allows."""
    limit = PADDLE_TOLERANCES[other.precision].relative_error or 0.0
    if other.precision == "fp32":
        layer = first_difference(reference, other, images, limit)
        if layer is None:
            return None
        return Suspect(
            f"Compared with {known}, the difference begins at {layer}: what it reads has a relative error of "
            f"{layer.error_before:.2g}, what it gives one of {layer.error:.2g}.",
            layer,
        )
    found = half_way(reference, other, images)
    if found is None or found[1] <= limit:
        return None
    layer, total = found
    return Suspect(
        f"Compared with {known}, the network's ends have a relative error of {total:.2g}; with all before {layer} they "
        f"would have {layer.error_before:.2g}, with it {layer.error:.2g}.",
        layer,
    )


def _in_tail(paddle: PaddleReference, graph: GraphOn, images: Sequence[NDArray[np.uint8]]) -> Suspect:
    """Whether the tail makes other detections of the network's numbers than the reference of decoding does."""
    size = (paddle.store.rule.width, paddle.store.rule.height)
    coding, settings = paddle.detector.box_coding(size), paddle.settings
    rule = MatchRule(settings.score_floor, settings.max_detections, MATCH, settings.nms_iou)
    unmatched = 0
    with open_probe(graph, [*OUTPUTS, *graph.raw_names]) as probe:
        for image in images:
            there = probe.run(image[np.newaxis])
            scores, regressions = (there[name][0].astype(np.float32) for name in graph.raw_names)
            expected = Detections(*decode_detections(scores, regressions, coding, size, settings), size)
            count = int(there["count"][0])
            boxes, best, labels = (there[name][0, :count] for name in OUTPUTS[:3])
            found = Detections(boxes, best, labels, size)
            one = compare_rows(expected, found, rule)
            unmatched += len(one.missing) + len(one.strange)
    if unmatched:
        return Suspect(
            f"The network's numbers are right; what is made of them (nodes tail/..., on {graph.runtime}) is not: "
            f"{unmatched} detections on {len(images)} pictures differ from the reference of decoding."
        )
    return Suspect(
        "No layer differs by more than its precision allows, and decoding is right: the differences add up over the "
        "whole network."
    )
