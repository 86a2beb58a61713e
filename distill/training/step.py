"""One training step: forward, backward, update; on every rank the share of the batch that is its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from .. import ranks
from ..paddle_import import paddle
from .clipping import clip_gradients
from .learner import Learner
from .loader import Batch
from .precision import in_float32
from .unlabelled import UnlabelledLessons

# keeps what Paddle draws apart from the streams of the loader
_STEP_SEED = 7_919


@dataclass(frozen=True)
class StepLosses:
    """What one step's loss was made of, over all ranks.

    Attributes:
        own: the detector's own terms.
        distillation: the distillation losses.
        total: the sum of all.
        gradient_norm: of the whole gradient, before it was clipped.
    """

    own: dict[str, float]
    distillation: dict[str, float]
    total: float
    gradient_norm: float


class NotFiniteError(Exception):
    """A loss or a gradient is infinite or no number; the weights are as they were before the step."""

    def __init__(self, what: str, losses: StepLosses) -> None:
        super().__init__(what)
        self.what, self.losses = what, losses


class TrainingStep:
    """Moves a learner by one batch.

    Args:
        learner: is moved.
        clip_norm: largest norm of the gradient; None for any.
        seed: of the run.
        unlabelled: adds what its pictures say to the distillation losses, if there are such.
    """

    def __init__(
        self, learner: Learner, clip_norm: float | None, seed: int, unlabelled: UnlabelledLessons | None = None
    ) -> None:
        self.learner, self.seed, self.unlabelled = learner, seed, unlabelled
        self.clip_norm = math.inf if clip_norm is None else clip_norm

    def __call__(self, step: int, batch: Batch, *, rate: float, epoch: int, progress: float = 0.0) -> StepLosses:
        """Do one step.

        Args:
            step: counted from 0.
            batch: this rank's share.
            rate: the learning rate.
            epoch: counted from 0.
            progress: share of the training that is done.

        Raises:
            NotFiniteError: if the loss or its gradient is not finite, on any rank.
            LostRankError: if another rank is gone.
        """
        learner = self.learner
        # whatever Paddle draws depends on the step alone, so that nothing of it need be kept
        paddle.seed(self.seed * _STEP_SEED + step)
        learner.optimizer.set_lr(rate)
        terms, lessons = self.forward(batch, epoch, progress)
        losses = _over_ranks(terms, lessons)
        if not math.isfinite(losses.total):
            raise NotFiniteError("training loss", losses)
        learner.precision.backward(_total(terms, lessons))
        norm, useful = self._update()
        losses = replace(losses, gradient_norm=norm)
        if not useful:
            raise NotFiniteError("gradient of the training loss", losses)
        if learner.average is not None:
            learner.average.update(step)
        return losses

    def forward(
        self, batch: Batch, epoch: int, progress: float = 0.0
    ) -> tuple[dict[str, paddle.Tensor], dict[str, paddle.Tensor]]:
        """The detector's own losses and the distillation losses of a batch, by name."""
        learner = self.learner
        images = paddle.to_tensor(batch.images)
        with learner.precision.autocast():
            features = learner.detector.neck_features(images)
            outputs = learner.detector.head_outputs(features)
            lessons = {}
            if learner.distiller is not None:
                lessons = learner.distiller(batch, images, features, outputs, epoch, progress)
            if self.unlabelled is not None:
                lessons = self.unlabelled.join(lessons, len(batch.samples), progress)
        return learner.detector.losses(in_float32(outputs), batch.targets, progress), lessons

    def rehearse(self, batch: Batch, epoch: int) -> None:
        """Forward and backward without moving anything: whether a batch of this size fits into memory.

        Raises:
            MemoryError: if it does not.
        """
        # what the optimizer will keep of every parameter counts too, where it has not been made yet
        moments = 0 if self.learner.optimizer.state_dict() else 2
        kept = [paddle.zeros(p.shape) for p in self.learner.parameters for _ in range(moments)]
        if self.unlabelled is not None:
            # any will do, and the next ones may be the last
            self.unlabelled.start(0, 1)
        terms, lessons = self.forward(batch, epoch)
        self.learner.precision.backward(_total(terms, lessons))
        self.forget()
        del kept

    def forget(self) -> None:
        """Drop the gradients. They are dropped, not set to zero: a tensor that no step has reached has none."""
        self.learner.optimizer.clear_grad(set_to_zero=False)

    def _update(self) -> tuple[float, bool]:
        """Average, clip and apply the gradients; returns their norm, and whether they were of use."""
        learner = self.learner
        ranks.average_gradients(learner.parameters)
        ranks.average_statistics(learner.detector)
        learner.precision.unscale(learner.optimizer)
        norm = clip_gradients(learner.parameters, self.clip_norm)
        useful = learner.precision.update(learner.optimizer, finite=math.isfinite(norm))
        self.forget()
        return norm, useful


def _total(terms: dict[str, paddle.Tensor], lessons: dict[str, paddle.Tensor]) -> paddle.Tensor:
    return sum([*terms.values(), *(lesson.astype("float32") for lesson in lessons.values())], paddle.zeros([]))


def _over_ranks(terms: dict[str, paddle.Tensor], lessons: dict[str, paddle.Tensor]) -> StepLosses:
    values = [float(term) for term in (*terms.values(), *lessons.values())]
    # the sum of these very tensors, in their own precision
    values.append(float(_total(terms, lessons)))
    mean = (ranks.sum_over_ranks(np.array(values)) / ranks.size()).tolist()
    own = dict(zip(terms, mean[: len(terms)], strict=True))
    return StepLosses(own, dict(zip(lessons, mean[len(terms) : -1], strict=True)), mean[-1], 0.0)
