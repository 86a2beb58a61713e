"""All distillation losses together in a real training: what moves, what stays, what is left behind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from temper.core.errors import UsageError
from temper.core.events import Event, silent
from temper.distill.recipe_distillation import DistillationSection
from temper.distill.weights import load_weights

paddle = pytest.importorskip("paddle", reason="training needs PaddlePaddle")

from temper.distill.detectors.build import build_detector, load_into  # noqa: E402
from temper.distill.detectors.normalise import GREY  # noqa: E402
from temper.distill.losses.build import LOSSES  # noqa: E402
from temper.distill.training.checkpoint import latest_checkpoint  # noqa: E402
from temper.distill.training.distiller import Distiller  # noqa: E402
from temper.distill.training.loader import BatchLoader, PictureStore  # noqa: E402
from temper.distill.training.log import read_metrics  # noqa: E402
from temper.distill.training.teacher import Teacher  # noqa: E402
from temper.distill.training.train import train_model  # noqa: E402
from temper.export.trace import trace_network  # noqa: E402

ALL = DistillationSection.model_validate(
    {
        "mgd": {"alpha": 0.5, "alpha_form": "mean", "alpha_end": 0.1, "mask_focus": 0.5, "box_weight": 3},
        "mgd_backbone": {"alpha": 0.5, "alpha_form": "mean"},
        "cwd": {},
        "fgd": {},
        "response": {},
    }
)


class Interrupted(Exception):
    pass


def stop_after(steps: int):
    """A reporter that breaks off the training after so many steps."""
    seen = 0

    def report(event: Event) -> None:
        nonlocal seen
        seen += event.kind == "step"
        if seen == steps:
            raise Interrupted

    return report


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("teacher")


@pytest.fixture
def job(make_job, teacher_folder):
    """A student of other channels than its teacher, with every loss there is."""
    teacher = make_job("teacher", detector={"neck_channels": 24})
    train_model(teacher, teacher_folder, silent)
    return make_job(
        "distilled",
        distillation=ALL,
        teacher=teacher.detector,
        teacher_weights=teacher_folder / "weights.safetensors",
        training={"epochs": 2, "checkpoint_seconds": 0},
    )


def test_all_losses_are_in_it():
    assert set(ALL.losses()) == set(LOSSES)


def test_layers_move_and_stay_out_of_the_weights_and_the_graph(job, tmp_path):
    checkpoints = []
    for steps in (2, 6):
        with pytest.raises(Interrupted):
            train_model(job, tmp_path, stop_after(steps))
        checkpoints.append(latest_checkpoint(tmp_path / "checkpoints")[0].groups["distillation"])
    early, late = checkpoints
    assert {name.split(".")[0] for name in early} == {"mgd", "mgd_backbone", "cwd", "fgd"}
    assert [name for name in early if np.array_equal(early[name], late[name])] == []

    record = train_model(job, tmp_path, silent)
    steps = [e for e in read_metrics(tmp_path / "metrics.jsonl") if e["kind"] == "step"]
    assert len(steps) == 12 and all(set(e["distillation"]) == set(LOSSES) for e in steps)
    assert all(sum(e["losses"].values()) + sum(e["distillation"].values()) == pytest.approx(e["total"]) for e in steps)
    assert all(f"{name}: " in record.loss for name in LOSSES)

    student = build_detector(job.detector, job.train.labels, 0)
    assert set(load_weights(tmp_path / "weights.safetensors")) == set(student.state_dict())
    fresh = trace_network(student, (64, 64)).graph
    load_into(student, tmp_path / "weights.safetensors", whole=True)
    taught = trace_network(student, (64, 64)).graph
    assert Counter(n.op_type for n in taught.node) == Counter(n.op_type for n in fresh.node)
    kernels = [sorted(tuple(i.dims) for i in graph.initializer if len(i.dims) == 4) for graph in (taught, fresh)]
    assert kernels[0] == kernels[1]


def test_interrupted_training_ends_with_the_same_bytes(job, tmp_path):
    train_model(job, tmp_path / "whole", silent)
    with pytest.raises(Interrupted):
        train_model(job, tmp_path / "broken", stop_after(7))
    train_model(job, tmp_path / "broken", silent)
    for name in ("weights.safetensors", "metrics.jsonl"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_teacher_and_its_batch_statistics_never_change(job):
    student = build_detector(job.detector, job.train.labels, 0)
    teacher = Teacher(job.teacher, job.teacher_weights, job.train.labels, 0)
    distiller = Distiller(student, job.distillation, teacher, 0)
    before = {name: value.numpy().copy() for name, value in teacher.detector.state_dict().items()}
    store = PictureStore(job.train, job.input.rule(), "grey")
    loader = BatchLoader(store, student, GREY, job.training.augment, batch_size=4, seed=0, workers=0)
    student.train()
    # everything that could be trained, the teacher's parameters too
    parameters = [*student.parameters(), *distiller.layers.parameters(), *teacher.detector.parameters()]
    optimizer = paddle.optimizer.SGD(0.01, parameters=parameters)
    for batch in loader.batches(0, 3):
        images = paddle.to_tensor(batch.images)
        features = student.neck_features(images)
        lessons = distiller(batch, images, features, student.head_outputs(features), 0, 0.5)
        sum(lessons.values()).backward()
        optimizer.step()
        optimizer.clear_grad()
    after = teacher.detector.state_dict()
    assert any(name.endswith("._mean") for name in before)
    assert all(np.array_equal(before[name], after[name].numpy()) for name in before)


def test_heads_that_cannot_be_compared_are_refused_before_the_first_step(make_job, teacher_folder, job, tmp_path):
    other = make_job(
        "distilled",
        detector={"anchor_scale": 2.0},
        distillation=ALL,
        teacher=job.teacher,
        teacher_weights=job.teacher_weights,
    )
    with pytest.raises(UsageError, match="the places or anchors they answer for lie elsewhere"):
        train_model(other, tmp_path, stop_after(1))
    assert not (tmp_path / "metrics.jsonl").exists()
