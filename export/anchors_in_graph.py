"""Where the boxes of a graph start from: constants of one size, or computed in the graph from the picture's shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..detection.decode import BoxCoding
from ..distill.recipe_sizes import STEP
from .onnx_build import GraphBuilder, int64

#: The picture as numbers: TensorRT lets the bytes of ``image`` into nothing but a cast, not even into ``Shape``.
PICTURE = "input/to_float:0"
#: Strides of the levels, each with widths and heights float32 [K, 2] of the anchors of one place.
Cells = tuple[tuple[int, NDArray[np.float32]], ...]


@dataclass(frozen=True)
class Places:
    """Names of tensors, A places each.

    Attributes:
        limits: float32 [4], the picture's width, height, width and height.
        points: float32 [A, 4], x, y, x and y; None where boxes start from anchors.
        centres: float32 [A, 2] of the anchors.
        sizes: float32 [A, 2], widths and heights of the anchors.
        half_sizes: the halves of these.
    """

    limits: str
    points: str | None = None
    centres: str = ""
    sizes: str = ""
    half_sizes: str = ""


def constant_places(builder: GraphBuilder, coding: BoxCoding, size: tuple[int, int]) -> Places:
    """The places of a graph of one size.

    Args:
        builder: takes the constants.
        coding: what the references mean.
        size: width and height that boxes are clipped to, in pixels.
    """
    limits = builder.constant("picture_limits", np.array([*size, *size], np.float32))
    references = np.asarray(coding.references, np.float32)
    if coding.kind == "point_distances":
        return Places(limits, points=builder.constant("points", np.concatenate([references, references], axis=1)))
    sizes = references[:, 2:] - references[:, :2]
    halves = np.float32(0.5) * sizes
    return Places(
        limits,
        centres=builder.constant("centres", references[:, :2] + halves),
        sizes=builder.constant("sizes", sizes),
        half_sizes=builder.constant("half_sizes", halves),
    )


def picture_sides(builder: GraphBuilder, picture: str = PICTURE) -> tuple[str, str]:
    """Height and width of the picture [B, H, W] or [B, H, W, 3], int64 [1] each."""
    shape = builder.op("Shape", "picture_shape", picture)
    return (
        builder.op("Gather", "height", shape, builder.constant("height_axis", int64(1))),
        builder.op("Gather", "width", shape, builder.constant("width_axis", int64(2))),
    )


def padded_side(builder: GraphBuilder, side: str, name: str) -> str:
    """A side, int64 [1], rounded up to a multiple of the network's largest halving."""
    step = builder.constant(f"{name}_step", int64(STEP))
    more = builder.op("Add", f"{name}_up", side, builder.constant(f"{name}_rest", int64(STEP - 1)))
    return builder.op("Mul", f"padded_{name}", builder.op("Div", f"{name}_steps", more, step), step)


def places_of_any_size(builder: GraphBuilder, cells: Cells, picture: str = PICTURE) -> Places:
    """The places of a graph that takes every size, made in it from the shape of the picture.

    The same numbers as ``distill.detectors.anchors.anchor_grid``, up to the last digit.
    """
    height, width = picture_sides(builder, picture)
    padded = [padded_side(builder, side, name) for name, side in (("height", height), ("width", width))]
    limits = builder.op("Concat", "picture_sides", width, height, width, height, axis=0)
    centres, sizes = [], []
    for stride, anchors in cells:
        level = _Level(builder, stride)
        rows, columns = (level.count(name, side) for name, side in zip(("rows", "columns"), padded, strict=True))
        each = builder.constant(f"stride_{stride}/anchors", int64(len(anchors)))
        grid = builder.op("Concat", f"stride_{stride}/grid", rows, columns, each, axis=0)
        centres.append(level.centres(rows, columns, grid))
        sizes.append(level.sizes(anchors, grid))
    all_sizes = builder.op("Concat", "sizes", *sizes, axis=0)
    half = builder.constant("half", np.array(0.5, np.float32))
    return Places(
        builder.op("Cast", "picture_limits", limits, to=1),
        centres=builder.op("Concat", "centres", *centres, axis=0),
        sizes=all_sizes,
        half_sizes=builder.op("Mul", "half_sizes", all_sizes, half),
    )


class _Level:
    """The places of one level of the neck."""

    def __init__(self, builder: GraphBuilder, stride: int) -> None:
        self.builder, self.stride = builder, stride

    def _op(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        return self.builder.op(kind, f"stride_{self.stride}/{name}", *inputs, **attributes)

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        return self.builder.constant(f"stride_{self.stride}/{name}", value)

    def count(self, name: str, side: str) -> str:
        """Places along a side, int64 [1]: the side over the stride, rounded up."""
        more = self._op("Add", f"{name}_up", side, self._constant(f"{name}_rest", int64(self.stride - 1)))
        return self._op("Div", name, more, self._constant(f"{name}_stride", int64(self.stride)))

    def centres(self, rows: str, columns: str, grid: str) -> str:
        """Centres float32 [rows * columns * K, 2]."""
        x = self._op("Expand", "x_grid", self._steps("x", columns, (1, -1, 1)), grid)
        y = self._op("Expand", "y_grid", self._steps("y", rows, (-1, 1, 1)), grid)
        last = self._constant("last_axis", int64(-1))
        both = [self._op("Unsqueeze", f"{name}_column", axis, last) for name, axis in (("x", x), ("y", y))]
        return self._rows("centres", self._op("Concat", "centres_grid", *both, axis=-1))

    def sizes(self, anchors: NDArray[np.float32], grid: str) -> str:
        """Sizes float32 [rows * columns * K, 2]."""
        shape = self._op("Concat", "sizes_shape", grid, self._constant("two", int64(2)), axis=0)
        return self._rows("sizes", self._op("Expand", "sizes_grid", self._constant("cell", anchors[None, None]), shape))

    def _steps(self, name: str, count: str, shape: tuple[int, ...]) -> str:
        """0, stride, 2 * stride, ... in float32, along one axis of three."""
        scalar = self._op("Squeeze", f"{name}_count", count)
        zero, one = (self._constant(f"{name}_{text}", np.array(i, np.int64)) for i, text in ((0, "from"), (1, "by")))
        steps = self._op("Cast", f"{name}_float", self._op("Range", f"{name}_range", zero, scalar, one), to=1)
        stride = self._constant(f"{name}_stride", np.array(self.stride, np.float32))
        scaled = self._op("Mul", f"{name}_pixels", steps, stride)
        return self._op("Reshape", f"{name}_shaped", scaled, self._constant(f"{name}_shape", int64(*shape)))

    def _rows(self, name: str, grid: str) -> str:
        return self._op("Reshape", name, grid, self._constant(f"{name}_rows", int64(-1, 2)))
