"""Formats are told apart, and messages name what the user gave."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from foreign_data import coco, voc_xml, write_coco, write_drawing, write_official, write_text
from temper.core.errors import TemperError, UsageError
from temper.distill.data.finding import Finding
from temper.distill.data.importer import import_data
from temper.distill.data.reader import opened, read_source


def fail(finding: Finding) -> None:
    raise AssertionError(finding)


def zipped(source: Path, target: Path) -> Path:
    return Path(shutil.make_archive(str(target), "zip", source))


def test_formats_are_told_apart(tmp_path: Path) -> None:
    assert read_source(write_official(tmp_path / "voc"), fail).format == "voc"
    assert read_source(write_coco(tmp_path / "coco"), fail).format == "coco"
    assert read_source(tmp_path / "coco/annotations/instances_train2017.json", fail).format == "coco"
    import_data(tmp_path / "voc", tmp_path / "data")
    assert read_source(tmp_path / "data", fail).format == "temper"


def test_pascal_voc_beside_json_of_something_else_is_pascal_voc(tmp_path: Path) -> None:
    source = write_official(tmp_path / "voc")
    write_text(source / "train_settings.json", '{"epochs": 3}')
    write_text(source / "broken.json", "{")
    assert read_source(source, fail).format == "voc"


def test_annotations_under_names_of_temper_and_others_are_coco(tmp_path: Path) -> None:
    """images/ and annotations/train.json beside instances_val.json: Temper never writes the latter."""
    for number, name in enumerate(("1.jpg", "2.jpg")):
        write_drawing(tmp_path / "images" / name, number)
    write_text(tmp_path / "annotations/train.json", json.dumps(coco(["1.jpg"])))
    write_text(tmp_path / "annotations/instances_val.json", json.dumps(coco(["2.jpg"])))
    data = read_source(tmp_path, fail)
    assert data.format == "coco"
    assert {picture.split for picture in data.pictures} == {"train", "val"}


def test_an_archive_is_unpacked_where_asked_and_cleared_away(tmp_path: Path) -> None:
    archive = zipped(write_official(tmp_path / "source"), tmp_path / "a")
    with opened(archive, tmp_path / "place/of/work") as folder:
        assert folder.parent == tmp_path / "place/of/work"
        assert len(read_source(folder, fail).pictures) == 9
    assert list((tmp_path / "place/of/work").iterdir()) == []
    with opened(tmp_path / "source") as folder:
        assert folder == tmp_path / "source"


def test_errors_in_an_archive_name_the_archive(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    write_text(source / "ANNOTATIONS/patches_1.xml", voc_xml([("patches", 9, 1, 3, 3)]))
    archive = zipped(source, tmp_path / "a")
    with pytest.raises(TemperError, match=r"^\S*/a\.zip/ANNOTATIONS/patches_1\.xml: Object 1 \(patches\) is inverted"):
        import_data(archive, tmp_path / "data")
    shutil.rmtree(source)
    write_text(source / "readme.txt", "hello")
    with pytest.raises(UsageError, match=r"^\S*/a\.zip holds no data set that can be read"):
        import_data(zipped(source, tmp_path / "a"), tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".partial")] == []


def test_a_damaged_download_is_not_called_another_format(tmp_path: Path) -> None:
    archive = zipped(write_official(tmp_path / "source"), tmp_path / "a")
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    assert not zipfile.is_zipfile(archive)
    with pytest.raises(TemperError, match=r"a\.zip is no archive that can be read: it may be damaged or cut short"):
        import_data(archive, tmp_path / "data")


def test_of_several_json_files_the_one_of_a_split_says_what_it_lacks(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        write_text(tmp_path / name, "{}")
    with pytest.raises(UsageError, match="holds no data set that can be read"):
        read_source(tmp_path, fail)
    write_text(tmp_path / "train.json", '{"images": [], "annotations": {}}')
    with pytest.raises(TemperError, match=r"train\.json is not .*: it has no list 'annotations', none 'categories'"):
        read_source(tmp_path, fail)


def test_a_single_json_finds_its_pictures_beside_annotations_too(tmp_path: Path) -> None:
    write_drawing(tmp_path / "photos/1.jpg", 1)
    for name in ("annotations/all.json", "all.json"):
        write_text(tmp_path / name, json.dumps(coco(["1.jpg"])))
        (picture,) = read_source(tmp_path / name, fail).pictures
        assert picture.file.as_posix() == "photos/1.jpg"
