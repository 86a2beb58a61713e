"""The frozen network that a student learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..detectors.build import build_detector, load_into
from ..paddle_import import paddle

if TYPE_CHECKING:
    from ..detectors.base import HeadOutputs
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
        self.detector = build_detector(section, labels, seed)
        self.rescaling = rescaling
        load_into(self.detector, weights, whole=True, labels=labels)
        self.detector.eval()
        for parameter in self.detector.parameters():
            parameter.stop_gradient = True

    @property
    def strides(self) -> tuple[int, ...]:
        """Of its neck's levels."""
        return self.detector.strides

    @property
    def neck_channels(self) -> tuple[int, ...]:
        """Of each level of its neck."""
        return self.detector.neck_channels

    def weights(self) -> Weights:
        """All its tensors, by name."""
        return {name: value.numpy() for name, value in self.detector.state_dict().items()}

    def answer(self, batch: Batch, images: paddle.Tensor, strides: Sequence[int], *, head: bool) -> TeacherAnswer:
        """Run it on a batch.

        Args:
            batch: the pictures' numbers and boxes.
            images: the pictures as the student sees them.
            strides: the levels wanted.
            head: whether the head's answer is wanted too.
        """
        with paddle.no_grad():
            if self.rescaling is not None:
                images = self.rescaling.apply(images)
            features = self.detector.neck_features(images)
            outputs = self.detector.head_outputs(features) if head else None
        return TeacherAnswer([features[self.strides.index(s)] for s in strides], outputs)
