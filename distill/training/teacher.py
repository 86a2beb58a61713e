"""The frozen network that a student learns from."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..detectors.build import build_detector, load_into
from ..paddle_import import paddle

if TYPE_CHECKING:
    from ..detectors.base import Detector, HeadOutputs
    from ..detectors.normalise import Rescaling
    from ..recipe_detectors import DetectorSection
    from ..weights import Weights
    from .loader import Batch


@dataclass(frozen=True, eq=False)
class TeacherAnswer:
    """What the teacher makes of a batch.

    Attributes:
        features: its neck's, [B, C, H / stride, W / stride], one per stride asked for.
        outputs: its head's, None where nobody asked for them.
    """

    features: list[paddle.Tensor]
    outputs: HeadOutputs | None


class Teacher:
    """A trained detector whose weights and batch statistics never change.

    Args:
        section: its description.
        weights: its trained weights.
        labels: class names.
        seed: of the weights it is built with before the trained ones are loaded.
        rescaling: what makes the pictures it is shown into what it was trained on; None if they are that already.

    Attributes:
        strides: of its neck's levels.
        neck_channels: of each of them.

    Raises:
        TemperError: if the weights are another detector's, or tell other classes apart.
    """

    def __init__(
        self,
        section: DetectorSection,
        weights: Path,
        labels: Sequence[str],
        seed: int,
        rescaling: Rescaling | None = None,
    ) -> None:
        self._section, self._weights, self._labels, self._seed = section, weights, labels, seed
        self.rescaling = rescaling
        self._detector: Detector | None = None
        self.strides, self.neck_channels = self.detector.strides, self.detector.neck_channels

    @property
    def detector(self) -> Detector:
        """The network itself; loaded anew after :meth:`release`."""
        if self._detector is None:
            # building draws weights, which must not disturb who draws in the middle of a training
            state = paddle.get_rng_state()
            detector = build_detector(self._section, self._labels, self._seed)
            paddle.set_rng_state(state)
            load_into(detector, self._weights, whole=True, labels=self._labels)
            detector.eval()
            for parameter in detector.parameters():
                parameter.stop_gradient = True
            self._detector = detector
        return self._detector

    def release(self) -> None:
        """Give its memory back until it is needed again."""
        self._detector = None
        gc.collect()  # layers refer to one another in circles

    def weights(self) -> Weights:
        """All its tensors, by name."""
        return {name: value.numpy() for name, value in self.detector.state_dict().items()}

    def features(self, images: NDArray[np.float32], strides: Sequence[int]) -> list[NDArray[np.float32]]:
        """Its neck's features [B, C, H / stride, W / stride] of pictures as a student sees them, one per stride."""
        with paddle.no_grad():
            features = self.detector.neck_features(self._shown(paddle.to_tensor(images)))
        return [features[self.strides.index(stride)].numpy() for stride in strides]

    def answer(self, batch: Batch, images: paddle.Tensor, strides: Sequence[int], *, head: bool) -> TeacherAnswer:
        """Run it on a batch, without the changes of light and noise that the student sees.

        Args:
            batch: the pictures' numbers and boxes.
            images: the pictures as the student sees them.
            strides: the levels wanted.
            head: whether the head's answer is wanted too.
        """
        if batch.plain_images is not None:
            images = paddle.to_tensor(batch.plain_images)
        with paddle.no_grad():
            features = self.detector.neck_features(self._shown(images))
            outputs = self.detector.head_outputs(features) if head else None
        return TeacherAnswer([features[self.strides.index(s)] for s in strides], outputs)

    def _shown(self, images: paddle.Tensor) -> paddle.Tensor:
        shown: paddle.Tensor = images if self.rescaling is None else self.rescaling.apply(images)
        return shown
