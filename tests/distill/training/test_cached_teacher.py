from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from temper.core.errors import TemperError, UsageError
from temper.core.events import Event, silent
from temper.core.files import read_json, sha256_file
from temper.distill.recipe_distillation import DistillationSection, MgdSection
from temper.distill.weights import load_weights, save_weights

paddle = pytest.importorskip("paddle", reason="features are computed by PaddlePaddle")

from temper.distill.detectors.normalise import GREY  # noqa: E402
from temper.distill.training import feature_choice, feature_store  # noqa: E402
from temper.distill.training.augment import flips_of  # noqa: E402
from temper.distill.training.cached_teacher import Viewpoint  # noqa: E402
from temper.distill.training.feature_choice import features_key  # noqa: E402
from temper.distill.training.log import read_metrics  # noqa: E402
from temper.distill.training.train import train_model  # noqa: E402

#: Two flips and more epochs than that: 'auto' keeps the features.
FLIPS = {"flip_vertical": False}
PICTURES = 24


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def teacher_weights(tmp_path_factory):
    return tmp_path_factory.mktemp("teacher") / "weights.safetensors"


@pytest.fixture
def make(make_job, teacher_weights):
    """A distillation job; ``section`` changes fields of ``distillation``."""
    teacher = make_job("teacher", detector={"neck_channels": 24})
    if not teacher_weights.is_file():
        train_model(teacher, teacher_weights.parent, silent)

    def build(training=None, section=None, weights=teacher_weights):
        mgd = {"mgd": MgdSection(alpha=0.5, alpha_form="mean")}
        return make_job(
            "distilled",
            training={"augment": FLIPS, **(training or {})},
            distillation=DistillationSection.model_validate({**mgd, **(section or {})}),
            teacher=teacher.detector,
            teacher_weights=weights,
        )

    return build


def losses_of(out: Path) -> list[float]:
    return [entry["distillation"]["mgd"] for entry in read_metrics(out / "metrics.jsonl") if entry["kind"] == "step"]


def source_of(out: Path) -> str:
    return read_json(out / "features.json")["source"]


def told(events: list[Event], kind: str = "note") -> str:
    return " ".join(event.data["message"] for event in events if event.kind == kind)


def stop_at(unit: str, count: int, events: list[Event] | None = None):
    """A reporter that breaks off at the ``count``-th event of a unit: 'steps', or the pictures of the filling."""
    seen = 0

    def report(event: Event) -> None:
        nonlocal seen
        if events is not None:
            events.append(event)
        if event.kind == "step" and event.data["unit"].startswith(unit):
            seen += 1
            if seen == count:
                raise Interrupted

    return report


def test_cached_and_live_losses_agree_within_the_rounding_of_float16(make, tmp_path):
    events: list[Event] = []
    cached = train_model(make(), tmp_path / "cached", events.append)
    live = train_model(make(section={"features": "live"}), tmp_path / "live", silent)
    assert source_of(tmp_path / "cached") == "cached" and source_of(tmp_path / "live") == "live"
    # float16 has 11 bits; the first loss sees nothing but the rounding, later ones what came of it as well
    assert losses_of(tmp_path / "cached")[0] == pytest.approx(losses_of(tmp_path / "live")[0], rel=2**-11)
    np.testing.assert_allclose(losses_of(tmp_path / "cached"), losses_of(tmp_path / "live"), rtol=2e-2)
    assert cached.steps == live.steps
    assert "24 pictures once in each of 2 flips; its features take 1 MB in" in told(events)
    seen = [event.data for event in events if event.kind == "step" and event.data["unit"].startswith("pictures")]
    assert [data["done"] for data in seen] == list(range(2, PICTURES + 1, 2)) and seen[-1]["seconds_left"] == 0
    assert not (tmp_path / "cached" / "features").exists(), "removed when the training is done"


def test_interrupted_anywhere_the_bytes_are_those_of_an_undisturbed_training(make, tmp_path):
    job = make()
    train_model(job, tmp_path / "whole", silent)
    for unit, count in (("pictures", 4), ("pictures", 3), ("steps", 1), ("steps", 7), ("steps", 2)):
        with pytest.raises(Interrupted):
            train_model(job, tmp_path / "broken", stop_at(unit, count))
    train_model(job, tmp_path / "broken", silent)
    for name in ("weights.safetensors", "metrics.jsonl"):
        assert sha256_file(tmp_path / "broken" / name) == sha256_file(tmp_path / "whole" / name)


