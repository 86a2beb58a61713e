"""The sheet shows the worst, each kind, and boxes where they are."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from foreign_data import voc_xml, write_drawing, write_official, write_text
from numpy.typing import NDArray
from temper.detection.draw import class_colour
from temper.detection.images import read_image
from temper.distill.data.check import check_source
from temper.distill.data.contact_sheet import MOST_TILES, write_contact_sheet
from temper.distill.data.finding import Finding
from temper.distill.data.source import SourceData, SourcePicture

TILE = 320 + 2 * 8


def sheet_of(folder: Path, pictures: list[SourcePicture], findings: list[Finding]) -> NDArray[np.uint8]:
    labels = tuple(sorted({label for picture in pictures for label in picture.labels}))
    write_contact_sheet(folder / "sheet.png", SourceData("voc", folder, labels, tuple(pictures)), findings)
    return read_image(folder / "sheet.png", "rgb")


def picture(folder: Path, number: int, *boxes: tuple[float, float, float, float], **options: str) -> SourcePicture:
    name = f"{number}.png"
    write_drawing(folder / name, number, (100, 100))
    labels = (options.get("label", "a"),) * len(boxes)
    return SourcePicture(PurePosixPath(name), PurePosixPath("a.xml"), "train", None, boxes, labels)


def finding(number: int, kind: str = "box-outside", severity: str = "error", **more: object) -> Finding:
    return Finding(kind, severity, "train", f"{number}.png", "It is so.", **more)  # type: ignore[arg-type]


def has_colour(image: NDArray[np.uint8], colour: tuple[int, int, int]) -> bool:
    return bool((image == np.array(colour, np.uint8)).all(axis=2).any())


def test_a_tile_for_each_finding_in_rows_of_four(tmp_path: Path) -> None:
    pictures = [picture(tmp_path, number, (10, 10, 50, 50)) for number in range(6)]
    one, four, five = (sheet_of(tmp_path, pictures, [finding(n) for n in range(count)]) for count in (1, 4, 5))
    assert (one.shape[1], four.shape[1], five.shape[1]) == (TILE, 4 * TILE, 4 * TILE)
    assert one.shape[0] == four.shape[0] and five.shape[0] == 2 * four.shape[0]
    assert has_colour(one, class_colour(0))
    # the second row has one tile, and paper beside it
    assert (five[four.shape[0] :, TILE:] == 250).all()


def test_the_sheet_has_an_end_and_every_kind_has_a_place(tmp_path: Path) -> None:
    pictures = [picture(tmp_path, number, (10, 10, 50, 50)) for number in range(100)]
    often = [finding(number) for number in range(99)]
    rare = finding(99, "same-picture", "warning", other="98.png")
    full = sheet_of(tmp_path, pictures, [*often, rare])
    rows = MOST_TILES // 4
    assert full.shape[1] == 4 * TILE
    without = sheet_of(tmp_path, pictures, often)
    # the last tile is the rare one: a pair, without boxes
    assert (full[: full.shape[0] // rows * (rows - 1)] == without[: full.shape[0] // rows * (rows - 1)]).all()
    last = full[-full.shape[0] // rows :, 3 * TILE :]
    assert not has_colour(last, class_colour(0))
    assert has_colour(without[-full.shape[0] // rows :, 3 * TILE :], class_colour(0))


def test_a_box_outside_is_seen_beyond_the_edge(tmp_path: Path) -> None:
    box = (80.0, 20.0, 140.0, 60.0)
    inside, outside = (
        sheet_of(tmp_path, [picture(tmp_path, 0, box)], [finding(0, box=wrong)]) for wrong in (None, box)
    )
    margin = (150, 170, 190)
    assert has_colour(inside, margin) and has_colour(outside, margin)
    white = [int((sheet == 255).all(axis=2).sum()) for sheet in (inside, outside)]
    assert white[1] > white[0] + 100  # the dashes


def test_an_inverted_box_and_one_far_away_can_be_drawn(tmp_path: Path) -> None:
    for box in ((50.0, 50.0, 10.0, 10.0), (1e6, 1e6, 2e6, 2e6), (-1e8, -1e8, -9e7, -9e7)):
        sheet = sheet_of(tmp_path, [picture(tmp_path, 0, (1, 1, 9, 9))], [finding(0, box=box)])
        assert sheet.shape[1] == TILE


def test_a_picture_that_cannot_be_read_has_a_tile_that_says_so(tmp_path: Path) -> None:
    broken = picture(tmp_path, 0, (1, 1, 9, 9))
    (tmp_path / "0.png").write_bytes(b"no")
    assert has_colour(sheet_of(tmp_path, [broken], [finding(0)]), (200, 200, 200))


@pytest.mark.parametrize("size", [(2000, 20), (20, 2000), (1, 1)])
def test_pictures_of_any_shape_fit(tmp_path: Path, size: tuple[int, int]) -> None:
    given = picture(tmp_path, 0, (0, 0, 1, 1))
    write_drawing(tmp_path / "0.png", 0, size)
    sheet = sheet_of(tmp_path, [given], [finding(0)])
    assert sheet.shape[1] == TILE and sheet.shape[0] <= 320 + 66 + 2 * 8


def test_where_nothing_is_wrong_two_examples_of_each_class_are_shown(tmp_path: Path) -> None:
    pictures = [picture(tmp_path, n, (10, 10, 50, 50), label="ab"[n % 2]) for n in range(10)]
    sheet = sheet_of(tmp_path, pictures, [finding(3, severity="info")])
    assert sheet.shape[1] == 4 * TILE
    assert has_colour(sheet, class_colour(0)) and has_colour(sheet, class_colour(1))


def test_without_any_picture_the_sheet_says_so(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path, [], [])
    assert sheet.shape[0] < 120
    assert (sheet < 100).any()


def test_a_check_of_voc_shows_the_picture_of_a_broken_annotation(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    write_text(source / "ANNOTATIONS/patches_1.xml", voc_xml([("patches", 30, 1, 20, 30)]))
    report = check_source(source, tmp_path / "sheet.png")
    (broken,) = (found for found in report.findings if found.kind == "empty-box")
    assert (broken.file, broken.picture) == ("ANNOTATIONS/patches_1.xml", "IMAGES/patches_1.jpg")
    assert read_image(tmp_path / "sheet.png", "rgb").shape[1] == TILE
