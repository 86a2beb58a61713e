"""The recipe: one YAML file that says everything about a run. Checked whole before any work starts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from ..detection.decode import DecodeSettings
from ..detection.images import ResizeRule

Fraction = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[int, Field(ge=0, le=1000)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SyntheticData(_Section):
    """Synthetic hot-rolled steel, made on the spot: the same seed gives the same pictures everywhere."""

    train: int = Field(240, ge=1, le=100_000, description="pictures to train on")
    val: int = Field(60, ge=1, le=100_000, description="pictures to judge on")
    width: int = Field(200, ge=200, le=8192, description="of a picture in pixels")
    height: int = Field(200, ge=200, le=8192, description="of a picture in pixels")
    seed: int = Field(0, ge=0, description="another seed, other pictures")


class DataSection(_Section):
    """Where the pictures come from: exactly one of ``synthetic`` and ``path``."""

    synthetic: SyntheticData | None = Field(None, description="pictures made on the spot")
    path: str | None = Field(None, description="folder or archive: Pascal VOC, COCO or a Temper data set")
    split_ratio: tuple[Share, Share, Share] = Field(
        (7, 2, 1), description="train:val:test, where the data brings no split"
    )
    split_seed: int = Field(0, ge=0, description="of that split")

    @model_validator(mode="after")
    def _one_source(self) -> DataSection:
        if (self.synthetic is None) == (self.path is None):
            raise ValueError("give exactly one of 'synthetic' and 'path', and leave the other out or set it to null")
        if 0 in self.split_ratio[:2]:
            raise ValueError("split_ratio must leave something to train on and something to judge on")
        return self


class InputSection(_Section):
    """What the network sees."""

    width: int = Field(160, ge=32, le=8192, multiple_of=32, description="in pixels; pictures are resized to it")
    height: int = Field(160, ge=32, le=8192, multiple_of=32, description="in pixels")
    channels: Literal["grey", "rgb"] = Field("grey", description="'grey' for cameras without colour: a cheaper graph")
    resize: Literal["stretch", "letterbox"] = Field(
        "stretch", description="'letterbox' keeps the aspect ratio and fills the rest with grey"
    )

    def rule(self) -> ResizeRule:
        """The resize rule of these settings."""
        return ResizeRule(self.width, self.height, self.resize)


class DetectorSection(_Section):
    """A RetinaNet of PaddleDetection (Lin et al., 2017, arXiv 1708.02002)."""

    detector: Literal["retinanet"] = Field("retinanet", description="kind of detector")
    depth: Literal[18, 34, 50, 101, 152] = Field(50, description="of the ResNet")
    width: float = Field(1.0, gt=0, le=1, description="share of the ResNet's channels; below 1 for small devices")
    neck_channels: int = Field(256, ge=8, le=1024, description="of every level of the feature pyramid")
    head_convs: int = Field(4, ge=0, le=8, description="convolutions in each branch of the head")
    head_norm: Literal["none", "group", "level_batch"] = Field(
        "none", description="'level_batch': batch norm per level behind shared convolutions, folds away at export"
    )
    strides: tuple[int, ...] = Field((8, 16, 32, 64, 128), description="of the neck's levels")
    anchor_scale: float = Field(4.0, gt=0, description="smallest anchor side, as a multiple of the stride")
    backbone_norm: Literal["train", "frozen"] = Field("train", description="'frozen' with pretrained weights")
    freeze_stages: int = Field(0, ge=0, le=4, description="how many first ResNet stages do not train")
    weights: str | None = Field(None, description=".pdparams or .safetensors to start from")

    @model_validator(mode="after")
    def _levels(self) -> DetectorSection:
        if self.strides not in ((8, 16, 32), (8, 16, 32, 64), (8, 16, 32, 64, 128)):
            raise ValueError("strides must be 8, 16, 32 with or without 64 and 128")
        return self


class AugmentSection(_Section):
    """Changes of a training picture that leave strip steel strip steel."""

    flip_horizontal: bool = Field(True, description="mirror every other picture left to right")
    flip_vertical: bool = Field(True, description="and top to bottom")
    brightness: float = Field(0.1, ge=0, le=0.5, description="largest change, as a share of full scale")
    contrast: float = Field(0.1, ge=0, le=0.5, description="largest change, as a share")


class TrainingSection(_Section):
    """How a model is trained; a model's own ``training`` block overrides single fields."""

    epochs: int = Field(18, ge=1, le=10_000, description="passes over the training pictures")
    batch_size: int = Field(8, ge=1, le=4096, description="pictures per step")
    optimizer: Literal["adamw", "momentum"] = Field(
        "adamw", description="'adamw' from scratch, 'momentum' with pretrained weights"
    )
    learning_rate: float = Field(5e-4, gt=0, le=10, description="after the warm-up; a tenth of it if the loss diverges")
    weight_decay: float = Field(0.01, ge=0, le=1, description="pull of the weights towards zero")
    schedule: Literal["cosine", "step", "constant"] = Field("cosine", description="how the learning rate falls")
    step_epochs: tuple[int, ...] = Field((16, 22), description="where 'step' divides the learning rate by ten")
    warmup_steps: int = Field(50, ge=0, description="over which the learning rate rises from near zero")
    clip_norm: float | None = Field(10.0, gt=0, description="largest norm of the gradient")
    ema_decay: float | None = Field(None, gt=0, lt=1, description="moving average of the weights that is kept")
    augment: AugmentSection = AugmentSection()
    workers: int = Field(2, ge=0, le=64, description="threads that load pictures")
    evaluate_every: int = Field(1, ge=0, description="epochs between mAP measurements; 0: only at the end")
    checkpoint_seconds: float = Field(30, ge=0, description="at most this long between checkpoints")


