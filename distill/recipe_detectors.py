"""A recipe's ``teacher`` and ``student``: which detector, how large, started from what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from .recipe_section import Section
from .recipe_training import TrainingOverride


class DetectorSection(Section):
    """A RetinaNet of PaddleDetection (Lin et al., 2017, arXiv 1708.02002)."""

    detector: Literal["retinanet"] = Field("retinanet", description="kind of detector")
    depth: Literal[18, 34, 50, 101, 152] = Field(50, description="of the ResNet")
    width: float = Field(1.0, gt=0, le=1, description="share of the ResNet's channels; below 1 for small devices")
    neck_channels: int = Field(256, ge=8, le=1024, description="of every level of the feature pyramid")
    head_convs: int = Field(4, ge=0, le=8, description="convolutions in each branch of the head")
    head_norm: Literal["none", "group", "level_batch"] = Field(
        "none", description="'level_batch': batch norm per level behind shared convolutions, folds away at export"
    )
    strides: tuple[int, ...] = Field(
        (8, 16, 32, 64, 128), description="of the neck's levels: 8, 16, 32, with or without 64 and 128"
    )
    anchor_scale: float = Field(4.0, gt=0, description="smallest anchor side, as a multiple of the stride")
    backbone_norm: Literal["train", "frozen"] = Field("train", description="'frozen' with pretrained weights")
    freeze_stages: int = Field(0, ge=0, le=4, description="how many first ResNet stages do not train")
    weights: str | None = Field(None, description=".pdparams or .safetensors to start from")

    @field_validator("strides")
    @classmethod
    def _known_levels(cls, strides: tuple[int, ...]) -> tuple[int, ...]:
        if strides not in ((8, 16, 32), (8, 16, 32, 64), (8, 16, 32, 64, 128)):
            raise ValueError("it takes [8, 16, 32], with or without 64 and 128 behind them")
        return strides


class ModelSection(DetectorSection):
    """A detector and what is special about its training."""

    training: TrainingOverride = TrainingOverride()
