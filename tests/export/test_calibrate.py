from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from temper.core.errors import TemperError
from temper.detection.dataset import DataSet
from temper.export.calibrate import METHODS, measure_ranges
from temper.export.calibration_set import choose_calibration
from temper.export.quantize import activations
from tiny_bundle import tiny_graph
from toy_data import toy_data

PIXELS = "input/subtract_mean:0"


@pytest.fixture(scope="module")
def fp32() -> onnx.ModelProto:
    return tiny_graph("grey", (64, 64))


def test_ranges_by_every_method(fp32: onnx.ModelProto, capfd: pytest.CaptureFixture[str]) -> None:
    images = np.random.default_rng(0).integers(50, 200, (5, 64, 64), dtype=np.uint8)
    images[3, 7, 7] = 255
    told: list[tuple[int, int]] = []
    names = activations(fp32)
    given = [lambda i=i: images[i] for i in range(5)]
    ranges = measure_ranges(fp32, names, given, METHODS, lambda done, total: told.append((done, total)))
    assert capfd.readouterr() == ("", "")
    assert told == [(i, 5) for i in range(1, 6)]
    assert set(ranges) == set(METHODS) and all(set(found) == set(names) for found in ranges.values())
    low, high = ranges["min_max"][PIXELS]
    assert (low, high) == pytest.approx((50 - 114.495, 255 - 114.495), abs=1e-3)
    for method in ("percentile", "entropy"):
        for name, (least, most) in ranges[method].items():
            widest = ranges["min_max"][name]
            assert widest[0] <= least <= 0 <= most <= widest[1] and least < most
    assert ranges["percentile"][PIXELS][1] < 200, "the one bright pixel is cut off"


def test_no_pictures_and_wrong_pictures(fp32: onnx.ModelProto) -> None:
    with pytest.raises(TemperError, match="needs pictures"):
        measure_ranges(fp32, activations(fp32), [], METHODS)
    with pytest.raises(TemperError, match="could not be measured") as caught:
        measure_ranges(fp32, activations(fp32), [lambda: np.zeros((16, 16), np.uint8)], METHODS)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataSet, DataSet]:
    folder = tmp_path_factory.mktemp("toy")
    return toy_data(folder / "train", 40, 1), toy_data(folder / "val", 6, 2)


def test_a_good_calibration_set(sets: tuple[DataSet, DataSet]) -> None:
    chosen = choose_calibration(sets[0], [sets[1]], 36)
    assert len(chosen.rows) >= 36 and chosen.warnings == []
    assert len(choose_calibration(sets[0], [], 1000).rows) == 40


def test_pictures_that_models_are_judged_on_are_left_out(sets: tuple[DataSet, DataSet]) -> None:
    train = sets[0]
    chosen = choose_calibration(train, [train.subset([3, 5])], 40)
    assert {3, 5}.isdisjoint(chosen.rows) and len(chosen.rows) == 38
    assert chosen.warnings[0].startswith("2 of the 40 pictures")
    with pytest.raises(TemperError, match="in no other split"):
        choose_calibration(train, [train], 40)


def test_too_few_pictures_and_missing_classes(sets: tuple[DataSet, DataSet], tmp_path: Path) -> None:
    train = sets[0]
    without = [row for row in range(len(train)) if 1 not in train.samples[row].labels][:5]
    found = choose_calibration(train.subset(without), [], 5).warnings
    assert len(found) == (2 if without else 0)
    assert f"measured on {len(without)} pictures" in found[0]
    assert f"shows {train.labels[1]}" in found[1]


def test_a_class_that_even_spacing_misses_is_added(sets: tuple[DataSet, DataSet]) -> None:
    train = sets[0]
    only = next(row for row in range(len(train)) if 1 in train.samples[row].labels)
    others = [row for row in range(len(train)) if 1 not in train.samples[row].labels]
    data = train.subset([others[0], only, *others[1:4]])
    assert 1 in choose_calibration(data, [], 2).rows
