from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from temper.core.errors import TemperError, UsageError
from temper.core.events import Event, silent
from temper.core.files import read_json
from temper.detection.images import ResizeRule
from temper.distill.recipe_distillation import DistillationSection
from temper.distill.recipe_file import recipe_from_plain
from temper.flow.keys import TEST, Sources, read_sources, stage_key
from toy_data import toy_data

paddle = pytest.importorskip("paddle", reason="training needs PaddlePaddle")

from temper.distill.training.log import read_metrics  # noqa: E402
from temper.distill.training.step import NotFiniteError, StepLosses  # noqa: E402
from temper.distill.training.train import train_model  # noqa: E402
from temper.distill.training.unlabelled import UnlabelledStore  # noqa: E402
from temper.distill.training.unlabelled_listing import LISTING_NAME, kept_pictures, unlabelled_pictures  # noqa: E402

RULE = ResizeRule(64, 64)


class Interrupted(Exception):
    pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten pictures of several sizes and formats in folders below one another, with other things among them."""
    root = tmp_path / "line"
    generator = np.random.default_rng(0)
    for index in range(10):
        picture = root / f"day{index % 2}" / f"{index}.{'png' if index % 3 else 'jpg'}"
        picture.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(picture), generator.integers(0, 255, (50 + index, 80), np.uint8))
    (root / "notes.txt").write_text("no picture")
    return root


def test_every_picture_below_the_folder_and_none_that_is_judged_on(folder, toy_sets):
    held_out = toy_sets[1]
    judged = held_out.image_path(held_out.samples[0])
    (folder / "copy of a judged one.png").write_bytes(judged.read_bytes())
    found = unlabelled_pictures(folder, [held_out], RULE)
    names = [sample.file_name for sample in found.samples]
    assert len(names) == 10 and names == sorted(names) and {name.split("/")[0] for name in names} == {"day0", "day1"}
    assert all(not len(sample.boxes) for sample in found.samples)
    store = UnlabelledStore(found, RULE, "grey")
    assert all(store.image(index).shape == (64, 64) for index in range(10)) and not store.unreadable


def test_a_judged_picture_that_is_gone_has_no_copies(folder, tmp_path):
    judged = toy_data(tmp_path / "judged", 2, 5)
    judged.image_path(judged.samples[0]).unlink()
    copied = judged.image_path(judged.samples[1])
    (folder / "copy.png").write_bytes(copied.read_bytes())
    assert len(unlabelled_pictures(folder, [judged], RULE)) == 10


def test_an_unreadable_picture_gives_its_place_to_the_next(folder, toy_sets):
    (folder / "day1/1.png").write_bytes(b"torn")
    (folder / "day1/3.jpg").unlink()
    (folder / "day1/3.jpg").symlink_to(folder / "nowhere.jpg")
    found = unlabelled_pictures(folder, toy_sets[1:], RULE)
    store = UnlabelledStore(found, RULE, "grey")
    names = [sample.file_name for sample in found.samples]
    broken = names.index("day1/1.png")
    assert names[broken + 1] == "day1/3.jpg"
    assert np.array_equal(store.image(broken), store.image(broken + 2))
    assert (
        "1.png is not a picture" in store.unreadable[broken] and "3.jpg cannot be read" in store.unreadable[broken + 1]
    )


def test_nothing_but_unreadable_ones_is_one_sentence(folder, toy_sets):
    for path in folder.rglob("*.*g"):
        path.write_bytes(b"torn")
    store = UnlabelledStore(unlabelled_pictures(folder, toy_sets[1:], RULE), RULE, "grey")
    with pytest.raises(TemperError, match=r"100 in a row cannot be read. The first of them: .*2.png is not a picture"):
        store.image([s.file_name for s in store.data.samples].index("day0/2.png"))


def test_a_folder_that_is_none_or_empty_is_one_sentence(tmp_path, toy_sets):
    with pytest.raises(UsageError, match="data.unlabelled is .*missing', which is no folder"):
        unlabelled_pictures(tmp_path / "missing", toy_sets[1:], RULE)
    with pytest.raises(UsageError, match="which has no pictures"):
        unlabelled_pictures(tmp_path, toy_sets[1:], RULE)


@pytest.fixture
def jobs(make_job, tmp_path, folder):
    """A distillation on labelled pictures alone, and with unlabelled ones besides."""
    teacher = make_job("teacher", training={"epochs": 1})
    train_model(teacher, tmp_path / "teacher", silent)
    section = DistillationSection.model_validate(
        {"mgd": {"alpha": 0.5, "alpha_form": "mean"}, "response": {}, "unlabelled_ratio": 0.5}
    )
    given = {
        "distillation": section,
        "teacher": teacher.detector,
        "teacher_weights": tmp_path / "teacher/weights.safetensors",
        "training": {"epochs": 2, "checkpoint_seconds": 0, "workers": 2},
    }
    return make_job("distilled", **given), make_job("distilled", **given, unlabelled=folder)


def test_neither_validation_nor_test_pictures_are_distilled_on(jobs, tmp_path, folder):
    job = replace(jobs[1], test=toy_data(tmp_path / "test", 3, 9))
    for name, judged in (("val", job.val), ("test", job.test)):
        for sample in judged.samples:
            (folder / f"{name}-{sample.file_name}").write_bytes(judged.image_path(sample).read_bytes())
    train_model(job, tmp_path / "out", silent)
    listed = read_json(tmp_path / "out" / LISTING_NAME)["pictures"]
    assert len(listed) == 10 and all(name.startswith("day") for name in listed)


def test_the_batch_that_breaks_a_training_is_kept_with_them(jobs, tmp_path, monkeypatch):
    def broken(self, step, batch, **given):
        raise NotFiniteError("training loss", StepLosses({}, {}, float("nan"), 1.0))

    monkeypatch.setattr("temper.distill.training.step.TrainingStep.__call__", broken)
    with pytest.raises(TemperError, match="not a finite number at step 1"):
        train_model(jobs[1], tmp_path / "out", silent)
    kept = read_json(tmp_path / "out/not-finite/batch.json")["batch"]
    unlabelled = [entry["source"] for entry in kept if entry.get("labelled") is False]
    assert unlabelled and all(source.startswith("day") for source in unlabelled) and len(kept) > len(unlabelled)
    assert all((tmp_path / "out/not-finite" / entry["picture"]).is_file() for entry in kept)


def test_training_with_them_resumes_to_the_byte_and_tells_what_it_passed_over(jobs, tmp_path, folder):
    (folder / "day0/4.png").write_bytes(b"torn")
    alone, job = jobs
    told: list[Event] = []
    train_model(job, tmp_path / "whole", told.append)
    messages = {kind: [e.data["message"] for e in told if e.kind == kind] for kind in ("note", "warning")}
    assert any("Distilling on 10 unlabelled pictures" in message for message in messages["note"])
    (warning,) = messages["warning"]
    assert "4.png is not a picture" in warning and "The next unlabelled picture takes its place." in warning

    seen = 0

    def stop(event: Event) -> None:
        nonlocal seen
        seen += event.kind == "step"
        if seen == 7:
            raise Interrupted

    with pytest.raises(Interrupted):
        train_model(job, tmp_path / "broken", stop)
    train_model(job, tmp_path / "broken", silent)
    for name in ("weights.safetensors", "metrics.jsonl"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()

    train_model(alone, tmp_path / "alone", silent)
    first = [read_metrics(tmp_path / name / "metrics.jsonl")[0] for name in ("whole", "alone")]
    assert first[0]["losses"] == first[1]["losses"], "the detector's own loss is of labelled pictures alone"
    assert all(first[0]["distillation"][name] != first[1]["distillation"][name] for name in ("mgd", "response"))


def stop_at_step(count: int):
    seen = 0

    def stop(event: Event) -> None:
        nonlocal seen
        seen += event.kind == "step"
        if seen == count:
            raise Interrupted

    return stop


def test_an_archive_that_grew_changes_nothing_of_what_was_begun(jobs, tmp_path, folder):
    job = jobs[1]
    whole = train_model(job, tmp_path / "whole", silent)
    with pytest.raises(Interrupted):
        train_model(job, tmp_path / "broken", stop_at_step(5))
    for name in ("day0/0000.png", "day1/9.png", "day2/new.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((folder / "day1/1.png").read_bytes())
    told: list[Event] = []
    assert train_model(job, tmp_path / "broken", told.append).weights_sha256 == whole.weights_sha256
    assert not [event for event in told if event.kind == "warning"]
    train_model(job, tmp_path / "anew", told.append)
    assert any("Distilling on 13 unlabelled pictures" in e.data["message"] for e in told if e.kind == "note")


def test_pictures_that_are_gone_are_told_in_one_sentence(jobs, tmp_path, folder):
    job = jobs[1]
    with pytest.raises(Interrupted):
        train_model(job, tmp_path / "broken", stop_at_step(5))
    for path in (folder / "day0").iterdir():
        path.unlink()
    told: list[Event] = []
    train_model(job, tmp_path / "broken", told.append)
    (warning,) = [event.data["message"] for event in told if event.kind == "warning"]
    assert "5 of the 10 unlabelled pictures that this distillation began with are no longer in" in warning
    assert "(the first was day0/0.jpg)" in warning


def test_those_that_are_left_keep_their_places(folder, toy_sets, tmp_path):
    def names() -> list[str]:
        return [
            one.file_name
            for one in kept_pictures(tmp_path / LISTING_NAME, folder, toy_sets[1:], RULE, told.append).samples
        ]

    told: list[str] = []
    first = names()
    gone = {"day0/2.png", "day1/7.png"}
    for name in gone:
        (folder / name).unlink()
    after = names()
    assert [a for a, b in zip(first, after, strict=True) if a != b] == sorted(gone)
    assert not gone & set(after) and len(told) == 1
    for name in set(after):
        (folder / name).unlink()
    with pytest.raises(UsageError, match=r"None of the 10 unlabelled pictures .* \(the first was day0/0.jpg\)"):
        names()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pictures": []}', '{"pictures": [1]}', '{"pictures": "a"}'])
def test_a_damaged_list_is_one_sentence(folder, toy_sets, tmp_path, content):
    (tmp_path / "unlabelled.json").write_text(content)
    with pytest.raises(TemperError, match=r"unlabelled.json, .* is damaged. Remove the folder .* to begin"):
        kept_pictures(tmp_path / LISTING_NAME, folder, toy_sets[1:], RULE, print)


def test_a_name_that_is_no_utf8_is_kept(folder, toy_sets, tmp_path):
    strange = os.fsencode(folder) + b"/day0/\xff.png"
    try:
        with open(strange, "wb") as file:
            file.write((folder / "day1/1.png").read_bytes())
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    first = kept_pictures(tmp_path / LISTING_NAME, folder, toy_sets[1:], RULE, print)
    again = kept_pictures(tmp_path / LISTING_NAME, folder, toy_sets[1:], RULE, print)
    names = [sample.file_name for sample in again.samples]
    assert names == [sample.file_name for sample in first.samples] and "day0/\udcff.png" in names
    assert UnlabelledStore(again, RULE, "grey").image(names.index("day0/\udcff.png")).shape == (64, 64)


def test_losses_are_the_mean_over_all_pictures_of_a_step(jobs, tmp_path):
    from temper.distill.detectors.build import build_detector
    from temper.distill.detectors.normalise import GREY
    from temper.distill.training.distiller import Distiller
    from temper.distill.training.teacher import Teacher
    from temper.distill.training.unlabelled import UnlabelledLessons

    job = jobs[1]
    student = build_detector(job.detector, job.train.labels, 0)
    student.eval()
    distiller = Distiller(student, job.distillation, Teacher(job.teacher, job.teacher_weights, job.train.labels, 0), 0)
    lessons = UnlabelledLessons(job, tmp_path, student, distiller, GREY, judged=[job.val], warn=print)
    lessons.start(3, 5)
    given = {"mgd": paddle.to_tensor(3.0), "response": paddle.to_tensor(0.0)}
    joined = lessons.join(given, 4, 0.5)
    batch = lessons.loader.batch(3)
    # numbers that no labelled picture has
    batch = replace(batch, samples=tuple(sample + len(job.train) for sample in batch.samples))
    images = paddle.to_tensor(batch.images)
    features = student.neck_features(images)
    alone = distiller(batch, images, features, student.head_outputs(features), 3 // lessons.loader.steps_per_epoch, 0.5)
    assert float(joined["mgd"]) == pytest.approx(3 * 4 / 6 + float(alone["mgd"]) * 2 / 6, rel=1e-5)
    assert float(joined["response"]) == pytest.approx(float(alone["response"]) * 2 / 6, rel=1e-5)
    lessons.join(given, 4, 1.0)
    with pytest.raises(StopIteration):
        lessons.join(given, 4, 1.0)


def recipe(**data: object):
    plain = {"name": "a", "data": {"synthetic": {}, **data}, "teacher": {}, "student": {}}
    return recipe_from_plain(plain, "r.yml")


def test_only_the_distilled_student_depends_on_them(folder):
    without, given = recipe(), recipe(unlabelled=str(folder))
    sources = read_sources(given)
    assert read_sources(without).unlabelled is None and sources.unlabelled is not None
    made = {"data": "d", "teacher": "t", "student": "s", TEST: "e"}

    def keys(one, what: Sources) -> dict[str, str]:
        return {stage: stage_key(one, stage, what, made) for stage in ("data", "teacher", "student", "distilled")}

    before, after = keys(without, read_sources(without)), keys(given, sources)
    assert {stage for stage in before if before[stage] != after[stage]} == {"distilled"}
    (folder / "day0/new.png").write_bytes(b"something")
    assert keys(given, read_sources(given)) == after, "an archive that grows is no reason to do it again"
    # their copies are left out of it
    made[TEST] = "other test pictures"
    judged = keys(given, sources)
    assert {stage for stage in after if judged[stage] != after[stage]} == {"distilled"}
    assert keys(without, read_sources(without))["distilled"] == before["distilled"]
    made[TEST] = "e"
    moved = recipe(unlabelled=str(folder / "day0"))
    again = keys(moved, read_sources(moved))
    assert {stage for stage in after if again[stage] != after[stage]} == {"distilled"}


def test_a_missing_folder_is_said_before_anything_starts(tmp_path):
    with pytest.raises(TemperError, match=r"data.unlabelled is .*nothing at .*--set data.unlabelled=FOLDER"):
        read_sources(recipe(unlabelled=str(tmp_path / "gone")))
