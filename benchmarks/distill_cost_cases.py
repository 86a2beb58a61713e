"""What ``distill_cost`` trains: a teacher, a student and a loss, in the words of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Names of the cases.
CASES = ("retinanet", "small")
#: The recipe that the small case is.
SMALL_RECIPE = "neu-det-cpu"


@dataclass(frozen=True)
class Case:
    """A teacher, a student and how it is trained, in the words of a recipe."""

    size: int
    channels: str
    teacher: Mapping[str, Any]
    student: Mapping[str, Any]
    training: Mapping[str, Any]
    mgd: Mapping[str, Any]
