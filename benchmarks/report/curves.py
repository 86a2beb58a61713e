"""Training curves from a training's ``metrics.jsonl``."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Curve:
    """How one training went.

    Attributes:
        role: teacher, student or distilled.
        losses: (epoch, mean of the detector's own loss over the epoch's steps), the distillation losses left out.
        accuracies: (epoch, mAP in points).
    """

    role: str
    losses: tuple[tuple[int, float], ...]
    accuracies: tuple[tuple[int, float], ...]


def read_curve(role: str, path: Path) -> Curve:
    """Read one training's log; lines that are torn or not understood are left out, as is a missing file."""
    losses: dict[int, list[float]] = {}
    accuracies: dict[int, float] = {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        try:
            entry = json.loads(line)
            epoch = int(entry["epoch"])
            if entry["kind"] == "step":
                losses.setdefault(epoch, []).append(_own_loss(entry["losses"]))
            elif entry["kind"] == "evaluated" and _is_number(entry.get("ap")):
                accuracies[epoch] = float(entry["ap"])
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    means = ((epoch, sum(values) / len(values)) for epoch, values in sorted(losses.items()))
    return Curve(role, tuple((e, v) for e, v in means if math.isfinite(v)), tuple(sorted(accuracies.items())))


def _own_loss(losses: dict[str, Any]) -> float:
    """The detector's own terms, so that a student with distillation compares with one without."""
    return sum(float(value) for value in losses.values())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
