"""PicoDet and PP-YOLOE in training: alone, and as teacher and student of one another and of RetinaNets."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from point_detectors import SMALL
from temper.core.errors import TemperError, UsageError
from temper.core.events import Event, silent
from temper.detection.dataset import DataSet
from temper.distill.recipe_detectors import PicoDetSection, PpYoloeSection, RetinaNetSection
from temper.distill.recipe_distillation import DistillationSection, MgdSection
from temper.distill.weights import load_weights, save_weights

paddle = pytest.importorskip("paddle", reason="training needs PaddlePaddle")

from temper.distill.detectors.build import build_detector, load_into  # noqa: E402
from temper.distill.detectors.normalise import GREY, IMAGENET, UNIT, normalisation_for  # noqa: E402
from temper.distill.losses.base import common_strides  # noqa: E402
from temper.distill.training.loader import Batch  # noqa: E402
from temper.distill.training.log import read_metrics  # noqa: E402
from temper.distill.training.teacher import Teacher  # noqa: E402
from temper.distill.training.train import train_model  # noqa: E402

THIN = RetinaNetSection(
    depth=18, width=0.125, neck_channels=16, head_convs=1, head_norm="level_batch", strides=(8, 16, 32)
)
STILL = {"flip_horizontal": False, "flip_vertical": False, "brightness": 0, "contrast": 0}


class Interrupted(Exception):
    pass


def stop_after(steps: int):
    def report(event: Event) -> None:
        if event.kind == "step" and event.data["done"] == steps:
            raise Interrupted

    return report


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["picodet", "picodet-esnet", "ppyoloe+"])
def test_it_learns(kind, make_job, toy_sets, tmp_path):
    few = toy_sets[0].subset(range(8))
    training = {
        "epochs": 60,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "evaluate_every": 0,
        "checkpoint_seconds": 1000,
        "augment": STILL,
    }
    record = train_model(make_job(detector=SMALL[kind], training=training, train=few, val=few), tmp_path, silent)
    totals = [e["total"] for e in read_metrics(tmp_path / "metrics.jsonl") if e["kind"] == "step"]
    assert totals[-1] < 0.6 * max(totals)
    assert record.accuracy["ap50"] > 50
    assert record.loss.startswith("classification + overlap + distribution")


@pytest.mark.parametrize("kind", ["picodet", "ppyoloe+"])
def test_interrupted_training_ends_with_the_same_bytes(kind, make_job, tmp_path):
    job = make_job(detector=SMALL[kind], training={"epochs": 2, "batch_size": 6, "evaluate_every": 0})
    train_model(job, tmp_path / "whole", silent)
    with pytest.raises(Interrupted):
        train_model(job, tmp_path / "broken", stop_after(3))
    train_model(job, tmp_path / "broken", silent)
    for name in ("weights.safetensors", "metrics.jsonl"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("teacher", "student", "strides"),
    [
        (PicoDetSection(size="xs", head_convs=1, neck_channels=56), SMALL["picodet"], "8, 16, 32, 64"),
        (SMALL["picodet-esnet"], SMALL["picodet"], "8, 16, 32, 64"),
        (PpYoloeSection(width_mult=0.375), SMALL["ppyoloe+"], "8, 16, 32"),
        (THIN, SMALL["picodet"], "8, 16, 32"),
        (SMALL["ppyoloe+"], THIN, "8, 16, 32"),
        (SMALL["picodet"], SMALL["ppyoloe"], "8, 16, 32"),
    ],
    ids=["picodets", "backbones", "ppyoloes", "retinanet-picodet", "ppyoloe-retinanet", "picodet-ppyoloe"],
)
def test_any_of_them_teaches_any(teacher, student, strides, make_job, toy_sets, tmp_path):
    labels = toy_sets[0].labels
    path = tmp_path / "teacher.safetensors"
    trained = build_detector(teacher, labels, 1)
    save_weights(path, {name: value.numpy() for name, value in trained.state_dict().items()})
    job = make_job(
        "distilled",
        detector=student,
        training={"epochs": 1, "batch_size": 12, "evaluate_every": 0},
        distillation=DistillationSection(mgd=MgdSection(alpha=1, alpha_form="mean")),
        teacher=teacher,
        teacher_weights=path,
    )
    record = train_model(job, tmp_path / "out", silent)
    assert f"over strides {strides}," in record.loss
    first = read_metrics(tmp_path / "out/metrics.jsonl")[0]
    assert first["distillation"]["mgd"] > 0
    own = set(build_detector(student, labels, 0).state_dict())
    assert set(load_weights(tmp_path / "out/weights.safetensors")) == own, "no align or generation layer is left"


def test_necks_without_a_stride_in_common():
    with pytest.raises(UsageError, match=r"strides \[8, 16\] and the teacher's \[32, 64\]: none in common"):
        common_strides((8, 16), (32, 64))


@pytest.mark.parametrize("channels", ["grey", "rgb"])
def test_a_teacher_sees_pictures_as_it_was_trained_on_them(channels, toy_sets, tmp_path):
    section, labels = SMALL["ppyoloe+"], toy_sets[0].labels
    detector = build_detector(section, labels, 0)
    save_weights(tmp_path / "t.safetensors", {n: v.numpy() for n, v in detector.state_dict().items()})
    students, own = normalisation_for(channels), normalisation_for(channels, section.pixel_scale)
    assert (students, own) == (GREY if channels == "grey" else IMAGENET, UNIT)
    teacher = Teacher(section, tmp_path / "t.safetensors", labels, 0, students.rescaling_to(own))
    shape = (2, 64, 64) if channels == "grey" else (2, 64, 64, 3)
    pictures = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    images = paddle.to_tensor(students.apply(pictures))
    batch = Batch((0, 1), students.apply(pictures), {}, (), ())
    answer = teacher.answer(batch, images, (8, 32), head=False)
    detector.eval()
    expected = detector.neck_features(paddle.to_tensor(own.apply(pictures)))
    for ours, theirs in zip(answer.features, (expected[0], expected[2]), strict=True):
        assert np.allclose(ours.numpy(), theirs.numpy(), atol=1e-4)
    assert own.rescaling_to(own) is None


def written(job, path: Path, labels: tuple[str, ...]) -> Path:
    """Weights trained on other classes: as Temper writes them, and as Paddle does."""
    detector = build_detector(job.detector, labels, 3)
    if path.suffix == ".pdparams":
        paddle.save(detector.state_dict(), str(path))
    else:
        import json

        state = {name: value.numpy() for name, value in detector.state_dict().items()}
        save_weights(path, state, {"labels": json.dumps(labels)})
    return path


@pytest.mark.parametrize("section", [THIN, *SMALL.values()], ids=["retinanet", *SMALL])
def test_weights_that_know_another_number_of_classes(section, make_job, toy_sets, tmp_path):
    job = make_job(detector=section, training={"epochs": 1, "batch_size": 24, "evaluate_every": 0})
    path = written(job, tmp_path / "coco.pdparams", tuple("abcde"))
    detector = build_detector(section, job.train.labels, 0)
    with pytest.raises(
        TemperError, match=r"tell 5 classes apart, and the data has 2 \(dark, bright\)\. Use the recipe"
    ):
        load_into(detector, path, whole=True, labels=job.train.labels)
    report = load_into(detector, path, whole=False, labels=job.train.labels)
    assert "tell 5 classes apart" in report.other_classes
    assert set(report.missing) & set(detector.class_tensors)
    backbone = load_weights(path)
    taken = {n: v.numpy() for n, v in detector.state_dict().items() if n.startswith(("backbone.", "neck."))}
    assert all(np.array_equal(value, backbone[name]) for name, value in taken.items())


def test_weights_with_the_same_number_of_other_classes(make_job, tmp_path):
    job = make_job(training={"epochs": 1, "batch_size": 24, "evaluate_every": 0})
    path = written(job, tmp_path / "other.safetensors", ("bright", "dark"))
    detector = build_detector(job.detector, job.train.labels, 0)
    message = r"tell the classes bright, dark apart, and the data has dark, bright, in this order"
    with pytest.raises(TemperError, match=message):
        load_into(detector, path, whole=True, labels=job.train.labels)
    events: list[Event] = []
    started = replace(job, detector=job.detector.model_copy(update={"weights": str(path)}))
    train_model(started, tmp_path / "out", events.append)
    (warning,) = [e.data["message"] for e in events if e.kind == "warning"]
    assert warning.endswith("What tells them apart starts fresh.")
    with pytest.raises(TemperError, match=message):
        Teacher(job.detector, path, job.train.labels, 0)


def test_training_tells_its_classes_in_the_weights(make_job, toy_sets: tuple[DataSet, DataSet], tmp_path):
    train_model(make_job(training={"epochs": 1, "batch_size": 24}), tmp_path, silent)
    detector = build_detector(THIN, ("a", "b"), 0)
    with pytest.raises(TemperError, match="tell the classes dark, bright apart, and the data has a, b, in this order"):
        load_into(detector, tmp_path / "weights.safetensors", whole=True, labels=("a", "b"))


def test_trained_weights_are_taken_as_they_are(make_job, tmp_path):
    job = make_job("teacher")
    trained = train_model(job, tmp_path / "trained", silent)
    section = job.detector.model_copy(update={"weights": str(tmp_path / "trained/weights.safetensors")})
    # the recipe's section refuses 0 for all models; a model's own training section may have it
    taken = replace(job, detector=section, training=job.training.model_copy(update={"epochs": 0}))
    record = train_model(taken, tmp_path / "taken", silent)
    assert record.steps == 0 and record.accuracy == trained.accuracy
    assert record.weights_sha256 == trained.weights_sha256
    other = written(job, tmp_path / "coco.pdparams", tuple("abc"))
    taken = replace(taken, detector=section.model_copy(update={"weights": str(other)}))
    with pytest.raises(TemperError, match=r"tell 3 classes apart.*Or train them .*: set teacher\.training\.epochs"):
        train_model(taken, tmp_path / "refused", silent)


@pytest.mark.parametrize("kind", ["<f2", ">f4", "<f8"])
def test_weights_of_another_float_type_are_taken(tmp_path: Path, kind: str) -> None:
    """Half precision, doubles and another byte order are in files; what the tensors have is what counts."""
    detector = build_detector(THIN, ("a", "b"), 0)
    name, tensor = next(iter(detector.state_dict().items()))
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps({name: np.full(tensor.shape, 0.5, kind)}))
    load_into(detector, tmp_path / "w.pdparams", whole=False, labels=("a", "b"))
    assert float(detector.state_dict()[name].mean()) == 0.5
