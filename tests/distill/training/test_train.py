from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from temper.core.errors import TemperError
from temper.core.events import Event, silent
from temper.detection.dataset import DataSet
from temper.distill.recipe_detectors import RetinaNetSection
from temper.distill.recipe_distillation import DistillationSection, MgdSection
from temper.distill.weights import load_weights, save_weights

paddle = pytest.importorskip("paddle", reason="training needs PaddlePaddle")

from temper.distill.training.checkpoint import latest_checkpoint  # noqa: E402
from temper.distill.training.log import read_metrics  # noqa: E402
from temper.distill.training.train import train_model, use_device  # noqa: E402


class Interrupted(Exception):
    pass


def stop_after(steps: int):
    """A reporter that breaks off the training after so many steps, as a power cut would."""
    seen = 0

    def report(event: Event) -> None:
        nonlocal seen
        if event.kind == "step":
            seen += 1
            if seen == steps:
                raise Interrupted

    return report


def distilled(make_job, teacher_out: Path, **fields):
    teacher = make_job("teacher", detector={"neck_channels": 24})
    train_model(teacher, teacher_out, silent)
    return make_job(
        "distilled",
        distillation=DistillationSection(mgd=MgdSection(alpha=0.5, alpha_form="mean")),
        teacher=teacher.detector,
        teacher_weights=teacher_out / "weights.safetensors",
        **fields,
    )


def test_training_learns_and_leaves_a_record(make_job, tmp_path):
    events: list[Event] = []
    record = train_model(make_job(training={"epochs": 30, "checkpoint_seconds": 1000}), tmp_path, events.append)
    steps = [e for e in read_metrics(tmp_path / "metrics.jsonl") if e["kind"] == "step"]
    assert len(steps) == record.steps == 30 * 6
    assert np.mean([e["total"] for e in steps[-6:]]) < 0.6 * np.mean([e["total"] for e in steps[:6]])
    assert record.accuracy["ap50"] > 20
    assert not (tmp_path / "checkpoints").exists()
    assert [e.data["done"] for e in events if e.kind == "step"] == list(range(1, 181))


def test_finished_training_is_not_repeated(make_job, tmp_path):
    first = train_model(make_job(), tmp_path, silent)
    assert train_model(make_job(), tmp_path, stop_after(1)) == first


