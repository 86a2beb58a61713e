"""A recipe's ``distillation``: what the student is asked to take over from its teacher."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..core.settings.section import Fraction, Section


class MgdSection(Section):
    """Masked Generative Distillation (Yang et al., ECCV 2022, arXiv 2205.01529)."""

    mask_ratio: Fraction = Field(0.65, description="share of positions hidden from the student (lambda)")
    alpha: float = Field(2e-5, gt=0, description="weight of this loss beside the detector's own")
    alpha_form: Literal["sum", "mean", "relative"] = Field(
        "sum",
        description="'sum' is the paper's (grows with the feature map); 'mean' divides by its elements, size-free; "
        "'relative' also by the mean square of the teacher's numbers, so that an alpha fits any teacher",
    )
    alpha_end: float | None = Field(
        None, ge=0, description="alpha falls or rises to this on half a cosine over the training; null: stays as it is"
    )
    mask_focus: float = Field(
        0.0,
        ge=-1,
        le=1,
        description="above 0, more of the hidden positions lie inside true boxes, at 1 as many as can; below 0, fewer",
    )
    box_weight: float = Field(
        1.0,
        gt=0,
        le=1000,
        description="of squared errors inside true boxes against those outside, at equal total weight",
    )


class CwdSection(Section):
    """Channel-wise Distillation (Shu et al., ICCV 2021, arXiv 2011.13256)."""

    alpha: float = Field(5.0, gt=0, description="weight of this loss beside the detector's own; size-free")
    temperature: float = Field(1.0, gt=0, description="of the softmax over positions; higher looks at more of them")
    form: Literal["raw", "relative"] = Field(
        "relative", description="'raw' is the paper's; 'relative' divides features by the spread of the teacher's first"
    )


#: Weights of FGD's four parts: the authors' for RetinaNet, and of means over features of spread 1.
_FGD_WEIGHTS = {"sum": (1e-3, 5e-4, 5e-4, 5e-6), "relative": (0.25, 0.125, 0.5, 1.0)}


class FgdSection(Section):
    """Focal and Global Distillation (Yang et al., CVPR 2022, arXiv 2111.11837)."""

    form: Literal["sum", "relative"] = Field(
        "relative",
        description="'sum' is the paper's (grows with the feature map); 'relative' is size-free, and divides features "
        "by the spread of the teacher's first",
    )
    foreground: float | None = Field(
        None, ge=0, description="weight of features inside true boxes (alpha); null: 1e-3 of sums, 0.25 of 'relative'"
    )
    background: float | None = Field(
        None, ge=0, description="of features outside (beta); null: 5e-4 of sums, 0.125 of 'relative'"
    )
    attention: float | None = Field(
        None, ge=0, description="of where and in which channels attention lies (gamma); null: 5e-4 or 0.5"
    )
    relation: float | None = Field(
        None, ge=0, description="of features related to the whole picture (lambda); null: 5e-6 or 1"
    )
    temperature: float = Field(0.5, gt=0, description="of the attention's softmax")

    @model_validator(mode="after")
    def _weighs_something(self) -> FgdSection:
        if not any(self.weights()):
            raise ValueError("all four weights are 0, so it teaches nothing; set distillation.fgd to null instead")
        return self

    def weights(self) -> tuple[float, float, float, float]:
        """The weights of foreground, background, attention and relation, the form's own where a field is null."""
        given = (self.foreground, self.background, self.attention, self.relation)
        first, second, third, fourth = (
            own if own is not None else usual for own, usual in zip(given, _FGD_WEIGHTS[self.form], strict=True)
        )
        return first, second, third, fourth


class ResponseSection(Section):
    """The teacher's answers as soft targets (Hinton et al., 2015, arXiv 1503.02531)."""

    classification: float = Field(1.0, ge=0, description="weight of the class probabilities")
    boxes: float = Field(1.0, ge=0, description="weight of the boxes")
    temperature: float = Field(1.0, gt=0, description="by which logits are divided before the sigmoid")
    focus: float = Field(
        2.0, ge=0, le=5, description="power of the disagreement by which a place counts; 0: all places alike"
    )
    min_score: Fraction = Field(0.1, description="boxes count where the teacher is at least so sure of a defect")

    @model_validator(mode="after")
    def _weighs_something(self) -> ResponseSection:
        if not self.classification and not self.boxes:
            raise ValueError("both weights are 0, so it teaches nothing; set distillation.response to null instead")
        return self


class DistillationSection(Section):
    """The distillation losses, which add up; a loss that is null is not used."""

    config: str | None = Field(None, description="a YAML file of PaddleDetection (slim: Distill) that says the loss")
    inherit: bool = Field(True, description="start from the teacher's neck and head where shapes match")
    features: Literal["auto", "cached", "live"] = Field(
        "auto",
        description="the teacher's: 'cached' computes them once and keeps them on disk, 'live' in every step, 'auto' "
        "chooses",
    )
    cache: str | None = Field(
        None, description="folder that keeps them for other runs; null: in the run's folder, removed at the end"
    )
    unlabelled_ratio: float = Field(
        1.0, gt=0, le=64, description="unlabelled pictures per labelled one in a step, where data.unlabelled has some"
    )
    mgd: MgdSection | None = MgdSection()
    mgd_backbone: MgdSection | None = None
    cwd: CwdSection | None = None
    fgd: FgdSection | None = None
    response: ResponseSection | None = None

    @model_validator(mode="after")
    def _at_least_one(self) -> DistillationSection:
        if self.config is not None:
            raise ValueError("config is followed where a recipe's file is read, and this section comes from elsewhere")
        if not self.losses():
            unused = [name for name in type(self).model_fields if getattr(self, name) is None]
            names = ", ".join(name for name in unused if name not in ("config", "cache"))
            raise ValueError(f"every distillation loss is null; give one of {names}")
        return self

    def why_live(self) -> str | None:
        """Why these losses need the teacher in every step; None if its neck's features, kept on disk, are enough."""
        beyond = [name for name in ("response", "mgd_backbone") if getattr(self, name) is not None]
        return f"{' and '.join(beyond)} read more of the teacher than its neck" if beyond else None

    def losses(self) -> dict[str, Section]:
        """The sections of the losses that are used, by name, in a fixed order."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: section for name, section in found.items() if isinstance(section, Section)}
