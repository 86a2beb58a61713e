"""The recipe: one YAML file that says everything about a run. Checked whole before any work starts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from ..core.settings.section import Fraction, Section, each_once
from ..detection.decode import DecodeSettings
from ..detection.images import ResizeRule
from .recipe_detectors import ModelSection, section_name
from .recipe_distillation import DistillationSection
from .recipe_sizes import DYNAMIC, STEP, parse_sizes
from .recipe_training import TrainingSection

Share = Annotated[int, Field(ge=0, le=1000)]


class SyntheticData(Section):
    """Synthetic hot-rolled steel, made on the spot: the same seed gives the same pictures everywhere."""

    train: int = Field(240, ge=1, le=100_000, description="pictures to train on")
    val: int = Field(60, ge=1, le=100_000, description="pictures to judge on")
    width: int = Field(200, ge=200, le=8192, description="of a picture in pixels")
    height: int = Field(200, ge=200, le=8192, description="of a picture in pixels")
    seed: int = Field(0, ge=0, description="another seed, other pictures")


class DataSection(Section):
    """Where the pictures come from: exactly one of ``synthetic`` and ``path``."""

    synthetic: SyntheticData | None = Field(None, description="pictures made on the spot")
    path: str | None = Field(None, description="folder or archive: Pascal VOC, COCO or a Temper data set")
    unlabelled: str | None = Field(
        None, description="folder of pictures without boxes that the student is distilled on too; 'path' has the others"
    )
    split_ratio: tuple[Share, Share, Share] = Field(
        (7, 2, 1), description="train:val:test, where the data brings no split"
    )
    split_seed: int = Field(0, ge=0, description="of that split")

    @model_validator(mode="after")
    def _one_source(self) -> DataSection:
        if (self.synthetic is None) == (self.path is None):
            raise ValueError("give exactly one of 'synthetic' and 'path', and leave the other out or set it to null")
        return self

    @field_validator("split_ratio")
    @classmethod
    def _something_in_both(cls, ratio: tuple[int, int, int]) -> tuple[int, int, int]:
        if 0 in ratio[:2]:
            raise ValueError("it must leave something to train on and something to judge on")
        return ratio


class InputSection(Section):
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


class ExportSection(Section):
    """What becomes of the trained models."""

    _no_doubles = field_validator("precisions")(each_once)

    precisions: tuple[Literal["fp32", "fp16", "int8", "int8-trt"], ...] = Field(
        ("fp32", "int8"), min_length=1, description="one graph each; 'int8' for processors, 'int8-trt' for TensorRT"
    )
    inputs: tuple[str, ...] = Field(
        (), description="sizes of the graphs, 'WIDTHxHEIGHT' or 'dynamic', the usual first; none: that of 'input'"
    )
    calibration_images: int = Field(128, ge=1, le=10_000, description="training pictures that set the ranges of int8")
    calibration: Literal["auto", "min_max", "entropy", "percentile"] = Field(
        "auto", description="how int8's ranges are chosen; 'auto' compares all on training pictures and keeps the best"
    )
    max_map_drop: float = Field(
        0.5,
        ge=0,
        le=100,
        description="points of mAP that a graph may lose to fp32; int8 keeps layers in fp32 to hold it",
    )
    max_small_drop: float = Field(
        1.0, ge=0, le=100, description="points of mAP of small defects (up to 32 x 32 pixels) that it may lose"
    )
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
    golden_images: str | None = Field(
        None,
        min_length=1,
        description="folder of pictures that the bundle carries with their answers, to be replayed on devices; none: "
        "synthetic steel",
    )

    @field_validator("inputs")
    @classmethod
    def _sizes(cls, inputs: tuple[str, ...]) -> tuple[str, ...]:
        parse_sizes(inputs, (STEP, STEP))
        return inputs

    def decode_settings(self) -> DecodeSettings:
        """The same settings, as detection knows them."""
        return DecodeSettings(self.score_floor, self.nms_iou, self.candidates, self.max_detections)


class BenchmarkSection(Section):
    """What is measured of the exported models."""

    _no_doubles = field_validator("runtimes", "batch_sizes")(each_once)

    # the names of deploy.runtimes.load.RUNTIMES
    runtimes: tuple[Literal["onnxruntime", "onnxruntime-cuda", "onnxruntime-tensorrt", "openvino", "tensorrt"], ...] = (
        Field(("onnxruntime",), min_length=1, description="what runs the graphs")
    )
    batch_sizes: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(
        (1,), min_length=1, description="pictures per call"
    )
    threads: int | None = Field(None, ge=1, le=512, description="of the runtime; null: all cores")
    starts: int = Field(10, ge=3, le=100, description="each is started anew so often, and measured in every start")
    min_seconds: float = Field(3, gt=0, le=36_000, description="measured at least this long, all starts together")
    min_samples: int = Field(100, ge=11, description="and at least so many calls")
    split: Literal["val", "test"] = Field(
        "val", description="pictures to judge on; nothing was chosen on those of 'test', where the data has some"
    )


class Recipe(Section):
    """One run: data, teacher, student, distilled student, export, benchmark."""

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

    @model_validator(mode="after")
    def _comparable_heads(self) -> Recipe:
        """Known before the teacher has been trained for hours; the loss itself looks closer."""
        if self.distillation.response is not None:
            for name in ("detector", "strides", "anchor_scale"):
                own, wanted = (getattr(model, name, None) for model in (self.student, self.teacher))
                if own != wanted:
                    raise ValueError(
                        f"distillation.response compares the heads place by place, so teacher and student need the "
                        f"same {name}, and these are {_shown(wanted)} and {_shown(own)}; make them the same, or set "
                        "distillation.response to null"
                    )
        return self

    @model_validator(mode="after")
    def _features_can_be_kept(self) -> Recipe:
        scales = "training.scales gives the pictures many sizes" if self.training.scales else None
        reason = self.distillation.why_live() or scales
        if self.distillation.features == "cached" and reason is not None:
            raise ValueError(
                f"distillation.features is cached, but {reason}, so the teacher has to be run in every step; set it to "
                "auto or live"
            )
        return self

    @model_validator(mode="after")
    def _sizes_fit_detectors(self) -> Recipe:
        bound = [name for name in ("teacher", "student") if getattr(self, name).detector != "retinanet"]
        if DYNAMIC in self.export.inputs and bound:
            raise ValueError(
                f"export.inputs has '{DYNAMIC}', and the network of a {getattr(self, bound[0]).detector} is bound to "
                "the size it is exported at; name sizes instead, for example 640x480"
            )
        return self

    @model_validator(mode="after")
    def _frozen_from_somewhere(self) -> Recipe:
        """Frozen norms and stages of fresh weights would stay noise."""
        for name, model in (("teacher", self.teacher), ("student", self.student)):
            frozen = getattr(model, "backbone_norm", "train") == "frozen" or getattr(model, "freeze_stages", 0) > 0
            if frozen and model.weights is None:
                raise ValueError(
                    f"{name} freezes parts of its backbone and starts from no weights, so these never learn; "
                    f"give {name}.weights, or set {name}.backbone_norm to train and {name}.freeze_stages to 0"
                )
        return self

    @model_validator(mode="after")
    def _student_trains(self) -> Recipe:
        if self.student.training.epochs == 0:
            raise ValueError("student.training.epochs is 0, so there is nothing a teacher could do; give at least 1")
        return self

    @model_validator(mode="after")
    def _judged_on_what_there_is(self) -> Recipe:
        if self.data.synthetic is not None and self.benchmark.split == "test":
            raise ValueError("benchmark.split is test, and synthetic data has no test pictures; set it to val")
        return self

    @model_validator(mode="after")
    def _precision_fits_device(self) -> Recipe:
        if self.training.precision != "fp32" and self.device == "cpu":
            raise ValueError(
                f"training.precision is {self.training.precision}, and Paddle mixes precisions on GPUs only; set "
                "training.precision: fp32, or device: gpu"
            )
        return self

    def section_of(self, model: str) -> ModelSection:
        """The section that describes one of the run's models: teacher, student or distilled."""
        section: ModelSection = getattr(self, section_name(model))
        return section

    def training_of(self, model: ModelSection) -> TrainingSection:
        """The shared training section with the model's own fields in it."""
        own = {k: v for k, v in model.training.model_dump().items() if v is not None}
        return self.training.model_copy(update=own)


def _shown(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


def to_plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON values, defaults filled in: what is stored with a run and in a bundle."""
    plain: dict[str, Any] = recipe.model_dump(mode="json")
    return plain
