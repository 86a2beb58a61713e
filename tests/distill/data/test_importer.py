"""Importing: layouts to data set folders, splits, and what a target may hold."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import cv2
import pytest
from foreign_data import (
    coco,
    drawing,
    picture_names,
    require_whole,
    voc_xml,
    write_coco,
    write_drawing,
    write_kaggle,
    write_official,
    write_text,
)
from temper.core.errors import TemperError, UsageError
from temper.detection.dataset import load_split
from temper.distill.data.importer import import_data


def test_the_official_layout_keeps_its_lists_and_its_names_of_objects(tmp_path: Path) -> None:
    summary = import_data(write_official(tmp_path / "source"), tmp_path / "data")
    train, val = (load_split(tmp_path / "data", split) for split in ("train", "val"))
    assert summary.format == "voc"
    assert (summary.pictures, summary.split_made) == ({"train": 6, "val": 3}, False)
    assert train.labels == val.labels == summary.labels == ("patches", "scratches")
    assert picture_names(train) == [f"{'patches' if number % 2 else 'scratches'}_{number}.jpg" for number in range(6)]
    first = train.samples[0]
    # 1..20 inclusive is 0..20; the second box is of another class than the file's name
    assert first.boxes.tolist() == [[0, 0, 20, 30], [30, 10, 60, 40]]
    assert [train.labels[label] for label in first.labels] == ["scratches", "patches"]
    assert not (tmp_path / "data/annotations/test.json").exists()
    require_whole(tmp_path / "data")


def test_kaggles_layout_takes_the_split_of_the_pictures_folder(tmp_path: Path) -> None:
    summary = import_data(write_kaggle(tmp_path / "source"), tmp_path / "data")
    assert summary.pictures == {"train": 6, "val": 3}
    assert "scratches_0.jpg" in picture_names(load_split(tmp_path / "data", "train"))
    require_whole(tmp_path / "data")


def test_equal_names_in_two_folders_stay_two_pictures(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number, split in enumerate(("train", "validation")):
        write_drawing(source / split / "images" / "patches" / "1.jpg", number)
        write_text(source / split / "annotations" / "1.xml", voc_xml([("patches", 1 + number, 1, 20, 30)]))
    import_data(source, tmp_path / "data")
    for number, (split, name) in enumerate((("train", "train"), ("val", "validation"))):
        data = load_split(tmp_path / "data", split)
        assert picture_names(data) == [f"{name}/images/patches/1.jpg"]
        assert data.samples[0].boxes[0, 0] == number
        original = source / name / "images/patches/1.jpg"
        assert data.image_path(data.samples[0]).read_bytes() == original.read_bytes()


def test_without_lists_a_split_is_made_and_said(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source", 14, 6, lists=False)
    summary = import_data(source, tmp_path / "data", split_ratio=(7, 2, 1), split_seed=3)
    assert summary.pictures == {"train": 14, "val": 4, "test": 2}
    assert summary.split_made
    assert "7:2:1 with seed 3" in str(summary)
    again = import_data(source, tmp_path / "again", split_ratio=(7, 2, 1), split_seed=3)
    assert again == summary
    for split in ("train", "val", "test"):
        first, second = (tmp_path / name / "annotations" / f"{split}.json" for name in ("data", "again"))
        assert first.read_bytes() == second.read_bytes()


def test_alike_pictures_are_not_parted_by_a_split_made_here(tmp_path: Path) -> None:
    for seed in range(4):
        source = write_official(tmp_path / f"source{seed}", 8, 4, lists=False)
        shutil.copy(source / "IMAGES/patches_1.jpg", source / "IMAGES/scratches_8.jpg")
        blurred = cv2.GaussianBlur(drawing(3), (3, 3), 0)
        cv2.imwrite(str(source / "IMAGES/scratches_10.jpg"), blurred)
        import_data(source, tmp_path / f"data{seed}", split_ratio=(1, 1, 1), split_seed=seed)
        home = {
            name: split
            for split in ("train", "val", "test")
            for name in picture_names(load_split(tmp_path / f"data{seed}", split))
        }
        assert home["patches_1.jpg"] == home["scratches_8.jpg"]
        assert home["patches_3.jpg"] == home["scratches_10.jpg"]


def test_a_missing_validation_split_is_taken_from_training(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source", 9, 3)
    (source / "val.txt").rename(source / "test.txt")
    summary = import_data(source, tmp_path / "data", split_ratio=(2, 1))
    assert summary.pictures == {"train": 6, "val": 3, "test": 3}
    assert "taken from the training split, 2:1" in str(summary)


def test_a_data_set_of_temper_comes_back_the_same(tmp_path: Path) -> None:
    import_data(write_coco(tmp_path / "source"), tmp_path / "data")
    summary = import_data(tmp_path / "data", tmp_path / "again")
    assert (summary.format, summary.notes) == ("temper", ())
    for split in ("train", "val"):
        first, second = (load_split(tmp_path / name, split) for name in ("data", "again"))
        assert first.content_hash() == second.content_hash()
    require_whole(tmp_path / "again")


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.xz"])
@pytest.mark.parametrize("layout", [write_official, write_kaggle, write_coco])
def test_archives_are_the_folder_in_them(tmp_path: Path, ending: str, layout: object) -> None:
    assert callable(layout)
    source = layout(tmp_path / "source" / "NEU-DET")
    archive = tmp_path / f"data.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(archive, "w") as zipped:
            for path in sorted(source.rglob("*")):
                zipped.write(path, path.relative_to(source.parent))
            zipped.writestr("__MACOSX/NEU-DET/._train.txt", "\0\5")
    else:
        with tarfile.open(archive, f"w:{ending.partition('.')[2]}") as tarred:
            tarred.add(source, source.name)
    from_archive = import_data(archive, tmp_path / "a")
    from_folder = import_data(source, tmp_path / "b")
    assert from_archive == from_folder
    for split in ("train", "val"):
        first, second = (tmp_path / name / "annotations" / f"{split}.json" for name in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()
    require_whole(tmp_path / "a")


def test_pictures_are_linked_not_copied(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    import_data(source, tmp_path / "data")
    assert os.path.samefile(source / "IMAGES/patches_1.jpg", tmp_path / "data/images/patches_1.jpg")


def test_duplicates_are_dropped_and_overhangs_cut_and_both_counted(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    objects = [("patches", 1, 1, 20, 30), ("patches", 1, 1, 20, 30), ("scratches", 1, 1, 20, 30)]
    write_text(source / "ANNOTATIONS/patches_1.xml", voc_xml([*objects, ("patches", 0, 11, 63, 40)]))
    summary = import_data(source, tmp_path / "data")
    assert (summary.duplicates_dropped, summary.boxes_cut) == (1, 1)
    assert "1 box was an exact duplicate" in str(summary)
    assert "1 box reached over" in str(summary)
    sample = load_split(tmp_path / "data", "train").samples[1]
    assert sample.boxes.tolist() == [[0, 0, 20, 30], [0, 0, 20, 30], [0, 10, 60, 40]]


def test_missing_and_unreadable_pictures_stop_the_import(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    picture = source / "IMAGES/patches_1.jpg"
    content = picture.read_bytes()
    for wrong, message in (
        (b"not a picture", r"patches_1\.jpg: It is no picture that can be read \(13 bytes\)"),
        (b"", r"patches_1\.jpg: It is an empty file"),
        (content[: len(content) // 2], r"patches_1\.jpg: It is a JPEG that is cut short"),
    ):
        picture.write_bytes(wrong)
        with pytest.raises(TemperError, match=message):
            import_data(source, tmp_path / "data")
    picture.unlink()
    with pytest.raises(TemperError, match=r"patches_1\.xml: No picture has the name"):
        import_data(source, tmp_path / "data")


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TemperError, match="There is no data at"):
        import_data(tmp_path / "nowhere", tmp_path / "data")
    write_text(tmp_path / "source" / "readme.txt", "hello")
    for source in (tmp_path / "source", tmp_path / "source/readme.txt"):
        with pytest.raises(UsageError, match="holds no data set that can be read"):
            import_data(source, tmp_path / "data")
    write_text(tmp_path / "source" / "train.json", "[1, 2]")
    for source in (tmp_path / "source", tmp_path / "source/train.json"):
        with pytest.raises(TemperError, match=r"train\.json is not a COCO detection file"):
            import_data(source, tmp_path / "data")
    write_text(tmp_path / "source" / "train.json", "{")
    with pytest.raises(TemperError, match=r"train\.json cannot be read as JSON"):
        import_data(tmp_path / "source", tmp_path / "data")
    write_text(tmp_path / "source" / "train.json", json.dumps(coco([])))
    with pytest.raises(TemperError, match="holds no picture with an annotation"):
        import_data(tmp_path / "source", tmp_path / "data")


def test_data_without_any_box_is_refused(tmp_path: Path) -> None:
    write_drawing(tmp_path / "source" / "a.jpg", 0)
    write_text(tmp_path / "source" / "a.xml", voc_xml([]))
    with pytest.raises(TemperError, match="holds no box"):
        import_data(tmp_path / "source", tmp_path / "data")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["x" * 101], "a class of 101 characters, 'x{40}…', and a bundle holds names of 100"),
        ([f"kind {number}" for number in range(1001)], "1,003 classes"),
    ],
)
def test_classes_that_no_bundle_could_hold_are_refused_at_once(tmp_path: Path, names: list[str], message: str) -> None:
    source = write_official(tmp_path / "source")
    write_text(source / "ANNOTATIONS/patches_1.xml", voc_xml([(name, 1, 1, 20, 30) for name in names]))
    with pytest.raises(TemperError, match=message):
        import_data(source, tmp_path / "data")


def test_a_target_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    write_text(tmp_path / "home" / "thesis.txt", "years of work")
    for force in (False, True):
        with pytest.raises(TemperError, match=r"holds something else than a data set \(thesis\.txt\)"):
            import_data(source, tmp_path / "home", force=force)
    with pytest.raises(TemperError, match="is a file"):
        import_data(source, tmp_path / "home/thesis.txt")
    with pytest.raises(TemperError, match="a file stands where one of its folders would"):
        import_data(source, tmp_path / "home/thesis.txt/data")
    with pytest.raises(UsageError, match="is the source itself"):
        import_data(source, source)
    for target in (source / "data", tmp_path):
        with pytest.raises(UsageError, match="overlap"):
            import_data(source, target)
    assert (tmp_path / "home/thesis.txt").read_text() == "years of work"


def test_an_older_data_set_is_replaced_by_force_alone(tmp_path: Path) -> None:
    import_data(write_official(tmp_path / "source", 14, 6, lists=False), tmp_path / "data")
    other = write_coco(tmp_path / "other")
    with pytest.raises(TemperError, match=r"holds a data set already\. .*replace it with --force"):
        import_data(other, tmp_path / "data")
    assert (tmp_path / "data/annotations/test.json").exists()
    import_data(other, tmp_path / "data", force=True)
    assert not (tmp_path / "data/annotations/test.json").exists()
    assert len(list((tmp_path / "data/images").rglob("*.png"))) == 9


def test_a_failed_import_leaves_the_older_data_set(tmp_path: Path) -> None:
    import_data(write_coco(tmp_path / "other"), tmp_path / "data")
    source = write_official(tmp_path / "source")
    (source / "IMAGES/patches_1.jpg").unlink()
    with pytest.raises(TemperError, match="No picture has the name"):
        import_data(source, tmp_path / "data", force=True)
    require_whole(tmp_path / "data")
    assert load_split(tmp_path / "data", "train").labels == ("scratches", "patches")


def test_pictures_of_no_split_stay_out_where_the_data_brings_splits(tmp_path: Path) -> None:
    source = write_kaggle(tmp_path / "source")
    write_drawing(source / "spare/images/patches/patches_77.jpg", 77)
    write_text(source / "spare/annotations/patches_77.xml", voc_xml([("patches", 1, 1, 20, 30)]))
    summary = import_data(source, tmp_path / "data")
    assert (summary.pictures, summary.split_made) == ({"train": 6, "val": 3}, False)
    assert summary.notes == ("1 picture is in no split and stayed out, such as spare/images/patches/patches_77.jpg.",)
    assert not (tmp_path / "data/images/patches_77.jpg").exists()


def test_a_picture_in_two_splits_is_said(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    shutil.copy(source / "IMAGES/patches_1.jpg", source / "IMAGES/patches_7.jpg")
    summary = import_data(source, tmp_path / "data")
    assert "1 picture is in two splits, such as IMAGES/patches_7.jpg: see 'temper data check'" in str(summary)


def test_a_picture_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source", lists=False)
    for folder, ending, content in (("IMAGES", b".jpg", b"x"), ("ANNOTATIONS", b".xml", voc_xml([]).encode())):
        (source / folder / os.fsdecode(b"Fl\xe4che" + ending)).write_bytes(content)
    with pytest.raises(TemperError, match=r"IMAGES/Fl\\xe4che\.jpg is not UTF-8\. Rename it"):
        import_data(source, tmp_path / "data")


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_official(tmp_path / "source")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(TemperError, match=r"No space left on the disk while writing .*data\."):
        import_data(source, tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_where_the_disk_cannot_link_pictures_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_official(tmp_path / "source")

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    import_data(source, tmp_path / "data")
    require_whole(tmp_path / "data")
    original, copy = source / "IMAGES/patches_1.jpg", tmp_path / "data/images/patches_1.jpg"
    assert copy.read_bytes() == original.read_bytes()
    assert not os.path.samefile(original, copy)


def test_without_permission_one_sentence_says_where(unprivileged: Path) -> None:
    source = write_official(unprivileged / "source")
    (unprivileged / "locked").mkdir()
    (unprivileged / "locked").chmod(0o555)
    with pytest.raises(TemperError, match=r"No permission to write .*locked/data"):
        import_data(source, unprivileged / "locked/data")
    for name, message in (
        ("ANNOTATIONS/patches_1.xml", r"patches_1\.xml: The XML cannot be read: Permission denied"),
        ("IMAGES/patches_1.jpg", r"patches_1\.jpg: It cannot be read: Permission denied"),
        ("ANNOTATIONS", r"The folder .*ANNOTATIONS cannot be read: Permission denied"),
    ):
        (source / name).chmod(0)
        with pytest.raises(TemperError, match=message):
            import_data(source, unprivileged / "data")
        (source / name).chmod(0o755)
    assert not (unprivileged / "data").exists()
