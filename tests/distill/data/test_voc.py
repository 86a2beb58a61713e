"""Pascal VOC: boxes are 1-based and inclusive, the class is the object's name, and a broken file is one sentence."""

from __future__ import annotations

import contextlib
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import escape

import pytest
from foreign_data import (
    SIZE,
    require_whole,
    voc_xml,
    write_drawing,
    write_official,
    write_text,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from temper.core.errors import TemperError
from temper.detection.dataset import load_split
from temper.distill.data.importer import import_data
from temper.distill.data.voc import MAX_BYTES, MAX_LIST_BYTES, UnsafeXmlError, parse_xml


def test_the_xml_names_its_picture_in_many_ways(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source", lists=False)
    # the ending lacks, another ending, another stem than the picture's, size 0 as some tools leave it
    write_drawing(source / "IMAGES" / "cam.7.PNG", 60)
    write_text(source / "ANNOTATIONS/cam.7.xml", voc_xml([("patches", 1, 1, 9, 9)], (0, 0), "cam.7"))
    write_drawing(source / "IMAGES" / "b.png", 61)
    write_text(source / "ANNOTATIONS/b_labels.xml", voc_xml([("patches", 1, 1, 9, 9)], None, "x/b.jpg"))
    summary = import_data(source, tmp_path / "data", split_ratio=(1, 1))
    assert sum(summary.pictures.values()) == 11
    require_whole(tmp_path / "data")


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (("abc", 1, 20, 30), r"patches_1\.xml: Object 1 \(patches\) has xmin 'abc', which is not a number"),
        ((1, 1, "nan", 30), r"Object 1 \(patches\) has xmax 'nan', which is not a number"),
        ((1, 1, 20, "1e99"), r"Object 1 \(patches\) has ymax '1e99', which is not a number"),
        ((1, 1, 20, ""), r"Object 1 \(patches\) has no ymax"),
        ((30, 1, 20, 30), r"Object 1 \(patches\) is inverted: xmin 30, xmax 20"),
        ((1, 31, 20, 30), r"Object 1 \(patches\) is inverted: ymin 31, ymax 30"),
        ((70, 1, 80, 30), r"patches_1\.jpg: Its box of 'patches' in ANNOTATIONS/patches_1\.xml.*lies outside"),
    ],
)
def test_a_broken_box_names_file_object_and_value(tmp_path: Path, box: tuple[object, ...], message: str) -> None:
    source = write_official(tmp_path / "source")
    write_text(source / "ANNOTATIONS/patches_1.xml", voc_xml([("patches", *box)]))  # type: ignore[list-item]
    with pytest.raises(TemperError, match=message) as caught:
        import_data(source, tmp_path / "data")
    assert str(source) in str(caught.value)
    assert not (tmp_path / "data").exists()
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation><object>", r"patches_1\.xml: The XML cannot be read: no element found"),
        ("", "The XML cannot be read: no element found"),
        ("no xml", "The XML cannot be read: syntax error"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>&b;</annotation>", "declares a document type"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "The XML cannot be read: unknown encoding"),
        ("<a>" * 40 + "</a>" * 40, "nested more than 32 deep"),
        (voc_xml([("", 1, 1, 20, 30)]), "Object 1 has no name"),
        (voc_xml([], (61, 40)), r"patches_1\.jpg: It has 60 x 40 pixels, but ANNOTATIONS/patches_1\.xml says 61 x 40"),
    ],
)
def test_a_broken_annotation_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    source = write_official(tmp_path / "source")
    write_text(source / "ANNOTATIONS/patches_1.xml", text)
    with pytest.raises(TemperError, match=message):
        import_data(source, tmp_path / "data")


