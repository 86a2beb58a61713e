"""The manifest: what a bundle says of itself, checked field by field before anything is loaded.

A bundle is a folder ``NAME.temper/`` (or one zip of it) that holds ``manifest.json``, the files it names, and
``signature.json`` if it was signed. It is the only thing that crosses from export to the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from ..core.files import json_bytes, sha256_json
from ..detection.dataset import MAX_LABEL_LENGTH, MAX_LABELS

SCHEMA_VERSION: Literal[1] = 1
MANIFEST_NAME = "manifest.json"
#: The one file of a bundle that the manifest does not name, as it is made of the manifest.
SIGNATURE_NAME = "signature.json"
#: The ending of a bundle's folder.
BUNDLE_SUFFIX = ".temper"
#: A manifest longer than this is not read.
MAX_MANIFEST_BYTES = 4 << 20
#: More golden pictures than these make no check better.
MAX_GOLDEN_IMAGES = 64

#: Of a bundle.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,80}$"
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
#: A name people read; without control characters, as it is shown and logged.
Label = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_LABEL_LENGTH, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
]
#: A file below the bundle's folder: plain names joined by single slashes, nothing that climbs.
RelativePath = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*(/[A-Za-z0-9_][A-Za-z0-9_.\-]*)*$", max_length=200)
]
VariantName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9\-]{0,40}$")]
NodeName = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Precision = Literal["fp32", "fp16", "int8"]
#: How int8's ranges are chosen from what was seen of an activation.
CalibrationMethod = Literal["min_max", "entropy", "percentile"]
Target = Literal["any", "cpu", "tensorrt"]
Score = Annotated[float, Field(ge=0, le=1)]
Points = Annotated[float, Field(ge=0, le=100)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class InputRule(_Model):
    """What the graph takes, and how a picture of any size becomes it (see ``detection.images.ResizeRule``)."""

    width: int = Field(ge=16, le=16384)
    height: int = Field(ge=16, le=16384)
    channels: Literal["grey", "rgb"]
    resize: Literal["stretch", "letterbox"] = "stretch"


class RawDifference(_Model):
    """How far one of the network's two outputs, before decoding, is from the Paddle model's.

    ``relative_error`` is the length of the difference by the length of Paddle's output (root of the sums of squares),
    of the picture where it is largest.
    """

    largest: float = Field(ge=0)
    mean: float = Field(ge=0)
    relative_error: float = Field(ge=0)


class Parity(_Model):
    """How far a variant's graph is from the Paddle model on one runtime, on real pictures of the validation split.

    Detections are matched one to one: same picture, same label, IoU at least 0.95, scores within 0.01 (how is in
    ``detection.agreement``). Differences of scores and boxes are over those pairs; boxes are compared in pixels of the
    graph's input. mAP is of those same pictures. The tolerances are in ``deploy.compare``.
    """

    images: int = Field(ge=1)
    runtime: str
    largest_score_difference: float = Field(ge=0)
    largest_box_difference_px: float = Field(ge=0)
    mean_score_difference: float | None = Field(None, ge=0)
    mean_box_difference_px: float | None = Field(None, ge=0)
    matched_share: float = Field(ge=0, le=1, description="share of both sides' detections that have a partner")
    map_paddle: Points | None = None
    map_graph: Points | None = None
    raw: dict[Literal["scores", "regressions"], RawDifference] = Field(
        default_factory=dict, description="of the network's outputs, where the runtime shows them"
    )


class Accuracy(_Model):
    """COCO figures of a variant on the validation split, points from 0 to 100; None where there is no truth."""

    images: int = Field(ge=0)
    ap: Points | None
    ap50: Points | None
    ap75: Points | None
    ap_small: Points | None
    ap_medium: Points | None
    ap_large: Points | None
    per_class: dict[Label, Points | None]


class Size(_Model):
    """A picture's size in pixels."""

    width: int = Field(ge=16, le=16384)
    height: int = Field(ge=16, le=16384)


class Compared(_Model):
    """What one way of choosing int8's ranges came to, on training pictures."""

    method: CalibrationMethod
    ap: Points | None


class TradeOff(_Model):
    """One point of the curve of accuracy against speed: so many layers left in floating point."""

    kept_float: int = Field(ge=0)
    ap: Points | None
    ap_small: Points | None
    latency_ms: float | None = Field(
        ge=0, description="median of a picture on ONNX Runtime while exporting; None where this machine is no measure"
    )


class Quantization(_Model):
    """How a graph became int8."""

    activations: Literal["u8 asymmetric", "s8 symmetric"]
    weight_bits: Literal[7, 8]
    method: CalibrationMethod
    images: int = Field(ge=1, description="training pictures the ranges were measured on")
    compared: list[Compared] = Field(default_factory=list, max_length=10)
    compared_images: int = Field(0, ge=0, description="training pictures the methods were compared on")
    warnings: list[str] = Field(default_factory=list, max_length=100)
    fp32_latency_ms: float | None = Field(None, ge=0, description="of fp32, beside the trade-off's, in the same rounds")
    trade_off: list[TradeOff] = Field(default_factory=list, max_length=100)


