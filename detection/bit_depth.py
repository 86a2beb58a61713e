"""Pictures of more than 8 bits, by one rule wherever a picture file is decoded: the 8 highest bits of 16 count.

It is the rule for cameras (``deploy/cameras/pixels.py``), which say how many bits they send. A file seldom does: values
of 10, 12 or 14 bits are often saved in 16 as they are, and would be taken for nearly black. So a picture of 16 bits
whose two highest are never set is refused, unless it is black or says how many bits it means.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import TemperError

#: Of cameras' depths, 14 bits are the most below 16.
_LEAST_USED = 1 << 14


class BitDepthError(TemperError):
    """A picture's values cannot be brought to 8 bits without a guess.

    Attributes:
        problem: what is wrong with it, as the end of a sentence that begins with the picture.
    """

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"{source} {problem}")
        self.problem = problem


def to_eight_bits(image: NDArray[Any], stored: NDArray[Any], content: bytes, source: str) -> NDArray[np.uint8]:
    """Bring a decoded picture to 8 bits per value.

    Args:
        image: as it is stored: uint8, or uint16 with values shifted up to the whole of its range.
        stored: the same with all the colours that the file has, by which its range is judged.
        content: of its file, which may say how many bits are meant: a PNG does in sBIT.
        source: names it in errors.

    Raises:
        BitDepthError: if its values are no whole numbers of 8 or 16 bits, or do not use their range.
    """
    if image.dtype == np.uint8:
        return image
    if image.dtype != np.uint16:
        raise BitDepthError(
            source, f"has values of the type {image.dtype}; whole numbers of 8 or 16 bits are read. Save it so."
        )
    most = int(stored.max(initial=0))
    if 0 < most < _LEAST_USED and not _is_shifted_up(stored, content):
        raise BitDepthError(
            source,
            f"has 16 bits per value and none is above {most:,} of 65,535, as when values of 10, 12 or 14 bits are "
            "saved without shifting them up, so it would be taken for nearly black. Save it with its values shifted up "
            "to 16 bits (12 bits: times 16), or with 8 bits.",
        )
    return (image >> 8).astype(np.uint8)


def _is_shifted_up(image: NDArray[np.uint16], content: bytes) -> bool:
    """Whether a PNG says how many of the highest bits are meant, and has no others."""
    meant = _significant_bits(content)
    return meant is not None and not int(np.bitwise_or.reduce(image, axis=None)) & ((1 << (16 - meant)) - 1)


def _significant_bits(content: bytes) -> int | None:
    """The most bits per value that a PNG's sBIT chunk names (PNG, 11.3.2.5), which stands before the picture."""
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        return None
    at = 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, values = content[at + 4 : at + 8], content[at + 8 : at + 8 + min(length, 4)]
        if kind == b"sBIT":
            return max(values) if values and min(values) >= 1 and max(values) <= 16 else None
        if kind == b"IDAT":
            return None
        at += 12 + length
    return None
