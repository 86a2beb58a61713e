"""Early stopping, on pictures that are set aside for it.

The validation pictures judge the finished model, so nothing is chosen by them: not even when to stop. A share of
the training pictures is set aside instead, the same for the same seed, with its share of every class. Pictures that
are nearly the same stay on one side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import TemperError
from ...detection.dataset import DataSet, label_counts
from ..data.likeness import alike_in
from ..data.split import split_data

if TYPE_CHECKING:
    from ..recipe_training import EarlyStoppingSection
    from ..weights import Weights

_SHARES = 1000


def set_aside(data: DataSet, share: float, seed: int) -> tuple[DataSet, DataSet]:
    """Part a training set into what is learnt from and what early stopping looks at.

    Args:
        data: the training set.
        share: of its pictures that is set aside.
        seed: of the run.

    Returns:
        Both parts, named after their data set.

    Raises:
        TemperError: if one of them would have no box, or no picture as all are alike.
    """
    aside = max(1, round(share * _SHARES))
    try:
        parts = split_data(data, (_SHARES - aside, aside), seed, alike_in(data))
    except TemperError as error:  # that speaks of a ratio which nobody gave
        raise TemperError(
            f"Early stopping would set {share:.1%} of the {len(data)} training pictures aside, which is not one. "
            "Give a larger training.early_stopping.hold_out, more pictures, or early_stopping: null."
        ) from error
    learnt, held = (parts.get(name) for name in ("train", "val"))
    if learnt is None or held is None or not all(label_counts(p.samples, len(p.labels)).sum() for p in (learnt, held)):
        raise TemperError(
            f"Early stopping would set {share:.0%} of the {len(data)} training pictures aside, which leaves one part "
            "without a box. Give more pictures, another training.early_stopping.hold_out, or early_stopping: null."
        )
    return learnt, held


@dataclass
class EarlyStopping:
    """Remembers the best weights so far, and says when waiting for better ones is over.

    Attributes:
        section: of the recipe.
        best: mAP of the best weights on the pictures set aside, in points; None before the first look.
        epoch: after which they were taken, counted from 1.
        waited: looks since then.
        weights: the best ones.
    """

    section: EarlyStoppingSection
    best: float | None = None
    epoch: int = 0
    waited: int = 0
    weights: Weights | None = None

    def due(self, epoch: int, last: int) -> bool:
        """Whether to look after this epoch, counted from 1, of ``last``."""
        return epoch % self.section.every == 0 or epoch == last

    def look(self, accuracy: float | None, epoch: int, weights: Weights) -> None:
        """Take in a mAP in points; an undefined one is as good as none."""
        points = accuracy or 0.0
        if self.best is None or (points > self.best and points >= self.best + self.section.at_least):
            self.best, self.epoch, self.waited, self.weights = points, epoch, 0, weights
        else:
            self.waited += 1

    @property
    def over(self) -> bool:
        """Whether ``patience`` looks in a row brought nothing better."""
        return self.waited >= self.section.patience

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the weights, as JSON values."""
        return {"best": self.best, "epoch": self.epoch, "waited": self.waited}

    def restore(self, state: dict[str, Any], weights: Weights | None) -> None:
        """Take over what :meth:`state` gave."""
        self.best, self.epoch, self.waited = state["best"], int(state["epoch"]), int(state["waited"])
        self.weights = weights
