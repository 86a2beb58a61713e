"""The threshold of each class that lets at most a wanted share of its defects escape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor

import numpy as np

from .inspection import Inspected


@dataclass(frozen=True)
class ThresholdChoice:
    """What was chosen for one class.

    Attributes:
        threshold: the highest that reaches the wanted escape rate, or the one with the lowest escape rate there is.
        defects: of the class, in the pictures it was chosen on.
        missed: how many of them escape at it.
        reached: whether that is as few as wanted. False without a defect to choose by, where the old threshold stays.
    """

    threshold: float
    defects: int
    missed: int
    reached: bool

    @property
    def escape_rate(self) -> float | None:
        """Missed by defects, from 0 to 1; None without a defect."""
        return self.missed / self.defects if self.defects else None


def choose_thresholds(
    inspected: Inspected, escape_rate: float, thresholds: Mapping[str, float]
) -> dict[str, ThresholdChoice]:
    """For every class the highest threshold at which no more than the wanted share of its defects escapes.

    The same defects are found at every threshold between two neighbouring scores; the middle is taken, so that small
    changes of the scores, int8's for example, move nothing across.

    Args:
        inspected: defects and detections, down to the score floor. Not the pictures a model is judged on.
        escape_rate: wanted, from 0 to below 1.
        thresholds: those there are, by label; a class without anything to go by keeps its own.
    """
    choices = {}
    for number, label in enumerate(inspected.labels):
        found_at = np.sort(inspected.found_at[inspected.defect_label == number].astype(np.float64))
        unseen = int((found_at < 0).sum())
        if unseen == len(found_at):
            choices[label] = ThresholdChoice(thresholds[label], len(found_at), unseen, reached=False)
            continue
        # 2 % of 50 is 1, whatever the floating point makes of it
        allowed = floor(escape_rate * len(found_at) + 1e-9)
        weakest = float(found_at[max(allowed, unseen)])
        scores = inspected.score[inspected.label == number].astype(np.float64)
        below = float(scores[scores < weakest].max(initial=-1))
        threshold = threshold_between(below if below >= 0 else None, weakest)
        missed = int((found_at < np.float32(threshold)).sum())
        choices[label] = ThresholdChoice(threshold, len(found_at), missed, reached=missed <= allowed)
    return choices


#: Below the weakest score that counts, where no lower one tells how far down a threshold may lie: more than a score
#: moves from one runtime or precision to another.
MARGIN = 0.02


def threshold_between(below: float | None, reached: float) -> float:
    """A threshold that lets through the score ``reached`` and not the score ``below``, to four places if it can.

    Args:
        below: the next lower score; None where there is none.
        reached: the lowest score that is to count.
    """
    if below is None:
        below = max(0.0, reached - 2 * MARGIN)
    middle = (reached + below) / 2
    rounded = round(middle, 4)
    return rounded if below < rounded <= reached else middle
