"""What a detector must offer to be trained, distilled and exported: the one seam for adding another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...detection.decode import BoxCoding
from ..paddle_import import paddle

#: Targets of one picture, or of a batch once stacked: names to arrays, made by loader threads in NumPy.
Targets = dict[str, Any]


class HeadOutputs(NamedTuple):
    """What a head says of a batch, over all levels.

    Attributes:
        logits: [B, A, classes], before the sigmoid.
        regressions: [B, A, 4], locations ordered and coded as in ``Detector.box_coding``.
        extra: what the detector's own loss needs besides; no one else looks into it.
    """

    logits: paddle.Tensor
    regressions: paddle.Tensor
    extra: Any = None


class Detector(ABC, paddle.nn.Layer):
    """A detector as Temper sees it: neck features in the middle, losses on one side, raw numbers on the other.

    Attributes:
        strides: of the neck's levels, ascending.
        neck_channels: channels of each level of the neck, in the order of the strides.
        classes: how many classes the head tells apart.
        class_tensors: names of the tensors whose first axis grows with the number of classes, each with how many of its
            rows do not: what a weight file's own number of classes is read from.
        loss_terms: names of the terms of its own loss.
    """

    strides: tuple[int, ...]
    neck_channels: tuple[int, ...]
    classes: int
    class_tensors: Mapping[str, int] = MappingProxyType({})
    loss_terms: tuple[str, ...] = ("classification", "regression")

    @abstractmethod
    def neck_features(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        """Features [B, channels, H / stride, W / stride], one per stride.

        ``images`` are normalised, [B, 3, H, W], or [B, 1, H, W] for three equal channels.
        """

    @abstractmethod
    def targets(self, boxes: NDArray[np.float32], labels: NDArray[np.int32], size: tuple[int, int]) -> Targets:
        """What the head should answer for one picture; pure NumPy, called from loader threads.

        Args:
            boxes: float32 [N, 4] in pixels of the network's input.
            labels: int32 [N].
            size: width and height of the network's input.
        """

    @abstractmethod
    def collate(self, targets: list[Targets]) -> Targets:
        """Targets of a batch from those of its pictures; pure NumPy."""

    @abstractmethod
    def head_outputs(self, features: list[paddle.Tensor]) -> HeadOutputs:
        """What the head makes of the neck's features."""

    @abstractmethod
    def losses(self, outputs: HeadOutputs, targets: Targets, progress: float = 1.0) -> dict[str, paddle.Tensor]:
        """Named terms of the detector's own loss, scalars; their sum is what is minimised.

        Args:
            outputs: of the head, for a batch.
            targets: of the batch, as ``collate`` gave them.
            progress: share of the training that is done, for losses that change on the way.
        """

    def raw_predictions(self, features: list[paddle.Tensor]) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Scores [B, A, classes] from 0 to 1 and regressions [B, A, 4]: what is exported and decoded."""
        outputs = self.head_outputs(features)
        return paddle.nn.functional.sigmoid(outputs.logits), outputs.regressions

    @abstractmethod
    def box_coding(self, size: tuple[int, int]) -> BoxCoding:
        """What the regressions mean for an input of ``size`` (width, height)."""

    def anchor_cells(self) -> tuple[tuple[int, NDArray[np.float32]], ...] | None:
        """Strides of the levels, each with the anchors of one place, float32 [K, 2] widths and heights.

        For a graph that makes its own anchors: those of a place are centred on its column and row, times the stride.
        None where the network itself is bound to one size, or has no anchors.
        """
        return None

    def for_deployment(self) -> Detector:
        """What is exported: gives the numbers this detector gives in evaluation mode, perhaps in fewer steps."""
        return self

    @abstractmethod
    def inheritable_prefixes(self) -> tuple[str, ...]:
        """Prefixes of parameter names that a student may take over from a teacher (neck and head)."""
