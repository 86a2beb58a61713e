"""A recipe's ``training``: schedule, optimizer, augmentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..core.settings.section import Section


class AugmentSection(Section):
    """Changes of a training picture that leave strip steel strip steel."""

    flip_horizontal: bool = Field(True, description="mirror every other picture left to right")
    flip_vertical: bool = Field(True, description="and top to bottom")
    brightness: float = Field(0.1, ge=0, le=0.5, description="largest change, as a share of full scale")
    contrast: float = Field(0.1, ge=0, le=0.5, description="largest change, as a share")
    gamma: float = Field(0.0, ge=0, le=1, description="bend of the grey scale: up to 1 + this, either way; 0: none")
    noise: float = Field(0.0, ge=0, le=0.2, description="strongest noise (its standard deviation), share of full scale")


class EarlyStoppingSection(Section):
    """When a training ends before its last epoch, judged on training pictures that are set aside for it."""

    patience: int = Field(5, ge=1, le=1000, description="looks in a row without a better mAP, and it stops")
    every: int = Field(1, ge=1, le=1000, description="epochs between two looks")
    at_least: float = Field(0.0, ge=0, le=100, description="points of mAP that count as better")
    hold_out: float = Field(0.1, gt=0, lt=0.5, description="share of the training pictures that is set aside")


class TrainingSection(Section):
    """How a model is trained; a model's own ``training`` block overrides single fields."""

    epochs: int = Field(18, ge=1, le=10_000, description="passes over the training pictures")
    batch_size: int = Field(8, ge=1, le=4096, description="pictures per step, over all processes or GPUs together")
    optimizer: Literal["adamw", "momentum"] = Field(
        "adamw", description="'adamw' from scratch, 'momentum' with pretrained weights"
    )
    learning_rate: float = Field(5e-4, gt=0, le=10, description="after the warm-up; a tenth of it if the loss diverges")
    weight_decay: float = Field(0.01, ge=0, le=1, description="pull of the weights towards zero")
    schedule: Literal["cosine", "step", "constant"] = Field("cosine", description="how the learning rate falls")
    step_epochs: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (16, 22), description="where 'step' divides the learning rate by ten"
    )
    warmup_steps: int = Field(50, ge=0, description="over which the learning rate rises from near zero")
    clip_norm: float | None = Field(10.0, gt=0, description="largest norm of the gradient")
    ema_decay: float | None = Field(None, gt=0, lt=1, description="moving average of the weights that is kept")
    early_stopping: EarlyStoppingSection | None = Field(
        None, description="stop when pictures set aside see no progress, and keep the best weights"
    )
    precision: Literal["fp32", "amp_bf16", "amp_fp16"] = Field("fp32", description="'amp_...' computes faster on a GPU")
    scales: tuple[Annotated[float, Field(ge=0.25, le=4)], ...] = Field(
        (), description="factors of the input's size, one drawn per step; sides rounded to 32 pixels"
    )
    augment: AugmentSection = AugmentSection()
    workers: int = Field(2, ge=0, le=64, description="threads that load pictures")
    evaluate_every: int = Field(1, ge=0, description="epochs between mAP measurements; 0: only at the end")
    checkpoint_seconds: float = Field(30, ge=0, description="at most this long between checkpoints")
    visualdl: bool = Field(True, description="keep a log for VisualDL in runs/NAME/visualdl, where it is installed")


class TrainingOverride(Section):
    """Fields of ``training`` that differ for one model; None keeps the shared value."""

    epochs: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description="instead of training.epochs; 0 takes the weights as they are, trained already",
    )
    batch_size: int | None = Field(None, ge=1, le=4096, description="instead of training.batch_size")
    learning_rate: float | None = Field(None, gt=0, le=10, description="instead of training.learning_rate")
