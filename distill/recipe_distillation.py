"""A recipe's ``distillation``: what the student is asked to take over from its teacher."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from .recipe_section import Fraction, Section


class MgdSection(Section):
    """Masked Generative Distillation (Yang et al., ECCV 2022, arXiv 2205.01529)."""

    mask_ratio: Fraction = Field(0.65, description="share of positions hidden from the student (lambda)")
    alpha: float = Field(2e-5, gt=0, description="weight of this loss beside the detector's own")
    alpha_form: Literal["sum", "mean"] = Field(
        "sum",
        description="'sum' is the paper's (grows with the feature map); 'mean' divides by its elements, size-free",
    )


class DistillationSection(Section):
    """The distillation losses, which add up; a loss that is null is not used."""

    config: str | None = Field(None, description="a YAML file of PaddleDetection (slim: Distill) that says the loss")
    inherit: bool = Field(True, description="start from the teacher's neck and head where shapes match")
    mgd: MgdSection | None = MgdSection()

    @model_validator(mode="after")
    def _at_least_one(self) -> DistillationSection:
        if self.config is not None:
            raise ValueError("config is followed where a recipe's file is read, and this section comes from elsewhere")
        if not self.losses():
            names = ", ".join(name for name in type(self).model_fields if name not in ("inherit", "config"))
            raise ValueError(f"every distillation loss is null; give one of {names}")
        return self

    def losses(self) -> dict[str, Section]:
        """The sections of the losses that are used, by name, in a fixed order."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: section for name, section in found.items() if isinstance(section, Section)}
