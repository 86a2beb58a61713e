"""Splits: sizes, shares of every class, the seed, and pictures that must not be parted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.core.errors import TemperError, UsageError
from temper.detection.dataset import DataSet, Sample
from temper.distill.data.split import parse_ratio, split_data

SIDES = (10, 10)


def data_of(*classes: list[int], labels: int = 3) -> DataSet:
    """One picture for each list of classes."""
    samples = [
        Sample(f"{number:04d}.jpg", *SIDES, np.tile(np.float32([0, 0, 5, 5]), (len(own), 1)), np.array(own, np.int32))
        for number, own in enumerate(classes)
    ]
    return DataSet(tuple("abcdefgh"[:labels]), tuple(samples), Path("images"), "steel")


def names(data: DataSet) -> set[str]:
    return {sample.file_name for sample in data.samples}


def having(data: DataSet, label: int) -> int:
    return sum(label in sample.labels for sample in data.samples)


def test_seven_two_one_by_class() -> None:
    # as in NEU-DET: as many pictures of each class
    splits = split_data(data_of(*([0], [1], [2]) * 100), (7, 2, 1), seed=3)
    assert {name: len(part) for name, part in splits.items()} == {"train": 210, "val": 60, "test": 30}
    for label in range(3):
        assert [having(part, label) for part in splits.values()] == [70, 20, 10]
    assert splits["val"].name == "steel/val"
    assert splits["val"].labels == ("a", "b", "c")


def test_a_rare_class_is_in_every_split() -> None:
    data = data_of(*[[0]] * 180, *[[0, 1]] * 17, *[[0, 1, 2]] * 3)
    for seed in range(5):
        for part in split_data(data, (1, 1, 1), seed).values():
            assert having(part, 2) == 1
            assert having(part, 1) in (6, 7)


def test_pictures_without_boxes_are_shared_out_too() -> None:
    splits = split_data(data_of(*[[0]] * 50, *[[]] * 50), (8, 1, 1))
    assert [sum(not len(s.labels) for s in part.samples) for part in splits.values()] == [40, 5, 5]


def test_the_seed_decides_and_the_order_does_not() -> None:
    data = data_of(*([0], [1], [0, 2], []) * 20)
    turned = data.subset(reversed(range(len(data))))
    one, again, backwards, other = (
        {name: names(part) for name, part in split_data(of, (7, 2, 1), seed).items()}
        for of, seed in ((data, 5), (data, 5), (turned, 5), (data, 6))
    )
    assert one == again == backwards
    assert one != other
    # and what comes out is the same files, whatever split the data has been in meanwhile
    parts = split_data(data, (7, 2, 1), 5)
    meanwhile = split_data(data, (5, 5), 1)
    joined = replace(data, samples=(*meanwhile["val"].samples, *meanwhile["train"].samples))
    for name, part in split_data(joined, (7, 2, 1), 5).items():
        assert part.content_hash() == parts[name].content_hash()


def test_two_numbers_leave_test_out_and_so_does_a_zero() -> None:
    data = data_of(*[[0]] * 20)
    for ratio in ((4, 1), (4, 1, 0)):
        assert {name: len(part) for name, part in split_data(data, ratio).items()} == {"train": 16, "val": 4}
    assert list(split_data(data, (4, 0, 1))) == ["train", "test"]


@given(
    st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=3, max_size=40),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 9)),
    st.integers(0, 1000),
    st.sets(st.integers(0, 39), max_size=6),
)
def test_every_picture_is_in_exactly_one_split(
    classes: list[list[int]], ratio: tuple[int, int, int], seed: int, group: set[int]
) -> None:
    data = data_of(*classes, labels=4)
    together = {f"{number:04d}.jpg" for number in group}
    try:
        splits = split_data(data, ratio, seed, [together] if together else [])
    except TemperError as error:
        assert "too few" in str(error) or "nearly the same" in str(error)  # noqa: PT017
        return
    parts = [names(part) for part in splits.values()]
    assert sum(map(len, parts)) == len(data)
    assert set().union(*parts) == names(data)
    assert all(parts)
    kept = together & names(data)
    assert any(kept <= part for part in parts)
    for part in splits.values():
        files = [sample.file_name for sample in part.samples]
        assert files == sorted(files)  # the order of the data
    if len(kept) < 2:
        wanted = [len(data) * share / sum(ratio) for share in ratio]
        assert all(
            abs(len(part) - share) < 1 for part, share in zip(splits.values(), filter(None, wanted), strict=True)
        )


def test_groups_stay_together_whatever_the_seed() -> None:
    data = data_of(*([0], [1]) * 30)
    groups = [[f"{number:04d}.jpg" for number in range(start, start + 6)] for start in range(0, 60, 6)]
    for seed in range(6):
        splits = split_data(data, (3, 1, 1), seed, groups)
        assert [len(part) for part in splits.values()] == [36, 12, 12]
        for group in groups:
            assert sum(bool(names(part) & set(group)) for part in splits.values()) == 1


def test_too_few_pictures_are_said() -> None:
    with pytest.raises(TemperError, match="3 pictures are too few to split 7:2:1: nothing is left for 'test'"):
        split_data(data_of([0], [0], [0]), (7, 2, 1))
    with pytest.raises(TemperError, match="0 pictures are too few"):
        split_data(data_of(), (7, 2, 1))
    data = data_of(*[[0]] * 10)
    with pytest.raises(TemperError, match="Too many of the 10 pictures are nearly the same to split them 7:2:1"):
        split_data(data, (7, 2, 1), 0, [names(data)])


@pytest.mark.parametrize("ratio", [(), (1,), (0, 1, 1), (1, 0, 0), (1, -1, 1), (1, 1, 1, 1)])
def test_ratios_without_sense_are_refused(ratio: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="is none of train:val:test with something to train and to judge on"):
        split_data(data_of([0], [0]), ratio)


def test_ratios_are_read() -> None:
    assert (parse_ratio("7:2:1"), parse_ratio(" 8:2 ")) == ((7, 2, 1), (8, 2))
    for text in ("", "7", "7-2-1", "7:2:1:1", "0.7:0.2:0.1", "-7:2:1", "7:2:", "9999999:1"):
        with pytest.raises(UsageError, match="is not of the form train:val:test"):
            parse_ratio(text)
    with pytest.raises(UsageError, match="is none of train:val:test"):
        parse_ratio("0:1")
