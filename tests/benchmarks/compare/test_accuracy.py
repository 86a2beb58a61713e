from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from temper.benchmarks.compare.accuracy import Judged, compare_accuracy, judge_side
from temper.benchmarks.compare.disagreement import Disagreement, find_disagreements
from temper.detection.dataset import DataSet
from temper.detection.detections import Detections
from temper.detection.metrics import evaluate
from toy_data import toy_data

SMALLEST = {"map": 0.1, "escape": 1.0, "false_alarms": 0.05}
THRESHOLDS = {"dark": 0.5, "bright": 0.5}


@pytest.fixture(scope="module")
def steel(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return toy_data(tmp_path_factory.mktemp("steel"), 80)


def truth(data: DataSet) -> list[Detections]:
    """What finds every defect."""
    return [Detections(s.boxes, np.full(len(s.boxes), 0.9, np.float32), s.labels, s.size) for s in data.samples]


def blind_to(found: Sequence[Detections], pictures: Sequence[int]) -> list[Detections]:
    """The same, but for pictures on which nothing is found."""
    return [Detections.none(one.image_size) if place in pictures else one for place, one in enumerate(found)]


def judged(data: DataSet, detections: Sequence[Detections]) -> Judged:
    return judge_side(data, detections, THRESHOLDS, 0.5)


def test_a_side_against_itself_is_equivalent(steel: DataSet) -> None:
    side = judged(steel, truth(steel))
    effects = compare_accuracy(steel, side, side, SMALLEST, 0.001)
    assert {effect.verdict for effect in effects.values() if effect.a is not None} == {"equivalent"}
    assert effects["ap"].note == "the detections on all 80 pictures are the same"
    assert effects["ap_large"].verdict is None, "there are no large defects"


def test_what_finds_less_is_worse_in_every_figure(steel: DataSet) -> None:
    found = truth(steel)
    a, b = judged(steel, found), judged(steel, blind_to(found, range(0, 80, 2)))
    effects = compare_accuracy(steel, a, b, SMALLEST, 0.001)
    ap = effects["ap"]
    assert ap.change is not None
    assert ap.change.value == pytest.approx(evaluate(steel, b.detections).ap - evaluate(steel, a.detections).ap)  # type: ignore[operator]
    assert ap.change.low < ap.change.value < ap.change.high < 0
    assert (ap.verdict, effects["escape_rate"].verdict) == ("worse", "worse")
    missed = sum(len(sample.labels) for sample in steel.samples[::2])
    total = sum(len(sample.labels) for sample in steel.samples)
    assert effects["escape_rate"].b == pytest.approx(100 * missed / total)
    assert effects["false_alarms"].change is not None
    # none has a false alarm, which eighty pictures show to a few in a hundred only
    assert effects["false_alarms"].change.value == 0
    assert effects["false_alarms"].verdict == "no difference shown"
    turned = compare_accuracy(steel, b, a, SMALLEST, 0.001)
    assert (turned["ap"].verdict, turned["escape_rate"].verdict) == ("better", "better")


def test_one_missed_picture_in_eighty_shows_nothing(steel: DataSet) -> None:
    found = truth(steel)
    effects = compare_accuracy(steel, judged(steel, found), judged(steel, blind_to(found, [3])), SMALLEST, 0.001)
    assert effects["ap"].verdict == effects["escape_rate"].verdict == "no difference shown"


def test_pairing_makes_the_interval_narrow(steel: DataSet) -> None:
    """Two sides that fail alike on half the pictures differ little, whichever pictures are drawn."""
    found = blind_to(truth(steel), range(0, 80, 2))
    a, b = judged(steel, found), judged(steel, blind_to(found, [1]))
    change = compare_accuracy(steel, a, b, SMALLEST, 0.001)["ap"].change
    assert change is not None
    assert change.high - change.low < 20, "either side's own interval is some 40 points wide"


def test_few_pictures_are_never_equivalent_unless_all_is_the_same(steel: DataSet) -> None:
    few = steel.subset(range(12))
    found = truth(few)
    weaker = [replace(one, scores=one.scores - np.float32(0.01)) for one in found]
    ap = compare_accuracy(few, judged(few, found), judged(few, weaker), SMALLEST, 0.001)["ap"]
    assert ap.verdict == "no difference shown"
    assert ap.note == "none is seen, but on 12 pictures one within the interval need not be"
    wide = {**SMALLEST, "map": 100.0}
    ap = compare_accuracy(few, judged(few, found), judged(few, weaker), wide, 0.001)["ap"]
    assert (ap.verdict, ap.note) == ("no difference shown", "12 pictures are too few to call them equivalent")


def test_a_drop_that_no_picture_shows_is_not_ruled_out(steel: DataSet) -> None:
    """Scores that differ a little on every picture leave AP as it is; what befalls few may be absent."""
    found = truth(steel)
    weaker = [replace(one, scores=one.scores - np.float32(0.01)) for one in found]
    effects = compare_accuracy(steel, judged(steel, found), judged(steel, weaker), SMALLEST, 0.001)
    for name in ("ap", "ap50", "ap75"):
        effect = effects[name]
        assert effect.change is not None
        assert effect.change.value == 0
        assert effect.change.low < -9
        assert effect.change.high > 9
        assert effect.verdict == "no difference shown", name


def test_a_class_that_few_pictures_have_widens_the_interval(steel: DataSet) -> None:
    """Of two classes the rare one is half of the mean, and eight pictures hardly show it."""
    rare = [place for place, one in enumerate(steel.samples) if 1 in one.labels][8:]
    few = steel.subset([place for place in range(80) if place not in rare])
    found = truth(few)
    weaker = [replace(one, scores=one.scores - np.float32(0.01)) for one in found]
    common, scarce = (
        compare_accuracy(data, judged(data, truth(data)), judged(data, other), SMALLEST, 0.001)["ap"].change
        for data, other in (
            (steel, [replace(one, scores=one.scores - np.float32(0.01)) for one in truth(steel)]),
            (few, weaker),
        )
    )
    assert common is not None
    assert scarce is not None
    assert scarce.high > 40 > 10 > common.high


def test_no_interval_reaches_beyond_the_differences_there_can_be(steel: DataSet) -> None:
    few = replace(steel, samples=steel.samples[:3])
    found = truth(few)
    effects = compare_accuracy(few, judged(few, found), judged(few, blind_to(found, [0, 1])), SMALLEST, 0.001)
    for name in ("ap", "ap50", "escape_rate"):
        change = effects[name].change
        assert change is not None, name
        assert (change.low, change.high) == (-100, 100), name


def test_disagreements_are_named_and_sorted(steel: DataSet, tmp_path: Path) -> None:
    found = truth(steel)
    names = [sample.file_name for sample in steel.samples]
    alarm = Detections(
        np.array([[0, 0, 4, 4]], np.float32), np.array([0.9]), np.array([1]), steel.samples[5].size, names[5]
    )
    wrong = Detections(
        np.concatenate([found[5].boxes, alarm.boxes]),
        np.concatenate([found[5].scores, alarm.scores]),
        np.concatenate([found[5].labels, alarm.labels]),
        steel.samples[5].size,
    )
    a = judged(steel, blind_to(found, [7]))
    b = judged(steel, [wrong if place == 5 else one for place, one in enumerate(blind_to(found, [2]))])
    label = [tuple(steel.labels[k] for k in steel.samples[place].labels) for place in range(80)]
    assert find_disagreements(steel, a, a, 0.5) == []
    assert set(find_disagreements(steel, a, b, 0.5)) == {
        Disagreement(names[2], label[2], (), (), ()),
        Disagreement(names[7], (), label[7], (), ()),
        Disagreement(names[5], (), (), ("bright",), ()),
    }
    assert find_disagreements(steel, a, b, 0.5)[0].file == names[2], "what B loses comes first"
    # the same false alarm on both sides is no disagreement
    assert find_disagreements(steel, b, b, 0.5) == []
