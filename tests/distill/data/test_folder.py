"""The data set folder: what may be written over, and splitting anew."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from foreign_data import picture_names, require_whole, write_coco, write_official
from temper.core.errors import TemperError, UsageError
from temper.detection.dataset import load_split
from temper.distill.data.folder import (
    holds_data_set,
    place_picture,
    require_apart,
    require_replaceable,
    split_folder,
)
from temper.distill.data.importer import import_data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set of 14 training and 6 validation pictures."""
    import_data(write_official(tmp_path / "source", 14, 6), tmp_path / "data")
    return tmp_path / "data"


def annotations(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "annotations").iterdir()}


def test_a_free_place_is_free(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new", "new/deep/er"):
        require_replaceable(tmp_path / name)


def test_a_data_set_of_temper_is_replaced_by_force_alone(data: Path) -> None:
    assert holds_data_set(data)
    with pytest.raises(TemperError, match="holds a data set already"):
        require_replaceable(data)
    require_replaceable(data, force=True)


@pytest.mark.parametrize(
    ("name", "stranger"),
    [
        ("notes.txt", r"notes\.txt"),
        ("annotations/captions.json", "no annotations of any split"),
        ("annotations/readme.md", r"readme\.md"),
    ],
)
def test_a_strangers_file_is_not_lost(data: Path, name: str, stranger: str) -> None:
    (data / name).write_text("{}")
    with pytest.raises(TemperError, match=rf"holds something else than a data set \({stranger}\)"):
        require_replaceable(data, force=True)


def test_pictures_alone_are_somebodys(tmp_path: Path, data: Path) -> None:
    (data / "annotations").rename(tmp_path / "annotations")
    with pytest.raises(TemperError, match=r"holds something else than a data set \(no annotations of any split\)"):
        require_replaceable(data, force=True)


@pytest.mark.parametrize(
    ("part", "key", "value", "lost"),
    [
        ("annotations", "segmentation", [[1, 2, 3, 4, 5, 6]], "'segmentation' in train.json"),
        ("annotations", "iscrowd", 1, "'iscrowd' in train.json"),
        ("images", "license", 3, "'license' in train.json"),
        ("info", "", "", "'info' in train.json"),
    ],
)
def test_annotations_that_hold_more_than_temper_keeps_are_not_lost(
    data: Path, part: str, key: str, value: object, lost: str
) -> None:
    path = data / "annotations/train.json"
    content = json.loads(path.read_text())
    if part in content:
        content[part][2][key] = value
    else:
        content[part] = {"year": 2013}
    path.write_text(json.dumps(content))
    before = annotations(data)
    with pytest.raises(TemperError, match=rf"holds something else than a data set \({lost}\)"):
        require_replaceable(data, force=True)
    with pytest.raises(TemperError, match=rf"holds {lost}, which would be lost\. Write elsewhere with --out"):
        split_folder(data, (1, 1), 0)
    assert annotations(data) == before
    split_folder(data, (1, 1), 0, data.parent / "other")
    require_whole(data.parent / "other")


def test_the_folder_one_is_in_is_no_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for target in (Path("."), Path(".."), tmp_path / "here", tmp_path):
        with pytest.raises(UsageError, match="is the folder you are in"):
            require_replaceable(target)
    require_replaceable(Path("data"))


def test_a_mounted_disk_is_no_target() -> None:
    with pytest.raises(UsageError, match="/proc is a mounted disk, which cannot be replaced"):
        require_replaceable(Path("/proc"))


def test_source_and_target_are_apart(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for source, target in (("a", "a/b"), ("a/b", "a"), ("a", "link/x"), ("link", "a/b")):
        with pytest.raises(UsageError, match="overlap. Choose a target beside the source"):
            require_apart(tmp_path / source, tmp_path / target)
    with pytest.raises(UsageError, match="is the source itself"):
        require_apart(tmp_path / "a", tmp_path / "link")
    require_apart(tmp_path / "a", tmp_path / "ab")


def test_a_picture_is_linked_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    place_picture(tmp_path / "link.jpg", tmp_path / "deep/er/b.jpg")
    assert not (tmp_path / "deep/er/b.jpg").is_symlink()
    assert os.path.samefile(tmp_path / "a.jpg", tmp_path / "deep/er/b.jpg")
    with pytest.raises(TemperError, match=r"The picture .*missing\.jpg cannot be read: No such file"):
        place_picture(tmp_path / "missing.jpg", tmp_path / "c.jpg")


def test_a_split_in_place_keeps_pictures_and_boxes(data: Path) -> None:
    boxes = {
        sample.file_name: (sample.boxes.tolist(), sample.labels.tolist())
        for split in ("train", "val")
        for sample in load_split(data, split).samples
    }
    splits = split_folder(data, (2, 1, 1), 4)
    assert {name: len(part) for name, part in splits.items()} == {"train": 10, "val": 5, "test": 5}
    for name, part in splits.items():
        stored = load_split(data, name)
        assert stored.content_hash() == part.content_hash()
        for sample in stored.samples:
            assert (sample.boxes.tolist(), sample.labels.tolist()) == boxes.pop(sample.file_name)
    assert boxes == {}
    require_whole(data)
    first = annotations(data)
    split_folder(data, (2, 1, 1), 4)
    assert annotations(data) == first
    split_folder(data, (3, 1), 4)
    assert sorted(annotations(data)) == ["train.json", "val.json"]


def test_a_split_elsewhere_leaves_the_folder_as_it_was(data: Path) -> None:
    before = annotations(data)
    out = data.parent / "out"
    splits = split_folder(data, (2, 1, 1), 0, out)
    require_whole(out)
    assert splits["val"].image_path(splits["val"].samples[0]).is_file()
    assert annotations(data) == before
    with pytest.raises(TemperError, match="holds a data set already"):
        split_folder(data, (3, 1), 0, out)
    split_folder(data, (3, 1), 0, out, force=True)
    assert sorted(annotations(out)) == ["train.json", "val.json"]
    with pytest.raises(UsageError, match="is the source itself"):
        split_folder(data, (3, 1), 0, data, force=True)


def test_alike_pictures_are_not_parted(data: Path) -> None:
    copies = ["patches_1.jpg", "scratches_16.jpg", "patches_19.jpg"]
    for name in copies[1:]:
        shutil.copy(data / "images" / copies[0], data / "images" / f".{name}")
        os.replace(data / "images" / f".{name}", data / "images" / name)
    for seed in range(4):
        homes = {
            name for name, part in split_folder(data, (1, 1, 1), seed).items() if set(copies) & set(picture_names(part))
        }
        assert len(homes) == 1


def test_a_picture_of_two_splits_comes_once(data: Path) -> None:
    train, val = (data / "annotations" / f"{split}.json" for split in ("train", "val"))
    val.write_bytes(train.read_bytes())
    assert sum(map(len, split_folder(data, (1, 1), 0).values())) == 14


def test_splits_of_different_classes_are_refused(data: Path) -> None:
    path = data / "annotations/val.json"
    path.write_text(path.read_text().replace("patches", "pits"))
    with pytest.raises(TemperError, match="The splits of .* have different classes. Import the data again"):
        split_folder(data, (1, 1), 0)


def test_what_is_no_data_set_folder_is_said(tmp_path: Path) -> None:
    write_official(tmp_path / "voc")
    write_coco(tmp_path / "coco")
    for name in ("voc", "coco"):
        with pytest.raises(TemperError, match="is no data set folder of Temper|which would be lost"):
            split_folder(tmp_path / name, (1, 1), 0)
    with pytest.raises(TemperError, match="There is no data set folder"):
        split_folder(tmp_path / "nowhere", (1, 1), 0)


def test_too_few_pictures_leave_the_folder_as_it_was(data: Path) -> None:
    before = annotations(data)
    with pytest.raises(TemperError, match="20 pictures are too few to split 99:1"):
        split_folder(data, (99, 1), 0)
    assert annotations(data) == before


def test_a_picture_that_two_entries_spell_differently_is_placed_once(tmp_path: Path) -> None:
    """What stands at the target may be a hard link to the source: to write there would empty the user's picture."""
    (tmp_path / "3.png").write_bytes(b"a picture")
    for _ in range(2):
        place_picture(tmp_path / "3.png", tmp_path / "out" / "3.png")
    assert (tmp_path / "3.png").read_bytes() == b"a picture"
    (tmp_path / "other.png").write_bytes(b"another")
    with pytest.raises(TemperError, match="Two pictures would be called 3.png"):
        place_picture(tmp_path / "other.png", tmp_path / "out" / "3.png")
    assert (tmp_path / "3.png").read_bytes() == b"a picture"
