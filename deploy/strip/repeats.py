"""Defects that come again at the same distance: a damaged roll prints itself into the strip once a turn.

A new defect is held against those before it, of its class and in its lane. Each of them that lies one circumference behind, between the smallest and the
largest roll, proposes a distance; the distance is believed if enough of the places it foretells hold a defect, at most
one of them missing between, and if chance alone would do so less than once in ``1 / CHANCE`` defects. The chance is reckoned from how many
defects the lane has: in a lane full of defects nothing is periodic.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .defect import StripDefect

#: How often, at most, defects without any period are taken for periodic.
CHANCE = 1e-3
#: Defects of one class that are remembered; more than these have no period that could be told.
MOST_KEPT = 2_000


@dataclass
class Repeats:
    """Finds the period of one strip's defects.

    Args:
        from_m: smallest circumference of a roll, metres.
        to_m: largest circumference.
        tolerance_mm: by which a defect may be off the place foretold.
        times: how often it must have come, with the new one.
        lane_mm: by which its middle may be off across the strip.
    """

    from_m: float = 0.3
    to_m: float = 8.0
    tolerance_mm: float = 15.0
    times: int = 4
    lane_mm: float = 30.0
    _seen: dict[int, deque[tuple[float, float]]] = field(default_factory=dict)

    def add(self, defect: StripDefect) -> float | None:
        """Take the next defect, in the order of the strip or nearly so.

        Returns:
            The distance in metres at which it comes again and again; None if it does not.
        """
        lane = defect.across_mm + defect.width_mm / 2
        seen = self._seen.setdefault(defect.label, deque(maxlen=MOST_KEPT))
        # one place more than needed, as one may be missing
        horizon = defect.position_m - self.to_m * self.times
        while seen and seen[0][0] < horizon:
            seen.popleft()
        places = np.array([place for place, across in seen if abs(across - lane) <= self.lane_mm])
        seen.append((defect.position_m, lane))
        if len(places) < self.times - 1:
            return None
        return self._period(defect.position_m, np.sort(places))

    def _period(self, here: float, places: NDArray[np.float64]) -> float | None:
        """The best believed distance among those that the places propose."""
        distances = here - places
        proposed = distances[(distances >= self.from_m) & (distances <= self.to_m)]
        if not len(proposed):
            return None
        tolerance = self.tolerance_mm / 1000
        steps = np.arange(1, self.times + 1)
        # [proposed, steps]: how far the nearest defect is from each place foretold
        foretold = here - proposed[:, None] * steps
        nearest = places[_nearest(places, foretold)]
        # a distance read off one pair is off by up to twice the tolerance, and so are its multiples
        hit = np.abs(nearest - foretold) <= tolerance * (1 + steps / 2)
        hits = hit.sum(axis=1)
        enough = (hits >= self.times - 1) & hit[:, 0]
        span = max(here - places[0], self.from_m)
        at_one_place = min(1.0, 2 * tolerance * (1 + self.times / 4) * len(places) / span)
        # the first place is hit as it was proposed by it
        chance = len(proposed) * _at_least(self.times - 2, self.times - 1, at_one_place)
        if chance > CHANCE or not enough.any():
            return None
        best = int(np.lexsort((proposed, -hits))[0]) if hits.max() >= self.times - 1 else -1
        if not enough[best]:
            best = int(np.flatnonzero(enough)[np.argmax(hits[enough])])
        good = hit[best]
        # least squares through the present place
        return float(((here - nearest[best]) * steps)[good].sum() / (steps[good] ** 2).sum())


def _nearest(places: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.int64]:
    right = np.clip(np.searchsorted(places, wanted), 0, len(places) - 1)
    left = np.maximum(right - 1, 0)
    return np.asarray(np.where(np.abs(places[left] - wanted) <= np.abs(places[right] - wanted), left, right))


def _at_least(hits: int, tries: int, chance: float) -> float:
    """The probability of at least ``hits`` in ``tries``."""
    return sum(math.comb(tries, n) * chance**n * (1 - chance) ** (tries - n) for n in range(max(hits, 0), tries + 1))
