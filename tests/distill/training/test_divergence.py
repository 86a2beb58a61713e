from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from temper.core.errors import TemperError
from temper.core.events import silent
from temper.distill.weights import load_weights, save_weights

pytest.importorskip("paddle", reason="training needs PaddlePaddle")

from temper.distill.training.divergence import LossWatch
from temper.distill.training.learner import Learner
from temper.distill.training.loader import BatchLoader, PictureStore
from temper.distill.training.step import NotFiniteError, TrainingStep
from temper.distill.training.train import train_model
from tiny_training import tiny_job


@pytest.fixture
def poisoned(tmp_path):
    """A job that starts from weights with one number missing."""
    job = tiny_job(tmp_path / "data", epochs=1)
    weights = Learner(job).weights()
    # of the last layer: a rectifier in between may take a missing number for zero
    weights["head.retina_cls.weight"][0, 0, 0, 0] = np.nan
    save_weights(tmp_path / "poisoned.safetensors", weights)
    detector = job.detector.model_copy(update={"weights": str(tmp_path / "poisoned.safetensors")})
    return replace(job, detector=detector)


def test_the_batch_that_breaks_a_training_is_kept_with_its_boxes(poisoned, tmp_path):
    out = tmp_path / "out"
    told = r"training loss of the student is not a finite number at step 1 .*not-finite"
    with pytest.raises(TemperError, match=told):
        train_model(poisoned, out, silent)
    told = json.loads((out / "not-finite/batch.json").read_text())
    assert told["what"] == "training loss" and told["step"] == 1 and told["total"] == "nan"
    store = PictureStore(poisoned.train, poisoned.input.rule(), "grey")
    loader = BatchLoader(store, None, None, poisoned.training.augment, batch_size=8, seed=poisoned.seed, workers=0)
    pictures = loader.pictures(0)
    assert len(told["batch"]) == len(pictures) == 8
    for entry, picture in zip(told["batch"], pictures, strict=True):
        saved = cv2.imread(str(out / "not-finite" / entry["picture"]), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(saved, picture.image), "as the network saw it, augmented"
        assert entry["boxes"] == picture.boxes.tolist()
        assert entry["labels"] == [poisoned.train.labels[label] for label in picture.labels]
        assert entry["source"] == poisoned.train.samples[picture.sample].file_name


def test_remedies_are_those_that_the_recipe_leaves(poisoned, tmp_path):
    unclipped = replace(poisoned, training=poisoned.training.model_copy(update={"clip_norm": None}))
    with pytest.raises(TemperError, match=r"learning rate ten times smaller \(it was 0.01\), .* or .*clip_norm: 10"):
        train_model(unclipped, tmp_path / "out", silent)


def test_a_gradient_without_end_stops_before_it_spoils_the_weights(tmp_path):
    job = tiny_job(tmp_path / "data")
    learner = Learner(job)
    store = PictureStore(job.train, job.input.rule(), "grey")
    from temper.distill.detectors.normalise import GREY

    loader = BatchLoader(store, learner.detector, GREY, job.training.augment, batch_size=4, seed=1, workers=0)
    step = TrainingStep(learner, 10.0, job.seed)
    learner.detector.train()
    step(0, loader.batch(0), rate=0.01, epoch=0)
    before = learner.weights()
    hook = learner.parameters[3].register_hook(lambda gradient: gradient * np.inf)
    with pytest.raises(NotFiniteError, match="gradient of the training loss") as caught:
        step(1, loader.batch(1), rate=0.01, epoch=0)
    assert np.isfinite(caught.value.losses.total) and not np.isfinite(caught.value.losses.gradient_norm)
    after = learner.weights()
    trained = {name for name, p in learner.detector.named_parameters() if not p.stop_gradient}
    assert all(np.array_equal(before[name], after[name]) for name in trained)
    hook.remove()
    assert np.isfinite(step(1, loader.batch(1), rate=0.01, epoch=0).gradient_norm), "and its gradients are gone"


def test_gradients_are_clipped_to_the_norm_and_told_as_they_were(tmp_path):
    job = tiny_job(tmp_path / "data", clip_norm=0.5, epochs=1, weight_decay=0, warmup_steps=0, schedule="constant")
    first = Learner(job).weights()
    train_model(replace(job, train=replace(job.train, samples=job.train.samples[:8])), tmp_path / "out", silent)
    entry = json.loads((tmp_path / "out/metrics.jsonl").read_text().splitlines()[0])
    last = load_weights(tmp_path / "out/weights.safetensors")
    moved = sum(((last[n] - first[n]) ** 2).sum() for n in last if not n.endswith(("_mean", "_variance")))
    assert entry["gradient_norm"] > 0.5
    assert np.sqrt(moved) == pytest.approx(0.5 * job.training.learning_rate, rel=1e-3)


def test_a_hard_batch_is_no_divergence_and_many_in_a_row_are_told_once():
    watch = LossWatch([1.0] * LossWatch.FEWEST)
    assert [watch.take(50.0), watch.take(1.1), watch.take(float(10**6))] == [None] * 3
    watch.take(1.0)
    said = [watch.take(5.0) for _ in range(3 * LossWatch.STEPS)]
    assert [bool(sentence) for sentence in said].index(True) == LossWatch.STEPS - 1 and sum(map(bool, said)) == 1
    assert "more than 3 times its usual 1 for 20 steps (now 5)" in said[LossWatch.STEPS - 1]
    assert watch.take(1.0) is None
    assert any(watch.take(5.0) for _ in range(LossWatch.STEPS)), "back to normal and away again is told again"


def test_the_watch_needs_losses_to_compare_with_and_is_where_it_was_after_a_pause():
    mild = LossWatch()
    assert not any(mild.take(1.2**n) for n in range(12))
    past = [1.0] * 60 + [9.0] * (LossWatch.STEPS - 1)
    assert LossWatch(past).take(9.0) is not None


@pytest.mark.parametrize(("start", "growth"), [(10, 1.01), (0, 8.0)])
def test_a_loss_that_leaves_its_start_behind_is_told_once_however_it_came(start, growth):
    watch = LossWatch()
    said = [watch.take(1.9 * growth ** max(step - start, 0)) for step in range(2000 if growth < 2 else 12)]
    told = [step for step, sentence in enumerate(said) if sentence and "the untrained network's 1.9" in sentence]
    assert len(told) == 1
    assert 1.9 * growth ** (told[0] - start) < 1e7


def test_a_warning_is_kept_for_the_report(tmp_path, monkeypatch):
    monkeypatch.setattr(LossWatch, "take", lambda self, total: "Far too high.")
    job = tiny_job(tmp_path / "data", epochs=1)
    train_model(replace(job, train=replace(job.train, samples=job.train.samples[:8])), tmp_path / "out", silent)
    entries = [json.loads(line) for line in (tmp_path / "out/metrics.jsonl").read_text().splitlines()]
    assert {"kind": "warning", "step": 1, "epoch": 1, "message": "Far too high."} in entries
