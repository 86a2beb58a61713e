"""What a training run is asked to do, and what it leaves behind."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ...detection.dataset import DataSet
from ...detection.decode import DecodeSettings
from ..recipe import InputSection
from ..recipe_detectors import DetectorSection
from ..recipe_distillation import DistillationSection
from ..recipe_training import TrainingSection

Role = Literal["teacher", "student", "distilled"]

WEIGHTS_NAME = "weights.safetensors"
METRICS_NAME = "metrics.jsonl"
EXAMPLES_NAME = "examples.jsonl"
RECORD_NAME = "record.json"
CHECKPOINTS_NAME = "checkpoints"
#: Folder of the teacher's features, where the recipe names no other.
FEATURES_NAME = "features"


@dataclass(frozen=True)
class TrainingJob:
    """One model to train.

    Attributes:
        role: what the model is in the run; ``"distilled"`` needs the three last fields.
        detector: its description.
        training: schedule, optimizer, augmentation, with the model's own fields already in it.
        input: size and channels of the network's input.
        decode: how its raw numbers become detections when mAP is measured.
        train: pictures to learn from.
        val: pictures to measure mAP on; nothing is chosen by them.
        seed: of weights, order, augmentation and masks.
        device: ``"cpu"`` or ``"gpu"``.
        distillation: the loss that ties it to the teacher.
        teacher: description of the teacher.
        teacher_weights: the teacher's trained weights.
        visual_log: folder for a VisualDL log of the training; None for no such log.
        unlabelled: folder of pictures without boxes to distil on besides.
        test: pictures that are judged on later; no training reads them, and none may come in among the unlabelled ones.
        unlabelled_list: file with the list of them, made by the first training that needs it; None for one of the
            training's own in its folder.
    """

    role: Role
    detector: DetectorSection
    training: TrainingSection
    input: InputSection
    decode: DecodeSettings
    train: DataSet
    val: DataSet
    seed: int
    device: Literal["cpu", "gpu"] = "cpu"
    distillation: DistillationSection | None = None
    teacher: DetectorSection | None = None
    teacher_weights: Path | None = None
    visual_log: Path | None = None
    unlabelled: Path | None = None
    test: DataSet | None = None
    unlabelled_list: Path | None = None


@dataclass(frozen=True)
class TrainingRecord:
    """What came of a :class:`TrainingJob`; kept as ``record.json`` beside the weights.

    Attributes:
        role: as in the job.
        epochs: trained in all.
        steps: optimizer steps in all.
        seconds: time spent in training and evaluation, over all interruptions.
        images_per_second: training pictures per second of that time.
        parameters: trained and frozen numbers in the detector.
        weights_sha256: of ``weights.safetensors``.
        accuracy: COCO figures of the final weights on the validation pictures.
        loss: the training loss in words.
        inherited: how many of the student's tensors started as the teacher's.
        best_epoch: with early stopping, the epoch whose weights these are; None without.
    """

    role: Role
    epochs: int
    steps: int
    seconds: float
    images_per_second: float
    parameters: int
    weights_sha256: str
    accuracy: dict[str, Any]
    loss: str
    inherited: int = 0
    best_epoch: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)
