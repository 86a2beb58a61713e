"""TensorRT's version numbers: what Temper builds with, and when two of them are the same TensorRT."""

from __future__ import annotations

import re

from ...core.errors import TemperError

#: The oldest TensorRT that takes the graph: uint8 inputs, data-dependent NMS and the tensor-address calls.
OLDEST = (8, 6)
#: From here on a network's types are those of its graph (before, builder flags allow or forbid a precision).
STRONG_TYPES = (10, 0)
#: From here on there is nothing else: the flags of weak typing are gone.
ONLY_STRONG_TYPES = (11, 0)

Version = tuple[int, ...]


def parse_version(text: str) -> Version:
    """The numbers at the start of a version: ``"10.16.1.11"`` is (10, 16, 1, 11).

    Raises:
        TemperError: if it does not begin with two numbers.
    """
    found = re.match(r"\d+(\.\d+)+", text.strip())
    if not found:
        raise TemperError(f"'{text[:40]}' is not a version of TensorRT; is it installed whole?")
    return tuple(int(part) for part in found.group().split("."))


def version_text(version: Version) -> str:
    """A version as people write it."""
    return ".".join(map(str, version))


def same_version(first: Version, second: Version) -> bool:
    """Whether two versions are the same as far as both are told: ``trtexec`` does not tell its build number."""
    told = min(len(first), len(second))
    return told >= 3 and first[:told] == second[:told]


def require_supported(version: Version) -> None:
    """Refuse a TensorRT that is too old.

    Raises:
        TemperError: naming the oldest that works.
    """
    if version < OLDEST:
        raise TemperError(
            f"TensorRT {version_text(version)} is too old for Temper's graphs: {version_text(OLDEST)} is the oldest "
            "that takes them. Run the bundle on ONNX Runtime, or install a newer TensorRT."
        )