_KILLED = """
import os, signal, sys, threading
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from temper.detection.decode import DecodeSettings
from temper.distill.recipe import InputSection
from temper.distill.recipe_detectors import RetinaNetSection
from temper.distill.recipe_distillation import DistillationSection
from temper.distill.recipe_training import TrainingSection
from temper.distill.training.job import TrainingJob
from temper.distill.training.train import train_model
from toy_data import toy_data

_, tests, folder, teacher, out, unit, count, delay = sys.argv
thin = dict(depth=18, width=0.125, neck_channels=16, head_convs=1, head_norm="level_batch", strides=(8, 16, 32))
job = TrainingJob(
    role="distilled",
    detector=RetinaNetSection(**thin),
    training=TrainingSection(
        epochs=3, batch_size=4, warmup_steps=4, workers=1, checkpoint_seconds=0, evaluate_every=2,
        augment={"flip_vertical": False},
    ),
    input=InputSection(width=64, height=64),
    decode=DecodeSettings(),
    train=toy_data(Path(folder, "train"), 24, 1),
    val=toy_data(Path(folder, "val"), 8, 2),
    seed=5,
    distillation=DistillationSection.model_validate({"mgd": {"alpha": 0.5, "alpha_form": "mean"}}),
    teacher=RetinaNetSection(**{**thin, "neck_channels": 24}),
    teacher_weights=Path(teacher),
)
seen = 0


def report(event):
    global seen
    if event.kind == "step" and event.data["unit"].startswith(unit):
        seen += 1
        if seen == int(count):
            threading.Timer(float(delay), os.kill, (os.getpid(), signal.SIGKILL)).start()


train_model(job, Path(out), report)
"""


@pytest.mark.slow
def test_killed_while_it_fills_and_while_it_trains_the_bytes_are_the_same(make, teacher_weights, tmp_path):
    train_model(make(), tmp_path / "whole", silent)
    out, tests = tmp_path / "killed", Path(__file__).parents[2]
    arguments = [sys.executable, "-c", _KILLED, str(tests), str(tmp_path), str(teacher_weights), str(out)]
    for unit, count, delay in (("pictures", 2, 0.004), ("steps", 3, 0.03)):
        killed = subprocess.run([*arguments, unit, str(count), str(delay)], cwd=tmp_path, timeout=120)
        assert killed.returncode == -signal.SIGKILL
    assert list(out.glob("features/features-*/features.f16")) and not (out / "weights.safetensors").exists()
    train_model(make(), out, silent)
    for name in ("weights.safetensors", "metrics.jsonl"):
        assert sha256_file(out / name) == sha256_file(tmp_path / "whole" / name)
    assert not (out / "features").exists()


