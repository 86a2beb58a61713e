"""Training curves from a training's ``metrics.jsonl``."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Values by epoch, in order.
Points = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Curve:
    """How one training went, epoch by epoch.

    Attributes:
        role: teacher, student or distilled.
        losses: the detector's own terms, each the mean over the epoch's steps.
        distillation: the weighted distillation losses, likewise; empty where there is no teacher.
        learning_rates: mean over the epoch's steps.
        accuracies: mAP in points.
        per_class: AP of each class in points.
    """

    role: str
    losses: Mapping[str, Points] = field(default_factory=dict)
    distillation: Mapping[str, Points] = field(default_factory=dict)
    learning_rates: Points = ()
    accuracies: Points = ()
    per_class: Mapping[str, Points] = field(default_factory=dict)


class _Means:
    """Named values gathered by epoch."""

    def __init__(self) -> None:
        self._values: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, epoch: int, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                self._values[str(name)][epoch].append(float(value))

    def points(self) -> dict[str, Points]:
        """The mean of every epoch, for every name; what is not finite is left out."""
        means = {
            name: tuple((epoch, sum(values) / len(values)) for epoch, values in sorted(epochs.items()))
            for name, epochs in self._values.items()
        }
        finite = {name: tuple(one for one in points if math.isfinite(one[1])) for name, points in means.items()}
        return {name: points for name, points in finite.items() if points}


def read_curve(role: str, path: Path) -> Curve:
    """Read one training's log; lines that are torn or not understood are left out, as is a missing file."""
    own, distillation, rates, accuracy, classes = _Means(), _Means(), _Means(), _Means(), _Means()
    for entry in read_entries(path):
        try:
            epoch = int(entry["epoch"])
            if entry["kind"] == "step":
                own.add(epoch, entry["losses"])
                distillation.add(epoch, entry.get("distillation", {}))
                rates.add(epoch, {"rate": entry.get("learning_rate")})
            elif entry["kind"] == "evaluated":
                accuracy.add(epoch, {"ap": entry.get("ap")})
                classes.add(epoch, entry.get("per_class", {}))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            continue
    return Curve(
        role,
        own.points(),
        distillation.points(),
        rates.points().get("rate", ()),
        accuracy.points().get("ap", ()),
        classes.points(),
    )


def read_entries(path: Path) -> list[dict[str, Any]]:
    """The objects of a file with one a line; lines that are none are left out, and a missing file is empty."""
    entries = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries
