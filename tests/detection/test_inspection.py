from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_steel import random_steel
from temper.detection.boxes import iou_matrix
from temper.detection.dataset import DataSet, Sample
from temper.detection.detections import Detections, Status
from temper.detection.inspection import (
    FROC_POINTS,
    at_thresholds,
    escape,
    false_alarms,
    froc,
    inspect_pictures,
    sort_pictures,
)
from temper.detection.intervals import draw_pictures
from temper.detection.metrics import judge
from temper.detection.threshold_choice import choose_thresholds, threshold_between

LABELS = ("crazing", "scratches")
BOX = [10.0, 10.0, 60.0, 60.0]
FAR = [150.0, 150.0, 290.0, 290.0]


def sample(name: str, *boxes: tuple[list[float], int]) -> Sample:
    return Sample(
        name,
        300,
        300,
        np.array([box for box, _ in boxes], np.float32).reshape(-1, 4),
        np.array([label for _, label in boxes], np.int32),
    )


def said(*rows: tuple[list[float], int, float]) -> Detections:
    boxes, labels, scores = [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(labels, np.int32), (300, 300)
    )


def steel(*samples: Sample) -> DataSet:
    return DataSet(LABELS, samples, Path("images"))


THRESHOLDS = {"crazing": 0.5, "scratches": 0.3}


def test_each_defect_escapes_for_its_own_reason() -> None:
    data = steel(
        sample("found.png", (BOX, 0)),
        sample("other.png", (BOX, 0)),
        sample("below.png", (BOX, 0), (FAR, 1)),
        sample("unseen.png", (BOX, 0)),
        sample("good.png"),
        sample("flagged.png"),
    )
    found = [
        said((BOX, 0, 0.5), (BOX, 0, 0.9)),  # at the threshold is enough; the second is a repeat, no false alarm
        said((BOX, 1, 0.8)),
        said((BOX, 0, 0.49), (FAR, 1, 0.31)),
        said((FAR, 0, 0.7)),
        said((FAR, 0, 0.2)),
        said((FAR, 1, 0.6), (BOX, 1, 0.4)),
    ]
    inspected = inspect_pictures(data, found)
    what = at_thresholds(inspected, THRESHOLDS)
    everything = escape(inspected, what)
    assert (everything.defects, everything.missed) == (5, 3)
    assert (everything.named_wrongly, everything.below_threshold, everything.unseen) == (1, 1, 1)
    assert everything.rate.value == 0.6
    small = escape(inspected, what, inspected.defect_size == 0)
    medium, large = (escape(inspected, what, inspected.defect_size == size) for size in (1, 2))
    assert (small.defects, small.rate.value) == (0, None)
    assert (medium.missed, medium.defects, large.missed, large.defects) == (3, 4, 0, 1)
    draws = draw_pictures(6, 100)
    alarms = false_alarms(inspected, what, draws)
    # another name on a defect is a false alarm of that name
    assert (alarms.detections, alarms.false_alarms) == (7, 4)
    assert alarms.per_image.value == pytest.approx(4 / 6)
    assert [false_alarms(inspected, what, draws, label).false_alarms for label in (0, 1)] == [1, 3]
    pictures = sort_pictures(inspected, what)
    assert (pictures.good, pictures.good_flagged, pictures.bad, pictures.bad_passed) == (2, 1, 4, 0)
    assert pictures.good_flagged_share.value == 0.5


def test_without_good_pictures_nothing_is_known_of_them() -> None:
    data = steel(sample("a.png", (BOX, 0)))
    inspected = inspect_pictures(data, [said()])
    pictures = sort_pictures(inspected, at_thresholds(inspected, THRESHOLDS))
    assert pictures.good_flagged_share.value is None
    assert (pictures.bad_passed, pictures.bad_passed_share.value) == (1, 1.0)


def test_without_defects_nothing_can_escape() -> None:
    data = steel(sample("a.png"), sample("b.png"))
    inspected = inspect_pictures(data, [said((BOX, 0, 0.9)), said()])
    what = at_thresholds(inspected, THRESHOLDS)
    assert escape(inspected, what).rate.value is None
    assert froc(inspected) is None
    assert judge(data, [said((BOX, 0, 0.9)), said()]).curve() is None


def test_no_answer_finds_nothing() -> None:
    data = steel(sample("a.png", (BOX, 0)))
    inspected = inspect_pictures(data, [Detections.none((300, 300), status=Status.TIMEOUT)])
    assert escape(inspected, at_thresholds(inspected, THRESHOLDS)).missed == 1


