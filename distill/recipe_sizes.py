"""The sizes a model is exported at: what ``--input`` and the recipe's ``export.inputs`` say."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

#: The networks halve their picture five times; other sizes are padded to a multiple of this inside the graph.
STEP = 32
#: What stands for a graph that takes every size.
DYNAMIC = "dynamic"
_LEAST, _MOST = 32, 16384
_PATTERN = re.compile(r"(\d{1,5})x(\d{1,5})")


@dataclass(frozen=True)
class GraphSize:
    """The size of a graph's picture.

    Attributes:
        width: in pixels; of one that takes every size the size it is judged at.
        height: in pixels.
        any_size: whether it takes every size.
    """

    width: int
    height: int
    any_size: bool = False

    @property
    def suffix(self) -> str:
        """What a variant of this size is called after, where it is not the bundle's first."""
        return DYNAMIC if self.any_size else f"{self.width}x{self.height}"

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height

    @property
    def padded(self) -> tuple[int, int]:
        """Width and height of what the network sees: the next multiples of 32."""
        return math.ceil(self.width / STEP) * STEP, math.ceil(self.height / STEP) * STEP


def parse_sizes(texts: Sequence[str], usual: tuple[int, int]) -> list[GraphSize]:
    """Sizes from their texts, the bundle's first; without any, the one the model was trained at.

    Args:
        texts: ``"WIDTHxHEIGHT"`` or ``"dynamic"``.
        usual: width and height that the model was trained at.

    Raises:
        ValueError: if a text is no size, a size is out of bounds or there twice.
    """
    sizes: list[GraphSize] = []
    for text in texts or (f"{usual[0]}x{usual[1]}",):
        size = _parse(text, usual)
        if size in sizes:
            raise ValueError(f"the size {text} is there twice; name each size once")
        sizes.append(size)
    return sizes


def _parse(text: str, usual: tuple[int, int]) -> GraphSize:
    if text == DYNAMIC:
        return GraphSize(*usual, any_size=True)
    found = _PATTERN.fullmatch(text)
    if found is None:
        raise ValueError(
            f"'{text}' is no size of a picture; write WIDTHxHEIGHT in pixels, for example 4096x1024, or '{DYNAMIC}'"
        )
    width, height = (int(number) for number in found.groups())
    if not all(_LEAST <= side <= _MOST for side in (width, height)):
        raise ValueError(f"the size {text} is out of bounds; both sides take {_LEAST} to {_MOST} pixels")
    return GraphSize(width, height)