@pytest.mark.parametrize("optimizer", ["adamw", "momentum"])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_interrupted_training_ends_with_the_same_bytes(make_job, tmp_path, optimizer, ema):
    training = {"optimizer": optimizer, "ema_decay": ema}
    train_model(make_job(training=training), tmp_path / "whole", silent)
    for steps in (5, 2, 6):
        with pytest.raises(Interrupted):
            train_model(make_job(training=training), tmp_path / "broken", stop_after(steps))
    train_model(make_job(training=training), tmp_path / "broken", silent)
    for name in ("weights.safetensors", "metrics.jsonl"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_interrupted_distillation_ends_with_the_same_bytes(make_job, tmp_path):
    job = distilled(make_job, tmp_path / "teacher")
    train_model(job, tmp_path / "whole", silent)
    with pytest.raises(Interrupted):
        train_model(job, tmp_path / "broken", stop_after(7))
    train_model(job, tmp_path / "broken", silent)
    assert (tmp_path / "broken/weights.safetensors").read_bytes() == (
        tmp_path / "whole/weights.safetensors"
    ).read_bytes()


def test_generator_moves_teacher_stays_and_export_has_neither(make_job, tmp_path):
    job = distilled(make_job, tmp_path / "teacher", training={"checkpoint_seconds": 0})
    before = (tmp_path / "teacher/weights.safetensors").read_bytes()
    with pytest.raises(Interrupted):
        train_model(job, tmp_path / "out", stop_after(2))
    early = latest_checkpoint(tmp_path / "out/checkpoints")[0].groups["distillation"]
    with pytest.raises(Interrupted):
        train_model(job, tmp_path / "out", stop_after(10))
    late = latest_checkpoint(tmp_path / "out/checkpoints")[0].groups["distillation"]
    moved = [name for name in early if not np.array_equal(early[name], late[name])]
    assert sorted(moved) == sorted(early), "every tensor of the align and generation layers is trained"
    record = train_model(job, tmp_path / "out", silent)
    assert (tmp_path / "teacher/weights.safetensors").read_bytes() == before
    assert not [
        name for name in load_weights(tmp_path / "out/weights.safetensors") if "generate" in name or "align" in name
    ]
    assert "mgd" in read_metrics(tmp_path / "out/metrics.jsonl")[0]["distillation"]
    assert "mask hides 65%" in record.loss


def test_teacher_is_never_changed_by_distilling(make_job, tmp_path):
    from temper.distill.detectors.build import build_detector
    from temper.distill.detectors.normalise import GREY
    from temper.distill.training.distiller import Distiller
    from temper.distill.training.loader import BatchLoader, PictureStore
    from temper.distill.training.teacher import Teacher

    job = distilled(make_job, tmp_path / "teacher")
    student = build_detector(job.detector, job.train.labels, 0)
    teacher = Teacher(job.teacher, job.teacher_weights, job.train.labels, 0)
    distiller = Distiller(student, job.distillation, teacher, 0)
    before = {name: value.numpy().copy() for name, value in teacher.detector.state_dict().items()}
    store = PictureStore(job.train, job.input.rule(), "grey")
    loader = BatchLoader(store, student, GREY, job.training.augment, batch_size=4, seed=0, workers=0)
    student.train()
    optimizer = paddle.optimizer.SGD(0.1, parameters=student.parameters() + distiller.layers.parameters())
    for batch in loader.batches(0, 3):
        images = paddle.to_tensor(batch.images)
        features = student.neck_features(images)
        distiller(batch, images, features, student.head_outputs(features), 0)["mgd"].backward()
        optimizer.step()
        optimizer.clear_grad()
    after = teacher.detector.state_dict()
    assert all(np.array_equal(before[name], after[name].numpy()) for name in before)


def test_student_inherits_what_fits(make_job, tmp_path):
    teacher = make_job("teacher")
    train_model(teacher, tmp_path / "teacher", silent)
    job = make_job(
        "distilled",
        distillation=DistillationSection(),
        teacher=teacher.detector,
        teacher_weights=tmp_path / "teacher/weights.safetensors",
    )
    record = train_model(job, tmp_path / "out", silent)
    expected = [n for n in load_weights(tmp_path / "teacher/weights.safetensors") if n.startswith(("neck.", "head."))]
    assert record.inherited == len(expected) > 10


def test_damaged_checkpoint_falls_back_to_the_one_before(make_job, tmp_path):
    train_model(make_job(), tmp_path / "whole", silent)
    with pytest.raises(Interrupted):
        train_model(make_job(), tmp_path / "broken", stop_after(9))
    newest = sorted((tmp_path / "broken/checkpoints").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-1000])
    warnings = []
    train_model(make_job(), tmp_path / "broken", lambda e: warnings.append(e) if e.kind == "warning" else None)
    assert "damaged" in warnings[0].data["message"]
    assert (tmp_path / "broken/weights.safetensors").read_bytes() == (
        tmp_path / "whole/weights.safetensors"
    ).read_bytes()