def escapes_by_hand(data: DataSet, found: list[Detections], thresholds: dict[str, float], iou: float) -> int:
    """The definition, spelt out."""
    cut = np.array([thresholds[name] for name in data.labels], np.float32)
    missed = 0
    for one, answer in zip(data.samples, found, strict=True):
        kept = answer.at_thresholds(cut)
        overlaps = iou_matrix(one.boxes, kept.boxes)
        for row, label in enumerate(one.labels):
            missed += not any(overlaps[row, k] >= iou and kept.labels[k] == label for k in range(len(kept)))
    return missed


@settings(max_examples=40)
@given(seed=st.integers(0, 2**31), cut=st.floats(0, 1), iou=st.sampled_from([0.1, 0.3, 0.5, 0.75]))
def test_escapes_are_those_of_the_definition(seed: int, cut: float, iou: float) -> None:
    data, found = random_steel(seed)
    thresholds = {name: cut * (1 - 0.2 * k) for k, name in enumerate(data.labels)}
    inspected = inspect_pictures(data, found, iou)
    what = at_thresholds(inspected, thresholds)
    all_of_them = escape(inspected, what)
    assert all_of_them.missed == escapes_by_hand(data, found, thresholds, iou)
    assert all_of_them.unseen >= 0
    by_size = [escape(inspected, what, inspected.defect_size == size) for size in range(3)]
    assert sum(one.defects for one in by_size) == all_of_them.defects


@settings(max_examples=40)
@given(seed=st.integers(0, 2**31))
def test_froc_is_what_one_threshold_gives(seed: int) -> None:
    data, found = random_steel(seed)
    inspected = inspect_pictures(data, found)
    curve = froc(inspected)
    if curve is None:
        return
    assert list(curve.false_alarms) == sorted(curve.false_alarms)
    assert list(curve.found) == sorted(curve.found)
    draws = draw_pictures(len(data), 2)
    for alarms, share, score in zip(curve.false_alarms, curve.found, curve.score, strict=True):
        what = at_thresholds(inspected, dict.fromkeys(data.labels, score))
        assert 1 - share == pytest.approx(escape(inspected, what).rate.value)
        assert alarms == pytest.approx(false_alarms(inspected, what, draws).per_image.value)


def test_a_long_froc_is_thinned_and_keeps_its_end() -> None:
    data, found = random_steel(0, 400, good=0.0)
    inspected = inspect_pictures(data, found)
    curve = froc(inspected)
    assert curve is not None
    assert 100 < len(curve.score) <= FROC_POINTS
    assert curve.found[-1] == (inspected.found_at >= 0).mean()


def test_the_mean_height_of_the_precision_curve_is_ap50() -> None:
    data, found = random_steel(4, 30)
    coco = judge(data, found)
    for label in (None, *data.labels):
        curve = coco.curve(label)
        assert curve is not None
        assert 100 * np.mean(curve.precision) == pytest.approx(coco.family(label)["ap50"], abs=1e-9)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**31), wanted=st.floats(0, 0.99))
def test_the_highest_threshold_that_reaches_the_rate_is_chosen(seed: int, wanted: float) -> None:
    data, found = random_steel(seed)
    inspected = inspect_pictures(data, found)
    old = dict.fromkeys(data.labels, 0.5)
    chosen = choose_thresholds(inspected, wanted, old)
    for number, label in enumerate(data.labels):
        choice = chosen[label]
        of = inspected.defect_label == number

        def missed(threshold: float, label: str = label, of: np.ndarray = of) -> int:
            return escape(inspected, at_thresholds(inspected, {**old, label: threshold}), of).missed

        assert choice.defects == of.sum()
        if choice.missed == choice.defects:
            assert choice.threshold == 0.5 and not choice.reached
            continue
        assert choice.missed == missed(choice.threshold)
        assert choice.reached == (choice.missed <= wanted * choice.defects + 1e-9)
        # what the next higher score would let escape is too much, or what is reached is the best there is
        assert choice.reached or choice.missed == missed(0.0)
        scores = np.sort(inspected.score[inspected.label == number])
        higher = scores[scores >= np.float32(choice.threshold)]
        above = float(np.nextafter(higher[0], np.float32(2)))
        assert missed(above) > max(wanted * choice.defects, missed(0.0)) - 1e-9


def test_a_threshold_lies_in_the_middle_and_is_short() -> None:
    assert threshold_between(0.3, 0.4) == 0.35
    assert threshold_between(None, 0.9) == 0.88, "a margin where no lower score tells"
    assert 0 < threshold_between(None, 0.01) < 0.01
    assert threshold_between(0.40001, 0.40002) == pytest.approx(0.400015)
    assert threshold_between(0.4, 0.4) == 0.4