def test_a_document_type_is_refused_in_every_encoding(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    bomb = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><a>&b;</a>'
    (source / "ANNOTATIONS/patches_1.xml").write_bytes(bomb.encode("utf-16"))
    with pytest.raises(TemperError, match="declares a document type"):
        import_data(source, tmp_path / "data")


def test_a_list_that_names_nothing_stops_the_import(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    write_text(source / "val.txt", "scratches_6\nghost_7\n")
    with pytest.raises(TemperError, match=r"val\.txt: It names 'ghost_7', which is no picture"):
        import_data(source, tmp_path / "data")


def test_a_picture_in_two_lists_stops_the_import(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    write_text(source / "val.txt", "scratches_6\npatches_1\n")
    with pytest.raises(TemperError, match=r"val\.txt: It names 'patches_1', which is in train\.txt as well"):
        import_data(source, tmp_path / "data")


def test_a_picture_twice_in_one_list_is_one_picture(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    # with folder and ending, and the annotation beside it, as some tools write lists
    write_text(source / "val.txt", "scratches_6\nIMAGES/scratches_6.jpg ANNOTATIONS/scratches_6.xml\n\n")
    summary = import_data(source, tmp_path / "data")
    assert summary.pictures == {"train": 6, "val": 1}
    assert "2 pictures are in none of the lists (train, val) and stayed out" in str(summary)


def test_two_annotations_of_one_picture_are_refused(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source", lists=False)
    write_text(source / "more" / "patches_1.xml", voc_xml([("patches", 1, 1, 9, 9)]))
    with pytest.raises(TemperError, match=r"The picture IMAGES/patches_1\.jpg has a second annotation"):
        import_data(source, tmp_path / "data")


def test_a_billion_laughs_cost_nothing(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    laughs = f'<!DOCTYPE a [<!ENTITY l0 "ha">{entities}]><annotation><object><name>&l9;</name></object></annotation>'
    write_text(source / "ANNOTATIONS/patches_1.xml", laughs)
    with pytest.raises(TemperError, match="declares a document type, which an annotation never needs"):
        import_data(source, tmp_path / "data")


def test_an_endless_annotation_is_not_read_to_its_end(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    with (source / "ANNOTATIONS/patches_1.xml").open("wb") as file:
        file.truncate(MAX_BYTES * 100)  # sparse
    with pytest.raises(TemperError, match="has more than 8,388,608 bytes, which no annotation has"):
        import_data(source, tmp_path / "data")


def test_a_list_that_cannot_be_read_or_has_no_end(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source", lists=False)
    text = source / "train.txt"
    with text.open("wb") as file:
        file.truncate(MAX_LIST_BYTES + 1)
    with pytest.raises(TemperError, match=r"train\.txt has more than 268,435,456 bytes"):
        import_data(source, tmp_path / "data")
    text.unlink()
    text.symlink_to(text)
    with pytest.raises(TemperError, match=r"The list .*train\.txt cannot be read: Too many levels"):
        import_data(source, tmp_path / "data")


def test_an_object_without_a_box_has_no_edges(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    write_text(source / "ANNOTATIONS/patches_1.xml", "<annotation><object><name>patches</name></object></annotation>")
    with pytest.raises(TemperError, match=r"Object 1 \(patches\) has no xmin"):
        import_data(source, tmp_path / "data")


def test_a_picture_without_objects_is_one_without_boxes(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    write_text(source / "ANNOTATIONS/patches_1.xml", voc_xml([]))
    import_data(source, tmp_path / "data")
    sample = load_split(tmp_path / "data", "train").samples[1]
    assert (sample.file_name, sample.boxes.shape, sample.labels.shape) == ("patches_1.jpg", (0, 4), (0,))


def test_pictures_without_an_annotation_or_a_list_are_left_out_and_said(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    write_drawing(source / "IMAGES" / "unknown.jpg", 50)
    write_drawing(source / "IMAGES" / "unlisted.jpg", 51)
    write_text(source / "ANNOTATIONS/unlisted.xml", voc_xml([]))
    summary = import_data(source, tmp_path / "data")
    assert summary.pictures == {"train": 6, "val": 3}
    assert "1 picture has no XML file" in str(summary)
    assert "1 picture is in none of the lists" in str(summary)


@st.composite
def voc_boxes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """1-based, inclusive, inside a picture of 60 x 40."""
    xs, ys = (sorted(draw(st.tuples(st.integers(1, side), st.integers(1, side)))) for side in SIZE)
    return xs[0], ys[0], xs[1], ys[1]


names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)


@settings(max_examples=40)
@given(st.lists(st.lists(st.tuples(names, voc_boxes()), max_size=4), min_size=2, max_size=4))
def test_voc_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, pictures: list[list[tuple[str, tuple[int, int, int, int]]]]
) -> None:
    """Classes, pixels, order, duplicates and sizes, read from XML, and once more from the data set made of it."""
    assume(any(pictures))
    folder = tmp_path_factory.mktemp("voc")
    for number, objects in enumerate(pictures):
        write_drawing(folder / "source" / f"{number}.png", number)
        escaped = [(escape(name), *box) for name, box in objects]
        write_text(folder / "source" / f"{number}.xml", voc_xml(escaped))
    import_data(folder / "source", folder / "data", split_ratio=(1, 1))
    import_data(folder / "data", folder / "again")
    for data_folder in (folder / "data", folder / "again"):
        splits = [load_split(data_folder, split) for split in ("train", "val")]
        labels = splits[0].labels
        assert labels == tuple(sorted({name for objects in pictures for name, _ in objects}))
        samples = {sample.file_name: sample for data in splits for sample in data.samples}
        assert samples.keys() == {f"{number}.png" for number in range(len(pictures))}
        for number, objects in enumerate(pictures):
            sample = samples[f"{number}.png"]
            back = [(labels[k], *map(int, box)) for box, k in zip(sample.boxes.tolist(), sample.labels, strict=True)]
            # as many pixels as VOC counts: from the first's left edge to the last's right one
            assert back == [(name, x1 - 1, y1 - 1, x2, y2) for name, (x1, y1, x2, y2) in dict.fromkeys(objects)]
            assert sample.size == SIZE


@settings(max_examples=200)
@given(st.binary(max_size=300) | st.text(alphabet="<>/!?&;#x0aDOCTYPEobject[]\"'= ", max_size=300).map(str.encode))
def test_whatever_the_bytes_an_annotation_is_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(UnsafeXmlError, expat.ExpatError, ValueError, LookupError):
        assert parse_xml(content).tag


def test_of_the_lists_of_a_full_tree_those_of_detection_count(tmp_path: Path) -> None:
    source = tmp_path / "source"
    names = [f"{number:06}" for number in range(8)]
    for number, name in enumerate(names):
        write_drawing(source / "JPEGImages" / f"{name}.jpg", number)
        write_text(source / "Annotations" / f"{name}.xml", voc_xml([("patches", 1, 1, 20, 30)]))
    lists = {"Main/train": names[:5], "Main/val": names[5:7], "Layout/train": names[:2], "Action/val": names[2:3]}
    # and one that Main does not have, which is another task's own
    for name, members in {**lists, "Layout/test": names[7:], "Main/patches_train": names[:1]}.items():
        write_text(source / "ImageSets" / f"{name}.txt", "\n".join(members))
    assert import_data(source, tmp_path / "data").pictures == {"train": 5, "val": 2}