def test_sigkill_at_random_moments(make_job, tmp_path):
    """A separate process is killed again and again; the last one finishes with the undisturbed run's bytes."""
    train_model(make_job(), tmp_path / "whole", silent)
    script = tmp_path / "train.py"
    data = {"train": make_job().train.image_folder, "val": make_job().val.image_folder}
    script.write_text(_SCRIPT.format(tests=Path(__file__).parents[2], out=tmp_path / "killed", **data))
    generator = random.Random(3)
    environment = dict(os.environ)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, str(script)], env=environment, cwd=tmp_path)
        deadline = time.monotonic() + 120
        target = len(list((tmp_path / "killed").glob("checkpoints/*"))) and generator.randrange(3)
        while time.monotonic() < deadline and process.poll() is None:
            if len(list((tmp_path / "killed").glob("checkpoints/step-*"))) > 0:
                time.sleep(0.02 + 0.05 * target)
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([sys.executable, str(script)], env=environment, cwd=tmp_path, check=True)
    for name in ("weights.safetensors", "metrics.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list((tmp_path / "killed").rglob("*.partial"))


_SCRIPT = """
import sys
from pathlib import Path

sys.path.insert(0, "{tests}")
from temper.core.events import silent
from temper.detection.decode import DecodeSettings
from temper.distill.recipe import InputSection
from temper.distill.recipe_detectors import RetinaNetSection
from temper.distill.recipe_training import TrainingSection
from temper.distill.training.job import TrainingJob
from temper.distill.training.train import train_model
from toy_data import toy_data

job = TrainingJob(
    role="student",
    detector=RetinaNetSection(
        depth=18, width=0.125, neck_channels=16, head_convs=1, head_norm="level_batch", strides=(8, 16, 32)
    ),
    training=TrainingSection(epochs=3, batch_size=4, warmup_steps=4, workers=1, checkpoint_seconds=0, evaluate_every=2),
    input=InputSection(width=64, height=64),
    decode=DecodeSettings(),
    train=toy_data(Path("{train}"), 24, 1),
    val=toy_data(Path("{val}"), 8, 2),
    seed=5,
)
train_model(job, Path("{out}"), silent)
"""


def test_pretrained_weights_of_another_shape_are_refused(make_job, tmp_path):
    save_weights(tmp_path / "other.safetensors", {"something.weight": np.zeros((3, 3), np.float32)})
    with pytest.raises(TemperError, match="do not fit this detector"):
        train_model(make_job(detector={"weights": str(tmp_path / "other.safetensors")}), tmp_path / "out", silent)


def test_backbone_weights_without_prefix_are_taken(make_job, tmp_path):
    train_model(make_job(), tmp_path / "first", silent)
    backbone = {
        name.removeprefix("backbone."): value
        for name, value in load_weights(tmp_path / "first/weights.safetensors").items()
        if name.startswith("backbone.")
    }
    save_weights(tmp_path / "backbone.safetensors", backbone)
    notes = []
    train_model(
        make_job(detector={"weights": str(tmp_path / "backbone.safetensors")}),
        tmp_path / "second",
        lambda e: notes.append(e.data["message"]) if e.kind == "note" else None,
    )
    assert "start fresh" in notes[0]


def test_no_boxes_is_one_sentence(make_job, tmp_path, toy_sets):
    train = toy_sets[0]
    empty = DataSet(
        train.labels,
        tuple(type(s)(s.file_name, s.width, s.height, s.boxes[:0], s.labels[:0]) for s in train.samples),
        train.image_folder,
        "empty",
    )
    with pytest.raises(TemperError, match="not one box"):
        train_model(make_job(train=empty), tmp_path, silent)


def test_divergence_names_the_step_and_what_to_try(make_job, tmp_path):
    job = make_job(training={"clip_norm": None, "optimizer": "momentum", "warmup_steps": 0})
    # far more than a recipe may ask for: the second step overflows on every processor
    job = replace(job, training=job.training.model_copy(update={"learning_rate": 1e30}))
    with pytest.raises(TemperError, match=r"not a finite number at step \d+ .*learning rate"):
        train_model(job, tmp_path, silent)


def test_gpu_that_is_not_there():
    if paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count():
        pytest.skip("this machine has a GPU")
    with pytest.raises(TemperError, match="asks for a GPU"):
        use_device("gpu")


def test_strides_without_a_common_one():
    from temper.distill.losses.base import common_strides

    with pytest.raises(TemperError, match=r"none in common"):
        common_strides((8, 16), (32, 64))
    assert common_strides((8, 16, 32, 64), (8, 16, 32, 64, 128)) == (8, 16, 32, 64)
    assert RetinaNetSection(strides=(8, 16, 32)).strides == (8, 16, 32)
