"""Figures of splits, and where they are lopsided."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from temper.distill.data.balance import SplitFigures, check_balance, check_classes, split_figures
from temper.distill.data.finding import Finding
from temper.distill.data.source import SourceData, SourcePicture

BOX = (0.0, 0.0, 40.0, 40.0)


def data_of(*pictures: tuple[str | None, str], labels: str = "", **declared: tuple[str, ...]) -> SourceData:
    """Pictures as split and the one-letter classes of their boxes."""
    made = [
        SourcePicture(PurePosixPath(f"{n}.jpg"), PurePosixPath("a"), split, None, (BOX,) * len(own), tuple(own))
        for n, (split, own) in enumerate(pictures)
    ]
    names = tuple(labels) or tuple(sorted({name for _, own in pictures for name in own}))
    return SourceData("coco", Path("/data"), names, tuple(made), (), declared)


def figures(small: int = 0, medium: int = 0, large: int = 0, empty: int = 0, **boxes: int) -> SplitFigures:
    sizes = {"small": small, "medium": medium, "large": large}
    return SplitFigures(max(1, sum(boxes.values())), empty, boxes, sizes)


def said(findings: list[Finding], kind: str) -> list[tuple[str, str, str]]:
    return [(finding.severity, finding.split, finding.message) for finding in findings if finding.kind == kind]


def test_figures_count_as_coco_does() -> None:
    sides = (31.999, 32, 95.999, 96)
    boxes = tuple((0.0, 0.0, side, side) for side in sides)
    picture = SourcePicture(PurePosixPath("1.jpg"), PurePosixPath("a"), "train", None, boxes, ("a", "a", "b", "a"))
    empty = SourcePicture(PurePosixPath("2.jpg"), PurePosixPath("a"), "train", None, (), ())
    unsplit = SourcePicture(PurePosixPath("3.jpg"), PurePosixPath("a"), None, None, boxes[:1], ("b",))
    found = split_figures(SourceData("voc", Path("/data"), ("a", "b", "c"), (unsplit, picture, empty)))
    assert list(found) == ["train", ""]
    assert found["train"] == SplitFigures(2, 1, {"a": 3, "b": 1, "c": 0}, {"small": 1, "medium": 2, "large": 1})
    assert (found["train"].all_boxes, found[""].boxes) == (4, {"a": 0, "b": 1, "c": 0})


def test_a_class_that_only_a_judging_split_has_is_an_error() -> None:
    findings = list(check_classes(data_of(("train", "ab"), ("val", "abcc"), ("test", "b"))))
    assert said(findings, "unknown-class") == [("error", "val", "'c' has 2 boxes here and none in the training split.")]
    assert list(check_classes(data_of((None, "ab"), (None, "c")))) == []


def test_a_class_that_only_a_judging_split_declares_is_an_error() -> None:
    data = data_of(("train", "a"), ("val", "a"), train=("a", "b"), val=("b", "a", "c", "d"))
    assert said(list(check_classes(data)), "unknown-class") == [
        ("error", "val", "The split declares classes that the training split does not: c, d.")
    ]


def test_names_that_may_be_one_class_are_a_warning() -> None:
    names = ("rolled-in_scale", "Rolled in scale", "scratches", "scratch", "patches", "hole", "holes", "pit")
    data = SourceData("voc", Path("/data"), names, ())
    assert [message.partition(" count")[0] for _, _, message in said(list(check_classes(data)), "similar-classes")] == [
        "'rolled-in_scale', 'Rolled in scale'",
        "'scratches', 'scratch'",
        "'hole', 'holes'",
    ]


def test_rare_classes_and_sizes_of_the_training_split() -> None:
    findings = list(check_balance({"train": figures(small=1, medium=500, large=2, a=480, b=48, c=1, d=0)}))
    assert said(findings, "class-imbalance") == [
        ("warning", "train", "'c' has 1 box to train on."),
        ("warning", "train", "'d' has no boxes to train on."),
        ("warning", "train", "'a' has 480 boxes, 'c' only 1."),
    ]
    assert said(findings, "size-imbalance") == [
        ("info", "train", "Only 1 of 529 boxes is small."),
        ("info", "train", "Only 2 of 529 boxes are large."),
    ]


def test_an_even_data_set_has_no_findings() -> None:
    train, val = (figures(small=n, medium=4 * n, large=n, a=3 * n, b=3 * n) for n in (100, 20))
    assert list(check_balance({"train": train, "val": val})) == []
    assert list(check_balance({})) == []


def test_a_split_of_another_kind_than_the_training_split_is_a_warning() -> None:
    train = figures(small=100, medium=100, large=100, a=150, b=150)
    val = figures(small=10, medium=80, large=10, a=80, b=20)
    findings = list(check_balance({"train": train, "val": val}))
    assert said(findings, "class-imbalance") == [
        ("warning", "val", "20.0% of the boxes are 'b', against 50.0% in training.")
    ]
    assert said(findings, "size-imbalance") == [
        ("warning", "val", "10.0% of the boxes are 'small', against 33.3% in training."),
        ("warning", "val", "80.0% of the boxes are 'medium', against 33.3% in training."),
        ("warning", "val", "10.0% of the boxes are 'large', against 33.3% in training."),
    ]


def test_shares_of_few_boxes_differ_by_chance() -> None:
    train = figures(small=10, medium=10, large=10, a=15, b=15)
    findings = list(check_balance({"train": train, "val": figures(medium=5, small=1, large=1, a=6, b=1)}))
    # few to train on are said, another share in val is not
    assert [(finding.kind, finding.split) for finding in findings] == [("class-imbalance", "train")] * 2


def test_a_class_that_cannot_be_judged_is_a_warning() -> None:
    train = figures(small=10, medium=10, large=10, a=15, b=15, c=0)
    val = figures(small=10, medium=10, large=10, a=30, b=0, c=0)
    findings = list(check_balance({"train": train, "val": val}))
    message = "There is no box of 'b', so there will be no AP of it."
    assert ("warning", "val", message) in said(findings, "class-imbalance")
    assert not [finding for finding in findings if "no box of 'c'" in finding.message]


def test_what_cannot_be_judged_and_pictures_without_boxes_are_remarks() -> None:
    train = figures(small=50, medium=50, large=50, empty=3, a=150)
    findings = list(check_balance({"train": train, "test": figures(small=5, medium=5, a=10)}))
    assert said(findings, "no-boxes") == [("info", "train", "3 of 150 pictures have no box.")]
    assert said(findings, "size-imbalance") == [
        ("info", "test", "There is no large box, so there will be no AP of large ones.")
    ]
