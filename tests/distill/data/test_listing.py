"""What file names say: which picture is meant, and which split."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest
from temper.core.errors import TemperError
from temper.distill.data.listing import Listing, list_files, split_of_folders, split_of_name


def listing_of(*pictures: str) -> Listing:
    return Listing(Path("/data"), tuple(map(PurePosixPath, pictures)), (), (), ())


def found(listing: Listing, name: str, near: str = "a.xml", split: str | None = None, apart: bool = False) -> list[str]:
    return [path.as_posix() for path in listing.find_pictures(name, PurePosixPath(near), split, apart)]


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train/images/patches/1.jpg", "train"),
        ("validation/annotations/1.xml", "val"),
        ("valid/_annotations.coco.json", "val"),
        ("train2017/1.jpg", "train"),
        ("TEST-set/1.jpg", "test"),
        ("training/old/1.jpg", "train"),
        # the nearest counts
        ("test/train/1.jpg", "train"),
        # these say nothing, or two things
        ("strain/1.jpg", None),
        ("trainval/1.jpg", None),
        ("train_val/1.jpg", None),
        ("train.jpg", None),
    ],
)
def test_the_split_of_a_folder(path: str, split: str | None) -> None:
    assert split_of_folders(PurePosixPath(path)) == split


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("annotations/instances_train2017.json", "train"),
        ("annotations/instance_val.json", "val"),
        ("test/labels.json", "test"),
        ("test/val.json", "val"),
        ("labels.json", None),
    ],
)
def test_the_split_of_a_file(path: str, split: str | None) -> None:
    assert split_of_name(PurePosixPath(path)) == split


@pytest.mark.parametrize("name", ["1.jpg", "1", "1.png", "else/where/1.jpg", "C:\\labels\\1.jpg", "../../1.jpg"])
def test_a_picture_alone_of_its_stem_is_meant_by_any_spelling(name: str) -> None:
    assert found(listing_of("images/1.jpg", "images/2.jpg"), name) == ["images/1.jpg"]


@pytest.mark.parametrize("name", ["", ".", "3", "3.jpg", "/", "..", "\0", "1.jpg/x"])
def test_a_name_of_nothing_finds_nothing(name: str) -> None:
    assert found(listing_of("images/1.jpg"), name) == []


def test_of_equal_names_folders_ending_split_and_nearness_decide() -> None:
    listing = listing_of("train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/a/1.png")
    assert found(listing, "b/1.jpg") == ["train/b/1.jpg"]
    assert found(listing, "1.png") == ["val/a/1.png"]
    assert found(listing, "a/1.jpg", split="val") == ["val/a/1.jpg"]
    assert found(listing, "a/1.jpg", split="train") == ["train/a/1.jpg"]
    assert found(listing, "1", near="train/b/1.xml") == ["train/b/1.jpg"]
    # nothing speaks for one of them
    assert found(listing, "1.jpg", near="x/1.xml", split="train") == ["train/a/1.jpg", "train/b/1.jpg"]


def test_a_picture_of_the_same_stem_elsewhere_is_not_the_missing_one() -> None:
    listing = listing_of("good/1.png", "raw/2.png", "train/3.png", "val/4.png", "any/5.png")
    assert found(listing, "good/2.png") == []
    assert found(listing, "D:\\mill\\good\\2.png") == []
    assert found(listing, "4.png", split="train", apart=True) == []
    assert found(listing, "4.png", split="train") == ["val/4.png"]
    # a folder that is named counts for more than the split; one that is not there says nothing
    assert found(listing, "val/4.png", split="train", apart=True) == ["val/4.png"]
    assert found(listing, "shots/2.png") == ["raw/2.png"]
    assert found(listing, "5.png", split="train", apart=True) == ["any/5.png"]
    assert found(listing, "4.png", split="test", apart=True) == ["val/4.png"]


def test_a_folder_is_listed_sorted_without_what_is_hidden_or_foreign(tmp_path: Path) -> None:
    hidden = (".hidden/3.jpg", "b/.4.jpg", "__MACOSX/5.jpg")
    for name in ("b/2.JPG", "b/1.jpg", "a.xml", "x.py", "c.json", "t.txt", *hidden):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    listing = list_files(tmp_path)
    assert listing.pictures == (PurePosixPath("b/1.jpg"), PurePosixPath("b/2.JPG"))
    assert (listing.annotations, listing.jsons, listing.texts) == (
        (PurePosixPath("a.xml"),),
        (PurePosixPath("c.json"),),
        (PurePosixPath("t.txt"),),
    )


def test_links_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/1.jpg").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/images").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/round").symlink_to(tmp_path / "data")
    (tmp_path / "data/broken.jpg").symlink_to(tmp_path / "nowhere")
    # a broken link stays, so that it is said which picture cannot be read
    assert [path.as_posix() for path in list_files(tmp_path / "data").pictures] == ["broken.jpg", "images/1.jpg"]


def test_one_folder_under_two_names_is_listed_under_both(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all/1.jpg").touch()
    (tmp_path / "all/up").symlink_to(tmp_path)
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "images").symlink_to(tmp_path / "all")
    for split in ("train", "val"):
        assert PurePosixPath("images/1.jpg") in list_files(tmp_path / split).pictures
    assert {"all/1.jpg", "train/images/1.jpg", "val/images/1.jpg"} <= {
        path.as_posix() for path in list_files(tmp_path).pictures
    }


def test_what_would_be_waited_for_is_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe.xml")
    listing = list_files(tmp_path)
    assert listing.pictures == listing.annotations == ()


def test_a_folder_that_cannot_be_read_is_said(unprivileged: Path) -> None:
    (unprivileged / "locked").mkdir(mode=0)
    with pytest.raises(TemperError, match="The folder .*locked cannot be read: Permission denied"):
        list_files(unprivileged)
    with pytest.raises(TemperError, match="The folder .*nowhere cannot be read: No such file"):
        list_files(unprivileged / "nowhere")
