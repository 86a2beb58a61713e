from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_steel import random_steel
from temper.benchmarks.operating_point import (
    OperatingPoint,
    Wanted,
    choose_operating_point,
    deal_in_two,
    write_operating_point,
)
from temper.bundle.loader import open_bundle
from temper.core.errors import TemperError, UsageError
from temper.core.events import silent
from temper.core.files import sha256_file
from temper.detection.dataset import DataSet, label_counts
from temper.detection.images import read_image


@pytest.fixture(scope="module")
def steel(bundles: dict[str, Path], data: DataSet) -> DataSet:
    """The toy pictures with true boxes where the tiny bundle detects something, so that there is much to find."""
    from temper.deploy.detector import open_detector

    detector = open_detector(open_bundle(bundles["student"]), threads=1)
    samples = []
    for sample in data.samples:
        found = detector.detect(read_image(data.image_path(sample), "grey"))
        chosen = np.arange(0, len(found), 3)
        samples.append(replace(sample, boxes=found.boxes[chosen], labels=found.labels[chosen]))
    return replace(data, samples=tuple(samples), name="toy/val")


def chosen(bundle: Path, steel: DataSet, wanted: Wanted) -> OperatingPoint:
    with open_bundle(bundle) as opened:
        return choose_operating_point(opened, wanted, steel.subset([0, 1, 2]), steel.subset([3, 4, 5]), silent)


def test_it_is_chosen_on_one_part_and_judged_on_the_other(bundles: dict[str, Path], steel: DataSet) -> None:
    point = chosen(bundles["student"], steel, Wanted(0.2, threads=1))
    for label, choice in point.choices.items():
        there, here = point.chosen_on.after.escape[label], point.judged_on.after.escape[label]
        assert (there.missed, there.defects) == (choice.missed, choice.defects)
        assert not choice.reached or there.missed <= 0.2 * there.defects
        own = steel.samples[3:]
        assert here.defects == label_counts(own, len(steel.labels))[steel.labels.index(label)]
    # 0.3 for every class stood in the bundle and lets nearly all escape
    assert point.chosen_on.before.escape[None].missed > point.chosen_on.after.escape[None].missed
    assert point.judged_on.before.alarms[None].false_alarms <= point.judged_on.after.alarms[None].false_alarms


def test_new_thresholds_make_a_new_bundle(bundles: dict[str, Path], steel: DataSet, tmp_path: Path) -> None:
    old = bundles["student"]
    before = sha256_file(old / "manifest.json")
    point = chosen(old, steel, Wanted(0.2, threads=1))
    with open_bundle(old) as opened:
        write_operating_point(opened, point, tmp_path / "strict.temper")
        with pytest.raises(UsageError, match="New thresholds make a new bundle"):
            write_operating_point(opened, point, old)
        with pytest.raises(UsageError, match="cannot be called '-strict'"):
            write_operating_point(opened, point, tmp_path / "-strict.temper")
    assert sha256_file(old / "manifest.json") == before
    with open_bundle(tmp_path / "strict.temper") as opened, open_bundle(old) as origin:
        manifest = opened.manifest
        assert manifest.name == "strict"
        assert manifest.thresholds == point.thresholds
        assert [v.sha256 for v in manifest.variants] == [v.sha256 for v in origin.manifest.variants]
        kept = manifest.thresholds_chosen
        assert kept is not None
        assert (kept.escape_rate, kept.variant, kept.runtime) == (0.2, "fp32", "onnxruntime")
        assert kept.chosen_on.data_sha256 == steel.subset([0, 1, 2]).content_hash()
        assert kept.judged_on.missed == point.judged_on.after.escape[None].missed
        # what the new bundle does is what was said of it
        again = choose_operating_point(opened, Wanted(0.2), steel.subset([0, 1, 2]), steel.subset([3, 4, 5]), silent)
        assert again.judged_on.before.escape == point.judged_on.after.escape