def test_damage_is_told_and_mended_with_the_same_bytes(make, tmp_path):
    job = make()
    train_model(job, tmp_path / "whole", silent)
    with pytest.raises(Interrupted):
        train_model(job, tmp_path / "broken", stop_at("steps", 3))
    (data,) = (tmp_path / "broken" / "features").glob("features-*/features.f16")
    content = bytearray(data.read_bytes())
    for place in range(1000, len(content), len(content) // 6):
        content[place] ^= 16
    data.write_bytes(content)
    events: list[Event] = []
    train_model(job, tmp_path / "broken", events.append)
    assert "were damaged on the disk and have been computed anew" in told(events, "warning")
    assert sha256_file(tmp_path / "broken/weights.safetensors") == sha256_file(tmp_path / "whole/weights.safetensors")


def test_a_place_of_the_users_is_kept_and_shared(make, tmp_path):
    section = {"cache": str(tmp_path / "place")}
    first = train_model(make(section=section), tmp_path / "first", silent)
    events: list[Event] = []
    second = train_model(replace(make(section=section), seed=5), tmp_path / "second", events.append)
    assert not [event for event in events if event.kind == "step" and event.data["unit"].startswith("pictures")]
    assert first.weights_sha256 == second.weights_sha256
    assert len(list((tmp_path / "place").glob("features-*"))) == 1
    plain = train_model(make(), tmp_path / "plain", silent)
    assert plain.weights_sha256 == first.weights_sha256, "where the features lie makes no difference"


def test_features_of_another_teacher_or_other_pictures_are_never_used(make, toy_sets, teacher_weights, tmp_path):
    job = make()
    view = Viewpoint(flips_of(job.training.augment), (8, 16, 32), GREY)
    key = features_key(job, view)
    other_weights = tmp_path / "other.safetensors"
    save_weights(other_weights, {name: value * 1 for name, value in load_weights(teacher_weights).items()}, {"a": "b"})
    folder = tmp_path / "pictures"
    shutil.copytree(toy_sets[0].image_folder, folder)
    moved = replace(job, train=replace(job.train, image_folder=folder))
    assert features_key(moved, view) == key, "where pictures lie makes no difference"
    (folder / job.train.samples[3].file_name).write_bytes((folder / job.train.samples[4].file_name).read_bytes())
    changed = [
        features_key(replace(job, teacher_weights=other_weights), view),
        features_key(moved, view),
        features_key(replace(job, input=job.input.model_copy(update={"resize": "letterbox"})), view),
        features_key(replace(job, teacher=job.teacher.model_copy(update={"head_convs": 3})), view),
        features_key(job, replace(view, strides=(8, 16))),
        features_key(job, replace(view, flips=(0, 1, 2, 3))),
    ]
    assert len({repr(one) for one in [key, *changed]}) == 7


def test_stale_features_in_a_runs_own_folder_are_cleared_away(make, tmp_path):
    stale = tmp_path / "out/features/features-0123"
    stale.mkdir(parents=True)
    with pytest.raises(Interrupted):
        train_model(make(), tmp_path / "out", stop_at("steps", 1))
    (kept,) = (tmp_path / "out/features").glob("features-*")
    assert kept != stale


Usage = namedtuple("Usage", "total used free")


def with_free(monkeypatch, free: int) -> None:
    monkeypatch.setattr(feature_choice.shutil, "disk_usage", lambda path: Usage(10**12, 0, free))


def test_disk_too_small_is_one_sentence_or_a_live_teacher(make, tmp_path, monkeypatch):
    with_free(monkeypatch, 600_000)
    with pytest.raises(TemperError, match=r"need 1 MB in .*features, and the disk has 1 MB free.*distillation.cache"):
        train_model(make(section={"features": "cached"}), tmp_path / "cached", silent)
    assert not (tmp_path / "cached/features").exists()
    events: list[Event] = []
    train_model(make(), tmp_path / "auto", events.append)
    assert "its features would need 1 MB" in told(events) and source_of(tmp_path / "auto") == "live"
    live = train_model(make(section={"features": "live"}), tmp_path / "live", silent)
    assert sha256_file(tmp_path / "auto/weights.safetensors") == live.weights_sha256


@pytest.mark.parametrize("features", ["auto", "cached"])
def test_features_that_are_there_need_no_room(make, tmp_path, monkeypatch, features):
    whole = train_model(make(), tmp_path / "whole", silent)
    out, job = tmp_path / "broken", make(section={"features": features})
    with pytest.raises(Interrupted):
        train_model(job, out, stop_at("steps", 3))
    with_free(monkeypatch, 0)
    events: list[Event] = []
    assert train_model(job, out, events.append).weights_sha256 == whole.weights_sha256
    assert "its features take 1 MB in" in told(events) and ", which are set aside already." in told(events)
    assert not told(events, "warning")


def test_only_what_is_not_there_yet_needs_room(make, tmp_path, monkeypatch):
    def no_promise(*_):
        raise OSError(errno.EOPNOTSUPP, "this file system promises no blocks")

    monkeypatch.setattr(feature_store.os, "posix_fallocate", no_promise)
    whole = train_model(make(), tmp_path / "whole", silent)
    out, job = tmp_path / "broken", make()
    with pytest.raises(Interrupted):
        train_model(job, out, stop_at("pictures", 10))
    # 2 of 24 pictures are missing: 48 entries of 24 channels x 84 positions x 2 bytes, 4 of them to come
    entry = 24 * (64 + 16 + 4) * 2 + 8
    with monkeypatch.context() as small:
        with_free(small, feature_choice.SPARE_BYTES + 8 * entry)
        monkeypatch.setattr(feature_choice, "MODEST_SHARE", 1.0)
        events: list[Event] = []
        assert train_model(job, out, events.append).weights_sha256 == whole.weights_sha256
    assert "of which 1 MB are not there yet" in told(events)


def test_a_store_says_what_it_still_needs(tmp_path):
    layout = feature_store.FeatureLayout(((8, 16, 16),), 40)
    key = {"teacher": "t"}
    folder = feature_store.store_folder(tmp_path, key)
    assert feature_store.bytes_missing(folder, layout) == layout.total_bytes
    store = feature_store.FeatureStore(tmp_path, key, layout)
    assert feature_store.bytes_missing(folder, layout) == 0, "its blocks are taken"
    for name in ("features.f16", "checks.u64"):  # as on a file system that promises none
        size = (folder / name).stat().st_size
        os.truncate(folder / name, 0)
        os.truncate(folder / name, size)
    store.write(0, np.ones((10, layout.values), np.float16))
    assert layout.total_bytes * 0.7 < feature_store.bytes_missing(folder, layout) <= layout.total_bytes * 0.75
    os.truncate(folder / "features.f16", 10)
    assert feature_store.bytes_missing(folder, layout) > layout.total_bytes * 0.9, "what was cut off is not there"
    store.close()


def test_what_was_decided_stands_when_the_disk_changes(make, tmp_path, monkeypatch):
    train_model(make(section={"features": "live"}), tmp_path / "live", silent)
    with monkeypatch.context() as small:
        with_free(small, 600_000)
        with pytest.raises(Interrupted):
            train_model(make(), tmp_path / "live-first", stop_at("steps", 3))
    train_model(make(), tmp_path / "live-first", silent)
    weights = [sha256_file(tmp_path / name / "weights.safetensors") for name in ("live-first", "live")]
    assert weights[0] == weights[1]

    with pytest.raises(Interrupted):
        train_model(make(), tmp_path / "cached-first", stop_at("steps", 3))
    shutil.rmtree(tmp_path / "cached-first/features")
    with_free(monkeypatch, 600_000)
    events: list[Event] = []
    train_model(make(), tmp_path / "cached-first", events.append)
    assert "goes on without" in told(events, "warning")


@pytest.mark.parametrize(("epochs", "source"), [(2, "live"), (3, "cached")])
def test_auto_keeps_features_where_that_saves_runs_of_the_teacher(make, tmp_path, epochs, source):
    with pytest.raises(Interrupted):
        train_model(make(training={"epochs": epochs}), tmp_path, stop_at("steps", 1))
    assert source_of(tmp_path) == source


@pytest.mark.parametrize(
    ("training", "section", "why"),
    [
        ({}, {"response": {}}, "more of the teacher than its neck"),
        ({}, {"mgd_backbone": {"alpha": 1, "alpha_form": "mean"}}, "more of the teacher than its neck"),
        ({"scales": (1.0, 1.5)}, {}, "many sizes"),
    ],
)
def test_what_features_on_disk_cannot_serve_runs_the_teacher_live(make, tmp_path, training, section, why):
    with pytest.raises(UsageError, match=why):
        train_model(make(training, {**section, "features": "cached"}), tmp_path / "cached", silent)
    with pytest.raises(Interrupted):
        train_model(make(training, section), tmp_path / "auto", stop_at("steps", 1))
    assert source_of(tmp_path / "auto") == "live"


def test_unlabelled_pictures_are_shown_to_the_teacher_itself(make, toy_sets, tmp_path):
    job = replace(make(), unlabelled=toy_sets[0].image_folder)
    with pytest.raises(Interrupted):
        train_model(job, tmp_path / "broken", stop_at("steps", 4))
    train_model(job, tmp_path / "broken", silent)
    whole = train_model(job, tmp_path / "whole", silent)
    assert source_of(tmp_path / "whole") == "cached"
    assert sha256_file(tmp_path / "broken/weights.safetensors") == whole.weights_sha256


def test_features_beyond_float16_are_refused_or_taken_live(make, teacher_weights, tmp_path):
    large = {name: value * 1e6 if "fpn" in name else value for name, value in load_weights(teacher_weights).items()}
    save_weights(tmp_path / "large.safetensors", large)
    fields = {"weights": tmp_path / "large.safetensors"}
    with pytest.raises(TemperError, match=r"features of 0000.png reach .* up to 65504"):
        train_model(make(section={"features": "cached"}, **fields), tmp_path / "cached", silent)
    events: list[Event] = []
    with pytest.raises(Interrupted):
        train_model(make(**fields), tmp_path / "auto", stop_at("steps", 1, events))
    assert "For now the teacher is run in every step" in told(events) and source_of(tmp_path / "auto") == "live"
