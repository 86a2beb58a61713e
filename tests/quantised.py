"""The int8 form of a graph as the export makes it, without the export around it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import onnx
from temper.export.calibrate import measure_ranges
from temper.export.quantize import Flavour, activations, cut_scores, quantize
from temper.export.stem import for_processors


def int8_of(
    model: onnx.ModelProto, images: Sequence[np.ndarray], flavour: Flavour = "cpu", score_floor: float = 0.02
) -> onnx.ModelProto:
    """Ranges by min_max of some pictures, nothing kept in floating point but what always is."""
    like, pixels = for_processors(model) if flavour == "cpu" else (model, {})
    given = [partial(images.__getitem__, row) for row in range(len(images))]
    ranges = measure_ranges(like, activations(like), given, ("min_max",))["min_max"] | pixels
    return quantize(like, cut_scores(like, ranges, score_floor) if flavour == "cpu" else ranges, flavour)