def test_what_cannot_be_reached_is_said_with_its_price(bundles: dict[str, Path], steel: DataSet) -> None:
    nowhere = np.array([[0, 0, 3, 3]], np.float32)
    first = steel.samples[0]
    hidden = replace(
        first, boxes=np.concatenate([first.boxes, nowhere]), labels=np.append(first.labels, 0).astype(np.int32)
    )
    samples = (hidden, *steel.samples[1:])
    point = chosen(bundles["student"], replace(steel, samples=samples), Wanted(0.0, threads=1))
    choice = point.choices["dark"]
    assert (choice.reached, choice.missed) == (False, 1)
    sentence = next(one for one in point.shortfalls() if one.startswith("dark:"))
    alarms = point.chosen_on.after.alarms["dark"].per_image.value
    assert f"1 of its {choice.defects} defects are found at no score" in sentence
    assert f"{100 / choice.defects:.1f} %" in sentence
    assert f"{alarms:.2f} false alarms per picture" in sentence


def test_a_class_without_defects_keeps_its_threshold(bundles: dict[str, Path], steel: DataSet) -> None:
    samples = tuple(replace(s, boxes=s.boxes[s.labels != 1], labels=s.labels[s.labels != 1]) for s in steel.samples)
    point = chosen(bundles["student"], replace(steel, samples=samples), Wanted(0.2, threads=1))
    assert point.choices["bright"].threshold == 0.3
    assert "bright: there is no defect of it to choose by; its threshold stays 0.3." in point.shortfalls()


def test_a_class_above_the_wanted_rate_is_named_with_the_price(bundles: dict[str, Path], steel: DataSet) -> None:
    nowhere = np.array([[0, 0, 3, 3]] * 30, np.float32)
    judged = steel.samples[3]
    hidden = replace(
        judged,
        boxes=np.concatenate([judged.boxes, nowhere]),
        labels=np.append(judged.labels, np.zeros(len(nowhere))).astype(np.int32),
    )
    samples = (*steel.samples[:3], hidden, *steel.samples[4:])
    point = chosen(bundles["student"], replace(steel, samples=samples), Wanted(0.2, threads=1))
    rates = {label: point.judged_on.after.escape[label].rate for label in steel.labels}
    sentence = next(one for one in point.cautions() if one.startswith("There, more than the wanted 20 % escape of "))
    assert rates["dark"].value is not None
    chance = ", which may be chance" if (rates["dark"].low or 0) <= 0.2 else ""
    assert f"dark ({100 * rates['dark'].value:.1f} %{chance})" in sentence
    assert ("bright" in sentence) == ((rates["bright"].value or 0) > 0.2)
    before, after = (one.alarms[None].per_image.value or 0 for one in (point.judged_on.before, point.judged_on.after))
    assert any(one.startswith("The price: ") for one in point.cautions()) == (after > before)


def test_too_few_defects_are_a_caution(bundles: dict[str, Path], steel: DataSet) -> None:
    point = chosen(bundles["student"], steel, Wanted(0.0001, threads=1))
    judged, *_, few = point.cautions()
    assert "On the pictures that had no say" in judged
    assert "fewer than 10000 defects to choose by" in few


def test_without_defects_there_is_nothing_to_choose_by(bundles: dict[str, Path], steel: DataSet) -> None:
    samples = tuple(replace(s, boxes=s.boxes[:0], labels=s.labels[:0]) for s in steel.samples)
    with pytest.raises(TemperError, match="have no defect, so there is nothing to choose by"):
        chosen(bundles["student"], replace(steel, samples=samples), Wanted(0.1, threads=1))


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), images=st.integers(2, 40))
def test_two_halves_share_the_classes(seed: int, images: int) -> None:
    data, _ = random_steel(seed, images)
    first, second = deal_in_two(data)
    names = [{sample.file_name for sample in half.samples} for half in (first, second)]
    assert not names[0] & names[1]
    assert names[0] | names[1] == {sample.file_name for sample in data.samples}
    assert abs(len(first) - len(second)) <= 1
    assert [half.content_hash() for half in deal_in_two(data)] == [first.content_hash(), second.content_hash()]


def test_one_picture_cannot_be_dealt() -> None:
    data, _ = random_steel(0, 1)
    with pytest.raises(TemperError, match="takes two"):
        deal_in_two(data)


def test_the_manifest_is_plain_json(bundles: dict[str, Path], steel: DataSet, tmp_path: Path) -> None:
    with open_bundle(bundles["student"]) as opened:
        point = choose_operating_point(opened, Wanted(0.5), steel.subset([0, 1]), steel.subset([2]), silent)
        write_operating_point(opened, point, tmp_path / "half.temper")
    content = json.loads((tmp_path / "half.temper" / "manifest.json").read_text())
    assert content["thresholds_chosen"]["judged_on"]["images"] == 1