class TrainingOverride(_Section):
    """Fields of ``training`` that differ for one model; None keeps the shared value."""

    epochs: int | None = Field(None, ge=1, le=10_000, description="instead of training.epochs")
    batch_size: int | None = Field(None, ge=1, le=4096, description="instead of training.batch_size")
    learning_rate: float | None = Field(None, gt=0, le=10, description="instead of training.learning_rate")


class ModelSection(DetectorSection):
    """A detector and what is special about its training."""

    training: TrainingOverride = TrainingOverride()


class DistillationSection(_Section):
    """Masked Generative Distillation (Yang et al., ECCV 2022, arXiv 2205.01529)."""

    method: Literal["mgd"] = Field("mgd", description="kind of distillation")
    mask_ratio: Fraction = Field(0.65, description="share of positions hidden from the student (lambda)")
    alpha: float = Field(2e-5, gt=0, description="weight of the distillation loss beside the detector's own")
    alpha_form: Literal["sum", "mean"] = Field(
        "sum",
        description="'sum' is the paper's (grows with the feature map); 'mean' divides by its elements, size-free",
    )
    inherit: bool = Field(True, description="start from the teacher's neck and head where shapes match")


class ExportSection(_Section):
    """What becomes of the trained models."""

    precisions: tuple[Literal["fp32", "int8"], ...] = Field(
        ("fp32", "int8"), min_length=1, description="one graph each"
    )
    calibration_images: int = Field(128, ge=1, le=10_000, description="training pictures that set the ranges of int8")
    score_floor: Fraction = Field(DecodeSettings.score_floor, description="detections below it are never told")
    nms_iou: Fraction = Field(
        DecodeSettings.nms_iou, description="overlap from which two boxes of a class are one defect"
    )
    candidates: int = Field(
        DecodeSettings.candidates, ge=1, le=10_000, description="best places that are decoded to boxes"
    )
    max_detections: int = Field(DecodeSettings.max_detections, ge=1, le=1000, description="per picture")
    parity_images: int = Field(
        32, ge=1, le=10_000, description="validation pictures that compare Paddle with the graph"
    )

    def decode_settings(self) -> DecodeSettings:
        """The same settings, as detection knows them."""
        return DecodeSettings(self.score_floor, self.nms_iou, self.candidates, self.max_detections)


class BenchmarkSection(_Section):
    """What is measured of the exported models."""

    runtimes: tuple[Literal["onnxruntime"], ...] = Field(
        ("onnxruntime",), min_length=1, description="what runs the graphs"
    )
    batch_sizes: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(
        (1,), min_length=1, description="pictures per call"
    )
    threads: int | None = Field(None, ge=1, le=512, description="of the runtime; none: all cores")
    min_seconds: float = Field(3, gt=0, description="measured at least this long")
    min_samples: int = Field(100, ge=10, description="and at least so many calls")


class Recipe(_Section):
    """One run: data, teacher, student, MGD student, export, benchmark."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,60}$")] = Field(
        description="of the run: its results lie in runs/NAME"
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, description="of weights, order of pictures, augmentation and masks")
    device: Literal["cpu", "gpu"] = Field("cpu", description="what Paddle trains on")
    data: DataSection
    input: InputSection = InputSection()
    teacher: ModelSection
    student: ModelSection
    training: TrainingSection = TrainingSection()
    distillation: DistillationSection = DistillationSection()
    export: ExportSection = ExportSection()
    benchmark: BenchmarkSection = BenchmarkSection()

    def training_of(self, model: ModelSection) -> TrainingSection:
        """The shared training section with the model's own fields in it."""
        own = {k: v for k, v in model.training.model_dump().items() if v is not None}
        return self.training.model_copy(update=own)


def to_plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON values, defaults filled in: what is stored with a run and in a bundle."""
    plain: dict[str, Any] = recipe.model_dump(mode="json")
    return plain
