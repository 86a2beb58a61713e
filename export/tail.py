"""The end of the graph: from scores and regressions to packed detections, in standard ONNX operators.

Operator by operator the computation of ``detection.decode.decode_detections``, for a whole batch at once, ties
included: TopK and NonMaxSuppression both give equal scores in the order of their indices, as a stable sort does.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from ..detection.decode import MAX_LOG_SCALE, MIN_SIDE_PX, BoxCoding, DecodeSettings
from .anchors_in_graph import Cells, Places, constant_places, places_of_any_size
from .onnx_build import GraphBuilder, int64

#: Prefix of the tail's nodes; what begins so stays in floating point when a graph is quantised.
TAIL = "tail"
#: The nodes that read the network's scores and its regressions, as their first input.
RAW_READERS = (f"{TAIL}/best_score", f"{TAIL}/candidate_regressions")


def add_tail(
    scores: str,
    regressions: str,
    coding: BoxCoding,
    classes: int,
    size: tuple[int, int],
    settings: DecodeSettings,
    cells: Cells | None = None,
) -> GraphBuilder:
    """Nodes from the network's outputs to the graph's.

    Args:
        scores: name of the tensor float32 [B, A, classes], probabilities.
        regressions: name of the tensor float32 [B, A, 4].
        coding: what the regressions mean; its references fix A.
        classes: how many there are.
        size: width and height of the graph's picture; boxes are clipped to it.
        settings: thresholds and limits.
        cells: the anchors of a place, of a graph that takes every size; ``coding`` and ``size`` are then one of them.

    Returns:
        The nodes; they end in the tensors ``boxes``, ``scores``, ``labels`` and ``count``.
    """
    builder = GraphBuilder(TAIL)
    fixed = min(settings.candidates, len(coding.references)) if cells is None else None
    chosen, class_scores = _candidates(builder, scores, settings.candidates, fixed)
    places = constant_places(builder, coding, size) if cells is None else places_of_any_size(builder, cells)
    boxes = _decode(builder, regressions, chosen, places)
    class_scores = _drop_empty(builder, boxes, class_scores)
    kept = _suppress(builder, boxes, class_scores, settings)
    _pack(builder, boxes, kept, fixed, classes, settings.max_detections)
    return builder


def _candidates(builder: GraphBuilder, scores: str, most: int, fixed: int | None) -> tuple[str, str]:
    """Locations with the best scores: their rows int64 [B, k, 1], and their scores by class [B, classes, k].

    k is ``fixed``, or of a graph that takes every size ``most`` and no more than the picture has locations.
    """
    best = builder.op("ReduceMax", "best_score", scores, axes=[2], keepdims=0)
    if fixed is None:
        shape = builder.op("Shape", "best_score_shape", best)
        locations = builder.op("Gather", "locations", shape, builder.constant("location_axis", int64(1)))
        k = builder.op("Min", "candidates", locations, builder.constant("most_candidates", int64(most)))
    else:
        k = builder.constant("candidates", int64(fixed))
    _, rows = builder.op2("TopK", "top_locations", best, k, axis=1, largest=1, sorted=1)
    chosen = builder.op("Unsqueeze", "location_index", rows, builder.constant("last_axis", int64(-1)))
    by_location = builder.op("GatherND", "candidate_scores", scores, chosen, batch_dims=1)
    return chosen, builder.op("Transpose", "scores_by_class", by_location, perm=[0, 2, 1])


def _decode(builder: GraphBuilder, regressions: str, chosen: str, places: Places) -> str:
    """Boxes float32 [B, k, 4] of the chosen locations, clipped to the picture."""
    numbers = builder.op("GatherND", "candidate_regressions", regressions, chosen, batch_dims=1)
    row = builder.op("Squeeze", "candidate_rows", chosen, "tail/last_axis")
    if places.points is not None:
        signs = builder.constant("signs", np.array([-1, -1, 1, 1], np.float32))
        offsets = builder.op("Mul", "signed_distances", numbers, signs)
        points = builder.op("Gather", "candidate_points", places.points, row, axis=0)
        boxes = builder.op("Add", "boxes", points, offsets)
    else:
        centre = builder.op("Gather", "anchor_centres", places.centres, row, axis=0)
        extent = builder.op("Gather", "anchor_sizes", places.sizes, row, axis=0)
        half = builder.op("Gather", "anchor_half_sizes", places.half_sizes, row, axis=0)
        split = builder.constant("split", int64(2, 2))
        shift, log_scale = builder.op2("Split", "shift_and_scale", numbers, split, axis=2)
        centre = builder.op("Add", "centres_moved", centre, builder.op("Mul", "shift_in_pixels", shift, extent))
        limited = builder.op(
            "Min",
            "log_scale_limited",
            log_scale,
            builder.constant("max_log_scale", np.array(MAX_LOG_SCALE, np.float32)),
        )
        half = builder.op("Mul", "half_sizes_scaled", half, builder.op("Exp", "scale", limited))
        upper_left = builder.op("Sub", "upper_left", centre, half)
        lower_right = builder.op("Add", "lower_right", centre, half)
        boxes = builder.op("Concat", "boxes", upper_left, lower_right, axis=2)
    boxes = builder.op("Min", "boxes_below_limits", boxes, places.limits)
    return builder.op("Max", "boxes_clipped", boxes, builder.constant("zero", np.array(0, np.float32)))


def _drop_empty(builder: GraphBuilder, boxes: str, class_scores: str) -> str:
    """Scores [B, classes, k] with those of boxes that lie outside the picture set to 0."""
    halves = builder.constant("corners", int64(2, 2))
    upper_left, lower_right = builder.op2("Split", "corners_clipped", boxes, halves, axis=2)
    sides = builder.op("Sub", "sides", lower_right, upper_left)
    smallest = builder.op("ReduceMin", "smallest_side", sides, axes=[2], keepdims=0)
    least = builder.constant("least_side", np.array(MIN_SIDE_PX, np.float32))
    inside = builder.op("GreaterOrEqual", "is_inside", smallest, least)
    by_class = builder.op("Unsqueeze", "is_inside_by_class", inside, builder.constant("class_axis", int64(1)))
    return builder.op("Where", "scores_inside", by_class, class_scores, "tail/zero")


def _suppress(builder: GraphBuilder, boxes: str, class_scores: str, settings: DecodeSettings) -> str:
    """Scores [B, classes, k] with everything that class-wise NMS drops set to 0."""
    # NonMaxSuppression keeps scores > floor and drops overlaps > nms_iou, as decode.py does
    triples = builder.op(
        "NonMaxSuppression",
        "nms",
        boxes,
        class_scores,
        builder.constant("max_per_class", int64(settings.max_detections)),
        builder.constant("nms_iou", np.array([settings.nms_iou], np.float32)),
        builder.constant("score_floor", np.array([settings.score_floor], np.float32)),
        center_point_box=0,
    )
    survivors = builder.op("GatherND", "survivor_scores", class_scores, triples)
    nothing = builder.op("ConstantOfShape", "no_scores", builder.op("Shape", "scores_shape", class_scores))
    return builder.op("ScatterND", "kept_scores", nothing, triples, survivors)


def _pack(builder: GraphBuilder, boxes: str, kept: str, candidates: int | None, classes: int, rows: int) -> None:
    """The best ``rows`` of the (class, candidate) pairs kept, in the shapes of the contract."""
    flat = builder.op("Reshape", "kept_scores_flat", kept, builder.constant("flat_shape", int64(0, -1)))
    if candidates is None:
        # the picture may have fewer pairs than rows: so many pairs without a score are put behind them
        spare = builder.constant("spare_pairs", int64(0, 0, 0, rows))
        flat = builder.op("Pad", "kept_scores_spare", flat, spare)
        shape = builder.op("Shape", "kept_scores_shape", kept)
        width = builder.op(
            "Gather", "pairs_per_class", shape, builder.constant("candidate_axis", np.array(2, np.int64))
        )
        top = rows
    else:
        width = builder.constant("pairs_per_class", np.array(candidates, np.int64))
        top = min(rows, classes * candidates)
    best, index = builder.op2("TopK", "top_detections", flat, builder.constant("rows", int64(top)), axis=1)
    if top < rows:
        # fewer pairs than rows: the rest are rows without a score
        best = builder.op("Pad", "scores_padded", best, builder.constant("padding", int64(0, 0, 0, rows - top)))
        index = builder.op("Pad", "index_padded", index, "tail/padding")
    label = builder.op("Div", "label_index", index, width)
    candidate = builder.op("Mod", "candidate_index", index, width)
    valid = builder.op("Greater", "is_detection", best, "tail/zero")
    row = builder.op("Unsqueeze", "detection_index", candidate, "tail/last_axis")
    found = builder.op("GatherND", "detection_boxes", boxes, row, batch_dims=1)
    valid_box = builder.op("Unsqueeze", "is_detection_box", valid, "tail/last_axis")
    builder.op("Where", "pack_boxes", valid_box, found, "tail/zero", output="boxes")
    builder.op("Identity", "pack_scores", best, output="scores")
    label = builder.op("Cast", "label_int32", label, to=TensorProto.INT32)
    no_label = builder.constant("no_label", np.array(-1, np.int32))
    builder.op("Where", "pack_labels", valid, label, no_label, output="labels")
    ones = builder.op("Cast", "is_detection_int32", valid, to=TensorProto.INT32)
    builder.op("ReduceSum", "count_detections", ones, "tail/last_axis", output="count", keepdims=0)
