"""A moving average of the weights, often a little better than the last step's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..paddle_import import paddle
from ..weights import Weights

if TYPE_CHECKING:
    from ..detectors.base import Detector


class MovingAverage:
    """Exponential moving average over a detector's whole state, batch statistics included.

    The decay grows from 1/10 towards its value, so that the first steps do not hang on for ever.
    """

    def __init__(self, detector: Detector, decay: float) -> None:
        self.detector, self.decay = detector, decay
        self.state: dict[str, paddle.Tensor] = {name: value.clone() for name, value in detector.state_dict().items()}

    def update(self, step: int) -> None:
        """Take in the weights after a step counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        with paddle.no_grad():
            for name, value in self.detector.state_dict().items():
                self.state[name] = self.state[name] * decay + value * (1 - decay)

    def apply(self) -> None:
        """Put the average into the detector."""
        self.detector.set_state_dict(self.state)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The detector with the average for a while."""
        own = {name: value.clone() for name, value in self.detector.state_dict().items()}
        self.apply()
        try:
            yield
        finally:
            self.detector.set_state_dict(own)

    def restore(self, weights: Weights) -> None:
        """Take the average from a checkpoint."""
        self.state = {name: paddle.to_tensor(value) for name, value in weights.items()}
