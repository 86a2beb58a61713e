"""A recipe's ``teacher`` and ``student``: which detector, how large, started from what.

One section per kind of detector, chosen by its field ``detector``, each with the fields of that kind alone.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag, field_validator, model_validator

from ..core.settings.section import Fraction, Section
from .detectors.sizes import PICODET_SIZES, PICODET_STRIDES, PPYOLOE_NECK, PPYOLOE_SIZES, PPYOLOE_STRIDES
from .recipe_training import TrainingOverride
from .weights_address import check_address, is_address

#: How pixels become the network's numbers: with ImageNet's mean and spread, or divided by 255 alone.
PixelScale = Literal["imagenet", "unit"]
#: The sections of a recipe that describe a network: the taught student is the student's.
MODEL_SECTIONS = ("teacher", "student")
#: What a section is taken for that does not say.
DEFAULT_DETECTOR = "retinanet"


class DetectorSection(Section):
    """What every kind of detector has: where its weights come from, and what is special about its training."""

    detector: str = Field(description="kind of detector")
    config: str | None = Field(None, description="a YAML file of PaddleDetection that says what stands here")
    weights: str | None = Field(None, description="to start from: .pdparams or .safetensors, a file or https://")
    weights_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None,
        description="the only content that these weights may have",
        json_schema_extra={"takes": "64 hexadecimal digits in lower case"},
    )
    pixels: PixelScale | None = Field(
        None,
        description="'imagenet': less the mean, by the spread; 'unit': by 255 alone; null: as the kind was pretrained",
    )
    training: TrainingOverride = TrainingOverride()

    @property
    def pixel_scale(self) -> PixelScale:
        """How pixels become the network's numbers."""
        return self.pixels or "imagenet"

    def neck(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Strides of the neck's levels, ascending, and the channels of each."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its neck is")

    def architecture(self) -> dict[str, Any]:
        """What the network is, without where its weights come from, as plain JSON values."""
        outside = {"training", "weights", "weights_sha256", "config"}
        plain: dict[str, Any] = self.model_dump(mode="json", exclude=outside)
        return plain

    @model_validator(mode="after")
    def _weights(self) -> DetectorSection:
        if self.config is not None:
            raise ValueError("config is followed where a recipe's file is read, and this section comes from elsewhere")
        if self.weights is not None and is_address(self.weights):
            check_address(self.weights)
        if self.weights_sha256 is not None and self.weights is None:
            raise ValueError("weights_sha256 belongs to weights, and there are none")
        if self.training.epochs == 0 and self.weights is None:
            raise ValueError("training.epochs is 0, so weights must name the trained model")
        return self


class RetinaNetSection(DetectorSection):
    """A RetinaNet of PaddleDetection (Lin et al., 2017, arXiv 1708.02002)."""

    detector: Literal["retinanet"] = Field("retinanet", description="kind of detector")
    depth: Literal[18, 34, 50, 101, 152] = Field(50, description="of the ResNet")
    width: float = Field(1.0, gt=0, le=1, description="share of the ResNet's channels; below 1 for small devices")
    neck_channels: int = Field(256, ge=8, le=1024, description="of every level of the feature pyramid")
    head_convs: int = Field(4, ge=0, le=8, description="convolutions in each branch of the head")
    head_norm: Literal["none", "group", "level_batch"] = Field(
        "none",
        description="'group': in 32 groups or the most that divide; 'level_batch': batch norm per level behind shared "
        "convolutions, folds away at export",
    )
    strides: tuple[int, ...] = Field(
        (8, 16, 32, 64, 128), description="of the neck's levels: 8, 16, 32, with or without 64 and 128"
    )
    anchor_scale: float = Field(4.0, gt=0, le=100, description="smallest anchor side, as a multiple of the stride")
    backbone_norm: Literal["train", "frozen"] = Field("train", description="'frozen' with pretrained weights")
    freeze_stages: int = Field(0, ge=0, le=4, description="how many first ResNet stages do not train")

    def neck(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """See :class:`DetectorSection`."""
        return self.strides, (self.neck_channels,) * len(self.strides)

    @field_validator("strides")
    @classmethod
    def _known_levels(cls, strides: tuple[int, ...]) -> tuple[int, ...]:
        if strides not in ((8, 16, 32), (8, 16, 32, 64), (8, 16, 32, 64, 128)):
            raise ValueError("it takes [8, 16, 32], with or without 64 and 128 behind them")
        return strides


class PicoDetSection(DetectorSection):
    """A PicoDet of PaddleDetection (Yu et al., 2021, arXiv 2111.00902)."""

    detector: Literal["picodet"] = Field("picodet", description="kind of detector")
    size: Literal["xs", "s", "m", "l"] = Field("s", description="as in PaddleDetection")
    backbone: Literal["lcnet", "esnet"] = Field(
        "lcnet", description="'esnet' is the older model, assigned by SimOTA; it has no xs"
    )
    backbone_scale: float | None = Field(None, gt=0, le=4, description="share of the backbone's channels; by size")
    neck_channels: int | None = Field(None, ge=8, le=1024, description="of neck and head; by size")
    head_convs: int | None = Field(None, ge=1, le=8, description="in the head, at every level; by size")
    atss_share: Fraction = Field(
        1 / 3, description="share of the training in which ATSS says which place answers for a box; 'lcnet' alone"
    )

    @model_validator(mode="after")
    def _known_size(self) -> PicoDetSection:
        if (self.backbone, self.size) not in PICODET_SIZES:
            raise ValueError(f"there is no size {self.size} with backbone {self.backbone}; take s, m or l, or lcnet")
        return self

    def neck(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """See :class:`DetectorSection`."""
        return PICODET_STRIDES, (self.dimensions()[1],) * len(PICODET_STRIDES)

    def dimensions(self) -> tuple[float, int, int]:
        """Scale of the backbone, channels of neck and head, and convolutions in the head."""
        scale, channels, convs = PICODET_SIZES[self.backbone, self.size]
        return self.backbone_scale or scale, self.neck_channels or channels, self.head_convs or convs


class PpYoloeSection(DetectorSection):
    """A PP-YOLOE or PP-YOLOE+ of PaddleDetection (Xu et al., 2022, arXiv 2203.16250)."""

    detector: Literal["ppyoloe"] = Field("ppyoloe", description="kind of detector")
    size: Literal["s", "m", "l", "x"] = Field("s", description="as in PaddleDetection")
    plus: bool = Field(True, description="PP-YOLOE+: weighted shortcuts, pretrained on pixels divided by 255 alone")
    depth_mult: float | None = Field(None, gt=0, le=4, description="factor of the number of blocks; by size")
    width_mult: float | None = Field(
        None, gt=0, le=4, description="factor of all channels, taken to the nearest eighth; by size"
    )
    atss_share: Fraction = Field(
        1 / 3, description="share of the training in which ATSS says which place answers for a box"
    )

    @property
    def pixel_scale(self) -> PixelScale:
        """See :class:`DetectorSection`."""
        return self.pixels or ("unit" if self.plus else "imagenet")

    def neck(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """See :class:`DetectorSection`."""
        width = self.multipliers()[1]
        return PPYOLOE_STRIDES, tuple(max(round(channels * width), 1) for channels in reversed(PPYOLOE_NECK))

    def architecture(self) -> dict[str, Any]:
        """See :class:`DetectorSection`; with the width that is built, so that two that are one network are one."""
        return super().architecture() | ({} if self.width_mult is None else {"width_mult": self.multipliers()[1]})

    def multipliers(self) -> tuple[float, float]:
        """Factors of the number of blocks and of the channels.

        The latter in eighths: the thinnest layer has 64 channels, and PaddleDetection halves sums of channels, which
        must be even; multiples of 8 are what processors are fast at, too.
        """
        depth, width = PPYOLOE_SIZES[self.size]
        return self.depth_mult or depth, max(round(8 * (self.width_mult or width)), 1) / 8


def section_name(model: str) -> str:
    """The section of a recipe that describes one of a run's models, itself one of :data:`MODEL_SECTIONS`.

    Args:
        model: one of ``core.models.MODELS``.
    """
    return "teacher" if model == "teacher" else "student"


def _kind(value: Any) -> Any:
    return value.get("detector", DEFAULT_DETECTOR) if isinstance(value, dict) else getattr(value, "detector", None)


#: A recipe's ``teacher`` or ``student``: one of the sections, by its ``detector``.
ModelSection = Annotated[
    Annotated[RetinaNetSection, Tag("retinanet")]
    | Annotated[PicoDetSection, Tag("picodet")]
    | Annotated[PpYoloeSection, Tag("ppyoloe")],
    Discriminator(_kind),
]
