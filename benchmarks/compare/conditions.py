"""``--fail-if``: conditions on a comparison's figures, parsed by a small grammar and never run as code.

::

    conditions := condition ("," condition)*
    condition  := NAME OPERATOR NUMBER
    OPERATOR   := ">" | ">=" | "<" | "<="

A name is one of :data:`FIGURES`, by itself or with ``_low`` or ``_high`` for an end of its interval.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...core.errors import UsageError, nearest

#: What can be asked about: its unit, and what it is; B is held against A.
FIGURES: dict[str, tuple[str, str]] = {
    "map_drop": ("points", "mAP of A less mAP of B"),
    "ap50_drop": ("points", "AP50 of A less that of B"),
    "ap75_drop": ("points", "AP75 of A less that of B"),
    "ap_small_drop": ("points", "AP of small defects of A less that of B"),
    "ap_medium_drop": ("points", "AP of medium defects of A less that of B"),
    "ap_large_drop": ("points", "AP of large defects of A less that of B"),
    "escape_rise": ("points", "escape rate of B less that of A, in per cent"),
    "false_alarms_rise": ("per picture", "false alarms per picture of B less those of A"),
    "latency_ratio": ("", "median latency of B by that of A"),
}
ENDS = ("low", "high")
NAMES = tuple(name + end for name in FIGURES for end in ("", *(f"_{end}" for end in ENDS)))

_OPERATORS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_CONDITION = re.compile(
    r"\s*(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*(?P<operator>[<>]=?)\s*"
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*"
)


@dataclass(frozen=True)
class Condition:
    """One condition, such as ``map_drop > 0.5``.

    Attributes:
        name: one of :data:`NAMES`.
        operator: ``>``, ``>=``, ``<`` or ``<=``.
        limit: what the figure is held against; a finite number.
    """

    name: str
    operator: str
    limit: float

    def __str__(self) -> str:
        return f"{self.name}{self.operator}{self.limit:g}"

    @property
    def figure(self) -> str:
        """The figure's name, without the end of its interval."""
        return self.name.removesuffix("_low").removesuffix("_high")

    def holds(self, value: float) -> bool:
        """Whether a figure of this value fulfils it."""
        return bool(_OPERATORS[self.operator](value, self.limit))


def parse_conditions(text: str) -> list[Condition]:
    """The conditions in a text, at least one.

    Raises:
        UsageError: naming what does not fit, with the nearest name where one is misspelt.
    """
    conditions = []
    for part in text.split(","):
        found = _CONDITION.fullmatch(part)
        if found is None:
            said = f"'{part.strip()}' is no condition" if part.strip() else "a condition is missing"
            raise UsageError(f"{said} in '{text}'. Write a name, one of > >= < <=, and a number: map_drop>0.5.")
        name = found["name"]
        if name not in NAMES:
            raise UsageError(f"There is no figure '{name}' in a comparison.{_hint(name)}")
        limit = float(found["number"])
        if not math.isfinite(limit):
            raise UsageError(f"The number in '{part.strip()}' is too large. Write one such as 0.5.")
        conditions.append(Condition(name, found["operator"], limit))
    return conditions


def reasons_to_fail(conditions: Sequence[Condition], values: Mapping[str, float | None]) -> list[str]:
    """Why a comparison fails: a clause for each condition that holds, or that cannot be judged.

    Args:
        conditions: of ``--fail-if``.
        values: by the names of :data:`NAMES`; None, or no entry, where there is nothing to go by.
    """
    reasons = []
    for one in conditions:
        value = values.get(one.name)
        unit = FIGURES[one.figure][0]
        if value is None:
            reasons.append(f"{one} cannot be judged, as {one.name} has no value here")
        elif one.holds(value):
            reasons.append(f"{one.name} is {value:.4g}{f' {unit}' if unit else ''}, and {one} was to fail")
    return reasons


def _hint(name: str) -> str:
    # the plain names make a list that can be read; the ends of their intervals are said once
    hint = nearest(name, NAMES)
    if "Known here" in hint:
        return f"{nearest('', FIGURES)} Each also with _low or _high, an end of its interval."
    return hint
