"""PicoDet (Yu et al., 2021, arXiv 2111.00902) from PaddleDetection's backbone, neck and head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..paddle_import import paddle
from .base import HeadOutputs, Targets
from .point_losses import TERMS, HeadAnswer
from .points import PointDetector, distances, grid_of, joined
from .ppdet_bridge import picodet_parts
from .simota import SimOtaLoss
from .sizes import ESNET_RATIOS
from .sizes import PICODET_STRIDES as STRIDES
from .stem import accept_one_channel
from .task_aligned import TaskAlignedLoss

if TYPE_CHECKING:
    from ..recipe_detectors import PicoDetSection

F = paddle.nn.functional

#: A side's distance is told in bins from 0 to this many strides.
_LAST_BIN = 7
#: Keeps the root of a product of two scores smooth at 0.
_EPSILON = 1e-9
#: How far PaddleDetection's bbox2distance stays below the last bin.
_SIDE_MARGIN = 0.1


class PicoDet(PointDetector):
    """A PicoDet as the recipe describes it, with PaddleDetection's parameter names.

    With LCNet its score is the root of two scores' product and the loss is task-aligned; with ESNet, the older model,
    the score is a plain sigmoid and SimOTA assigns (Ge et al., 2021, arXiv 2107.08430).
    """

    loss_terms = TERMS

    def __init__(self, section: PicoDetSection, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.aligned = section.backbone == "lcnet"
        scale, channels, convs = section.dimensions()
        self.strides, self.neck_channels = section.neck()
        parts = picodet_parts()
        if self.aligned:
            self.backbone = parts.lcnet(scale=scale, feature_maps=[3, 4, 5])
            accept_one_channel(self.backbone.conv1.conv)
        else:
            ratios = list(ESNET_RATIOS[section.size])
            self.backbone = parts.esnet(scale=scale, feature_maps=[4, 11, 14], channel_ratio=ratios)
            accept_one_channel(self.backbone._conv1._conv)
        self.neck = (parts.lcpan if self.aligned else parts.csppan)(
            [shape.channels for shape in self.backbone.out_shape],
            channels,
            num_features=len(STRIDES),
            # the default is one list for all, and every neck of four levels would make it longer
            spatial_scales=[1 / stride for stride in STRIDES[:3]],
        )
        self.head = _head(self.aligned, channels, convs, classes)
        for name, parameter in self.head.named_parameters():
            if name.endswith(".scale_reg"):  # left over from GFLHead, in every weight file and never used
                parameter.stop_gradient = True
        shared_rows = 0 if self.aligned else 4 * (_LAST_BIN + 1)
        kinds = ("weight", "bias")
        self.class_tensors = {f"head.head_cls{i}.{kind}": shared_rows for i in range(len(STRIDES)) for kind in kinds}
        self._task_aligned = TaskAlignedLoss(classes, section.atss_share, _SIDE_MARGIN, by_label=False)
        self._simota = SimOtaLoss(classes, _SIDE_MARGIN)

    def neck_features(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        """See :class:`Detector`."""
        return list(self.neck(self.backbone({"image": images})))

    def head_outputs(self, features: list[paddle.Tensor]) -> HeadOutputs:
        """See :class:`Detector`; ``extra`` is a :class:`HeadAnswer`."""
        if self.aligned:
            answer = self._aligned_answer(features)
            return HeadOutputs(paddle.logit(answer.scores, eps=1e-6), answer.regressions, answer)
        logits, distributions = [], []
        for level, feature in enumerate(features):
            both = self.head.head_cls_list[level](self.head.conv_feat(feature, level)[0])
            logits.append(both[:, : self.classes])
            distributions.append(both[:, self.classes :])
        all_logits = joined(logits)
        answer = self._answer(F.sigmoid(all_logits), distributions, features)
        return HeadOutputs(all_logits, answer.regressions, answer)

    def raw_predictions(self, features: list[paddle.Tensor]) -> tuple[paddle.Tensor, paddle.Tensor]:
        """See :class:`Detector`."""
        if not self.aligned:
            return super().raw_predictions(features)
        answer = self._aligned_answer(features)
        return answer.scores, answer.regressions

    def losses(self, outputs: HeadOutputs, targets: Targets, progress: float = 1.0) -> dict[str, paddle.Tensor]:
        """See :class:`Detector`."""
        if self.aligned:
            return self._task_aligned(outputs.extra, targets, progress)
        return self._simota(outputs.logits, outputs.extra, targets)

    def inheritable_prefixes(self) -> tuple[str, ...]:
        """See :class:`Detector`."""
        return ("neck.", "head.")

    def _aligned_answer(self, features: list[paddle.Tensor]) -> HeadAnswer:
        scores, distributions = [], []
        for level, feature in enumerate(features):
            tower, shared = self.head.conv_feat(feature, level)
            # half precision has no numbers small enough for the product of two low scores
            aligned = F.sigmoid(self.head.cls_align[level](tower).astype("float32"))
            score = F.sigmoid(self.head.head_cls_list[level](shared).astype("float32"))
            scores.append((score * aligned + _EPSILON).sqrt())
            distributions.append(self.head.head_reg_list[level](shared))
        return self._answer(joined(scores), distributions, features)

    def _answer(
        self, scores: paddle.Tensor, distributions: list[paddle.Tensor], features: list[paddle.Tensor]
    ) -> HeadAnswer:
        grid, distribution = grid_of(features, STRIDES), joined(distributions)
        found = distances(distribution, self.head.distribution_project.project, grid)
        return HeadAnswer(scores, found, distribution, grid)


def _head(aligned: bool, channels: int, convs: int, classes: int) -> Any:
    parts = picodet_parts()
    tower = parts.pico_feat(
        feat_in=channels,
        feat_out=channels,
        num_fpn_stride=len(STRIDES),
        num_convs=convs,
        share_cls_reg=True,
        use_se=aligned,
    )
    common = {
        "conv_feat": tower,
        "num_classes": classes,
        "fpn_stride": list(STRIDES),
        "reg_max": _LAST_BIN,
        "feat_in_chan": channels,
        "cell_offset": 0.5,
    }
    # its loss is computed here; only what the head asks of its parts while it is built is given
    parts_of_loss = dict.fromkeys(("loss_dfl", "loss_bbox", "assigner", *(["static_assigner"] if aligned else [])))
    head = parts.pico_head_v2 if aligned else parts.pico_head
    return head(**common, **parts_of_loss, loss_class=parts.varifocal_loss(use_sigmoid=not aligned))