class Variant(_Model):
    """One graph of the bundle."""

    name: VariantName
    precision: Precision
    target: Target = "any"
    size: Size | None = Field(None, description="of the graph's input, where it is not the manifest's")
    any_size: bool = Field(False, description="whether the graph takes pictures of other sizes too")
    file: RelativePath
    sha256: Sha256
    bytes: int = Field(ge=1, le=2**31)
    kept_float: list[NodeName] = Field(
        default_factory=list, max_length=10_000, description="nodes that compute in fp32 where the others do not"
    )
    quantization: Quantization | None = None
    parity: Parity | None = Field(None, description="on ONNX Runtime, on the processor")
    parity_elsewhere: list[Parity] = Field(
        default_factory=list, max_length=20, description="on the other runtimes of the machine that exported it"
    )
    accuracy: Accuracy | None = None


class LeftOut(_Model):
    """A variant that was asked for and is not in the bundle."""

    name: VariantName
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    quantization: Quantization | None = Field(None, description="how far it came")


class BundleFile(_Model):
    """A file of the bundle, and what its content has to be."""

    file: RelativePath
    sha256: Sha256
    bytes: int = Field(ge=1, le=2**31)


class Golden(_Model):
    """Pictures with what every graph answered at export, to be replayed on any device.

    The form of the answers is in ``bundle.golden``, how near a device has to come in ``deploy.compare``.
    """

    origin: Literal["synthetic", "own"] = Field(description="drawn by Temper, or given by whoever exported")
    images: list[BundleFile] = Field(min_length=1, max_length=MAX_GOLDEN_IMAGES)
    answers: BundleFile
    runtime: str = Field(description="what gave the answers")
    silent: list[VariantName] = Field(
        default_factory=list, max_length=100, description="variants without a detection on any of the pictures"
    )


class MadeBy(_Model):
    """Where the bundle comes from."""

    temper: str
    role: Literal["teacher", "student", "distilled", "other"]
    recipe: dict[str, Any]
    data_sha256: Sha256
    weights_sha256: Sha256
    versions: dict[str, str]
    training: dict[str, Any] | None = Field(None, description="record of the training that made the weights")


class JudgedPart(_Model):
    """Some pictures, and what escapes and is flagged wrongly there at the bundle's thresholds."""

    data: str
    data_sha256: Sha256
    images: int = Field(ge=1)
    defects: int = Field(ge=0)
    missed: int = Field(ge=0)
    false_alarms: int = Field(ge=0)


class ThresholdsChosen(_Model):
    """How the thresholds of a bundle were chosen anew for a wanted escape rate (``temper bench thresholds``)."""

    escape_rate: Score = Field(description="wanted, of every class")
    found_iou: Score = Field(description="from which a detection lies on a defect")
    variant: str
    runtime: str
    chosen_on: JudgedPart
    judged_on: JudgedPart
    manifest_sha256: Sha256 = Field(description="of the bundle whose graphs these are")


def with_checksum(values: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest's plain values with the checksum over them, by which a slip or a damage is noticed.

    It stops nobody who means harm, as anybody can compute it: that is what a signature is for.
    """
    others = {name: value for name, value in values.items() if name != "checksum"}
    return {**others, "checksum": sha256_json(others)}


class Manifest(_Model):
    """Everything a device needs to know; unknown fields are refused."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
    labels: list[Label] = Field(min_length=1, max_length=MAX_LABELS)
    input: InputRule
    thresholds: dict[Label, Score] = Field(description="operating point of each class")
    thresholds_chosen: ThresholdsChosen | None = Field(None, description="None for those of the export")
    score_floor: Score
    nms_iou: Score
    max_detections: int = Field(ge=1, le=10_000)
    variants: list[Variant] = Field(min_length=1, max_length=100)
    left_out: list[LeftOut] = Field(default_factory=list, max_length=100)
    made_by: MadeBy
    golden: Golden | None = None
    card: BundleFile | None = Field(None, description="what people should read before they use it, in Markdown")
    checksum: Sha256 | None = Field(
        None, description="SHA-256 of all other fields as JSON with sorted keys and no white space; always in a bundle"
    )

    def files(self) -> list[BundleFile]:
        """Every file of the bundle but the manifest itself and its signature."""
        graphs = [BundleFile(file=one.file, sha256=one.sha256, bytes=one.bytes) for one in self.variants]
        golden = [] if self.golden is None else [*self.golden.images, self.golden.answers]
        return [*graphs, *golden, *([] if self.card is None else [self.card])]

    def at_size_of(self, variant: Variant) -> Manifest:
        """What this manifest says, at the size of one of its variants where that has its own."""
        if variant.size is None:
            return self
        return self.model_copy(update={"input": self.input.model_copy(update=variant.size.model_dump())})

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels are not unique")
        if set(self.thresholds) != set(self.labels):
            raise ValueError("thresholds must name every label once")
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names):
            raise ValueError("variant names are not unique")
        # some file systems do not tell capitals from small letters
        files = [one.file.lower() for one in self.files()]
        if len(set(files)) != len(files):
            raise ValueError("two of its files have the same name")
        for reserved in (MANIFEST_NAME, SIGNATURE_NAME):
            if reserved in files:
                raise ValueError(f"one of its files is called {reserved}")
        return self


def to_bytes(manifest: Manifest) -> bytes:
    """The content of a manifest's file, with its checksum; equal manifests are equal bytes."""
    return json_bytes(with_checksum(manifest.model_dump(mode="json")))
