"""Quantities with units, as people write them: ``1.2m``, ``900 m/min``, ``0.5mm``, ``30 %``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from ...core.errors import MissingDependencyError, install_hint

#: A number, and then letters: nothing that pint would have to compute, so that a text cannot keep it busy.
_QUANTITY = re.compile(
    r"\s*([+-]?(?:\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})(?:[eE][+-]?\d{1,2})?)\s*([^\d\s+\-.].{0,29})?\s*"
)
_UNIT = re.compile(r"[A-Za-zµμ°]+(?: ?/ ?[A-Za-zµμ]+)?")


@dataclass(frozen=True)
class Dimension:
    """What a quantity measures.

    Attributes:
        noun: with its article, for messages.
        unit: that values are given in.
        example: two ways to write one.
    """

    noun: str
    unit: str
    example: str


LENGTH = Dimension("a length", "mm", "1.2m or 0.5mm")
DISTANCE = Dimension("a distance", "m", "6m or 800mm")
SPEED = Dimension("a speed", "m/s", "15m/s or 900 m/min")
TIME = Dimension("a time", "ms", "50ms or 0.2 s")
POWER = Dimension("a power", "W", "60W or 0.25 kW")


def parse_quantity(text: str, dimension: Dimension) -> float:
    """Read a quantity that has to be above 0.

    Args:
        text: a number and a unit of the dimension, such as ``15m/s``.
        dimension: what it has to measure.

    Returns:
        The value in the dimension's unit.

    Raises:
        ValueError: half a sentence that follows the quantity's name and text: no number, no unit, a unit of
            another dimension, or a value that is not above 0.
        MissingDependencyError: if pint is not installed.
    """
    matched = _QUANTITY.fullmatch(text)
    if matched is None:
        raise ValueError(f"write {dimension.noun} as a number with its unit, such as {dimension.example}")
    number, unit = float(matched[1]), (matched[2] or "").strip()
    if not unit:
        raise ValueError(f"it has no unit; write {dimension.noun} such as {dimension.example}")
    value = number * _factor(unit, dimension)
    if not 0 < value < math.inf:
        raise ValueError(f"it has to be above 0; write {dimension.noun} such as {dimension.example}")
    return value


def parse_share(text: str) -> float:
    """Read a share from 0 to below 1: ``30 %``, ``30%`` or ``0.3``.

    Raises:
        ValueError: half a sentence, as of :func:`parse_quantity`.
    """
    matched = re.fullmatch(r"\s*(\d{1,3}(?:\.\d{0,9})?|\.\d{1,9})\s*(%?)\s*", text)
    value = float(matched[1]) / (100 if matched[2] else 1) if matched else math.nan
    if not 0 <= value < 1:
        raise ValueError("it is no share from 0 % to below 100 %; write 30% or 0.3")
    return value


def _factor(unit: str, dimension: Dimension) -> float:
    """What one ``unit`` is in the dimension's unit."""
    if not _UNIT.fullmatch(unit):
        raise ValueError(f"'{unit}' is no unit; write {dimension.noun} such as {dimension.example}")
    registry = _registry()
    try:
        return float(registry.Quantity(1.0, unit.replace("μ", "µ")).to(dimension.unit).magnitude)
    except Exception as error:
        import pint

        if isinstance(error, pint.UndefinedUnitError):
            raise ValueError(f"'{unit}' is no unit; write {dimension.noun} such as {dimension.example}") from None
        if isinstance(error, pint.PintError | ValueError | AttributeError):
            raise ValueError(
                f"'{unit}' is no unit of {dimension.noun}; write {dimension.noun} such as {dimension.example}"
            ) from None
        raise


@cache
def _registry() -> Any:
    try:
        import pint
    except ImportError as error:
        raise MissingDependencyError(
            f"Quantities with units need pint, which cannot be imported ({error}). {install_hint('plan')}"
        ) from error
    return pint.UnitRegistry()
