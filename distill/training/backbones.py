"""The outputs of both backbones, caught on their way to the necks; neither detector is changed for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..losses.base import NeckPair, common_strides
from ..paddle_import import paddle

if TYPE_CHECKING:
    from ..detectors.base import Detector

#: Side in pixels of the picture that tells a backbone's strides and channels; no stride is larger.
_PROBE_SIDE = 128


class BackboneTap:
    """Keeps what a detector's backbone gave in the last pass.

    Args:
        detector: with a layer ``backbone`` that gives a list of features [B, C, H, W].

    Attributes:
        strides: of the features, ascending.
        channels: of each.
    """

    def __init__(self, detector: Detector) -> None:
        self._seen: list[paddle.Tensor] = []
        detector.backbone.register_forward_post_hook(self._keep)
        was_training = detector.training
        detector.eval()
        with paddle.no_grad():
            detector.neck_features(paddle.zeros([1, 3, _PROBE_SIDE, _PROBE_SIDE]))
        if was_training:
            detector.train()
        features = self.take()
        self.strides = tuple(_PROBE_SIDE // feature.shape[2] for feature in features)
        self.channels = tuple(feature.shape[1] for feature in features)

    def _keep(self, layer: Any, inputs: Any, outputs: list[paddle.Tensor]) -> None:
        self._seen = list(outputs)

    def take(self) -> list[paddle.Tensor]:
        """The features of the last pass; they are forgotten here, so that they do not outlive their step."""
        seen, self._seen = self._seen, []
        return seen


class BackbonePair:
    """A student's and a teacher's backbone.

    Attributes:
        channels: what is compared: strides that both have, and the channels there.

    Raises:
        UsageError: if they have no stride in common.
    """

    def __init__(self, student: Detector, teacher: Detector) -> None:
        self._taps = BackboneTap(student), BackboneTap(teacher)
        strides = common_strides(*(tap.strides for tap in self._taps))
        self._levels = [[tap.strides.index(stride) for stride in strides] for tap in self._taps]
        student_channels, teacher_channels = (
            tuple(tap.channels[level] for level in levels) for tap, levels in zip(self._taps, self._levels, strict=True)
        )
        self.channels = NeckPair(strides, student_channels, teacher_channels)

    def take(self) -> tuple[list[paddle.Tensor], list[paddle.Tensor]]:
        """What the student's and the teacher's backbone gave in their last passes, per stride of the pair."""
        student, teacher = (
            [features[level] for level in levels]
            for features, levels in zip((tap.take() for tap in self._taps), self._levels, strict=True)
        )
        return student, teacher
