"""From foreign layouts to a data set folder: boxes, classes, splits, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from foreign_data import coco, drawing, voc_xml, write_coco, write_drawing, write_kaggle, write_official, write_text
from hypothesis import given
from hypothesis import strategies as st
from temper.core.errors import TemperError, UsageError
from temper.detection.dataset import DataSet, load_split
from temper.detection.images import read_image
from temper.distill.data.importer import import_data


def pictures(data: DataSet) -> list[str]:
    return [sample.file_name for sample in data.samples]


def require_whole(folder: Path) -> None:
    """Every picture is there and nothing half written lies about."""
    for path in (folder / "annotations").iterdir():
        data = load_split(folder, path.stem)
        for sample in data.samples:
            assert read_image(data.image_path(sample), "grey").shape == (sample.height, sample.width)
    assert not list(folder.parent.rglob("*.partial"))


def test_the_official_layout_keeps_its_lists_and_its_names_of_objects(tmp_path: Path) -> None:
    summary = import_data(write_official(tmp_path / "source"), tmp_path / "data")
    train, val = (load_split(tmp_path / "data", split) for split in ("train", "val"))
    assert summary.format == "voc"
    assert (summary.pictures, summary.split_made) == ({"train": 6, "val": 3}, False)
    assert train.labels == val.labels == summary.labels == ("patches", "scratches")
    assert pictures(train) == [f"{'patches' if number % 2 else 'scratches'}_{number}.jpg" for number in range(6)]
    first = train.samples[0]
    # 1..20 inclusive is 0..20; the second box is of another class than the file's name
    assert first.boxes.tolist() == [[0, 0, 20, 30], [30, 10, 60, 40]]
    assert [train.labels[label] for label in first.labels] == ["scratches", "patches"]
    assert not (tmp_path / "data/annotations/test.json").exists()
    require_whole(tmp_path / "data")


def test_kaggles_layout_takes_the_split_of_the_pictures_folder(tmp_path: Path) -> None:
    summary = import_data(write_kaggle(tmp_path / "source"), tmp_path / "data")
    assert summary.pictures == {"train": 6, "val": 3}
    assert "scratches_0.jpg" in pictures(load_split(tmp_path / "data", "train"))
    require_whole(tmp_path / "data")


def test_equal_names_in_two_folders_stay_two_pictures(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number, split in enumerate(("train", "validation")):
        write_drawing(source / split / "images" / "patches" / "1.jpg", number)
        write_text(source / split / "annotations" / "1.xml", voc_xml([("patches", 1 + number, 1, 20, 30)]))
    import_data(source, tmp_path / "data")
    for number, (split, name) in enumerate((("train", "train"), ("val", "validation"))):
        data = load_split(tmp_path / "data", split)
        assert pictures(data) == [f"{name}/images/patches/1.jpg"]
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
            for name in pictures(load_split(tmp_path / f"data{seed}", split))
        }
        assert home["patches_1.jpg"] == home["scratches_8.jpg"]
        assert home["patches_3.jpg"] == home["scratches_10.jpg"]


def test_a_missing_validation_split_is_taken_from_training(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source", 9, 3)
    (source / "val.txt").rename(source / "test.txt")
    summary = import_data(source, tmp_path / "data", split_ratio=(2, 1))
    assert summary.pictures == {"train": 6, "val": 3, "test": 3}
    assert "taken from the training split, 2:1" in str(summary)


def test_cocos_layout(tmp_path: Path) -> None:
    source = write_coco(tmp_path / "source")
    # a file of the same split that is not about boxes
    write_text(source / "annotations/captions_val2017.json", json.dumps({"images": [], "annotations": []}))
    summary = import_data(source, tmp_path / "data")
    assert (summary.format, summary.pictures) == ("coco", {"train": 6, "val": 3})
    train, val = (load_split(tmp_path / "data", split) for split in ("train", "val"))
    assert train.labels == ("scratches", "patches")
    assert train.samples[1].boxes.tolist() == [[0.5, 1, 20.5, 31]]
    assert [sample.labels.tolist() for sample in train.samples[:3]] == [[0], [1], [0]]
    assert val.image_path(val.samples[0]).read_bytes() == (source / "val2017/0000.png").read_bytes()


def test_a_coco_file_alone_is_split(tmp_path: Path) -> None:
    names = [f"site/a/{number}.png" for number in range(10)]
    for number, name in enumerate(names):
        write_drawing(tmp_path / "source" / "pictures" / name, number)
    write_text(tmp_path / "source/annotations/all.json", json.dumps(coco([f"/elsewhere/{name}" for name in names])))
    by_folder = import_data(tmp_path / "source", tmp_path / "data")
    by_file = import_data(tmp_path / "source/annotations/all.json", tmp_path / "data2")
    assert by_folder.pictures == by_file.pictures == {"train": 7, "val": 2, "test": 1}


def test_roboflows_layout_with_the_json_beside_the_pictures(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "valid", "test")):
        write_drawing(tmp_path / "source" / split / "a.jpg", number)
        write_text(tmp_path / "source" / split / "_annotations.coco.json", json.dumps(coco(["a.jpg"])))
    summary = import_data(tmp_path / "source", tmp_path / "data")
    assert summary.pictures == {"train": 1, "val": 1, "test": 1}
    for split, folder in (("train", "train"), ("val", "valid"), ("test", "test")):
        data = load_split(tmp_path / "data", split)
        original = tmp_path / "source" / folder / "a.jpg"
        assert data.image_path(data.samples[0]).read_bytes() == original.read_bytes()


def test_crowds_are_left_out_and_sizes_read_where_they_lack(tmp_path: Path) -> None:
    content = coco(["0.png", "1.png", "2.png", "3.png"])
    content["annotations"][3]["iscrowd"] = 1
    del content["images"][0]["width"]
    for number in range(4):
        write_drawing(tmp_path / "source" / f"{number}.png", number)
    write_text(tmp_path / "source/labels.json", json.dumps(content))
    summary = import_data(tmp_path / "source", tmp_path / "data", split_ratio=(1, 1))
    assert sum(summary.boxes.values()) == 3
    assert "1 crowd annotation" in str(summary)
    require_whole(tmp_path / "data")


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


def test_pictures_without_an_annotation_or_a_list_are_left_out_and_said(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    write_drawing(source / "IMAGES" / "unknown.jpg", 50)
    write_drawing(source / "IMAGES" / "unlisted.jpg", 51)
    write_text(source / "ANNOTATIONS/unlisted.xml", voc_xml([]))
    summary = import_data(source, tmp_path / "data")
    assert summary.pictures == {"train": 6, "val": 3}
    assert "1 picture has no XML file" in str(summary)
    assert "1 picture is in none of the lists" in str(summary)


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


def test_missing_and_unreadable_pictures_stop_the_import(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    picture = source / "IMAGES/patches_1.jpg"
    content = picture.read_bytes()
    for wrong, message in (
        (b"not a picture", r"patches_1\.jpg: It is no picture \(13 bytes of something else\)"),
        (b"", r"patches_1\.jpg: It is an empty file"),
        (content[: len(content) // 2], r"patches_1\.jpg: It is a JPEG that is cut short"),
    ):
        picture.write_bytes(wrong)
        with pytest.raises(TemperError, match=message):
            import_data(source, tmp_path / "data")
    picture.unlink()
    with pytest.raises(TemperError, match=r"patches_1\.xml: No picture has the name"):
        import_data(source, tmp_path / "data")


def test_a_list_that_names_nothing_stops_the_import(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    write_text(source / "val.txt", "patches_1\nghost_7\n")
    with pytest.raises(TemperError, match=r"val\.txt: It names 'ghost_7', which is no picture"):
        import_data(source, tmp_path / "data")


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("bbox", [1, 2, "x", 4], r"Annotation 1 \(scratches on .*0000\.png\) has the bbox \[1, 2, 'x', 4\]"),
        ("bbox", [1, 2, 3], "is not four numbers"),
        ("bbox", None, "is not four numbers"),
        ("bbox", [1, 2, 0, 4], "has no area"),
        ("bbox", [1, 2, -3, 4], "has no area"),
        ("bbox", [1, 2, float("nan"), 4], "is not four numbers"),
        ("category_id", 99, "has the category_id 99, which is no category"),
        ("category_id", [7], "which is no category"),
        ("image_id", 5, "is of no image in the file"),
    ],
)
def test_a_broken_coco_entry_is_one_sentence(tmp_path: Path, entry: str, value: object, message: str) -> None:
    source = write_coco(tmp_path / "source")
    path = source / "annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"][0][entry] = value
    path.write_text(json.dumps(content))
    with pytest.raises(TemperError, match=message) as caught:
        import_data(source, tmp_path / "data")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("images", [{"id": 1}], r"The image \{'id': 1\} needs an id of its own and a file_name"),
        ("images", [1], "needs an id of its own"),
        ("images", [{"id": 1, "file_name": "../../../etc/passwd"}], r"The picture '../../../etc/passwd' is not there"),
        ("categories", [{"id": 7, "name": " "}], "needs an id and a name of its own"),
        ("categories", [{"id": 7, "name": "a"}, {"id": 7, "name": "b"}], "needs an id and a name of its own"),
        ("annotations", ["x"], "Annotation 1, 'x', is of no image"),
    ],
)
def test_broken_coco_lists_are_one_sentence(tmp_path: Path, part: str, value: object, message: str) -> None:
    source = write_coco(tmp_path / "source")
    path = source / "annotations/instances_train2017.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), part: value}))
    with pytest.raises(TemperError, match=message):
        import_data(source, tmp_path / "data")


def test_which_coco_file_is_which_split_has_to_be_clear(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        write_text(tmp_path / "source" / name, json.dumps(coco([])))
    with pytest.raises(UsageError, match="says in its name whether it is train, val or test"):
        import_data(tmp_path / "source", tmp_path / "data")
    for name in ("train_a.json", "train_b.json"):
        write_text(tmp_path / "source" / name, json.dumps(coco([])))
    with pytest.raises(UsageError, match="both look like the split 'train'"):
        import_data(tmp_path / "source", tmp_path / "data")


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


def test_a_target_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source")
    write_text(tmp_path / "home" / "thesis.txt", "years of work")
    with pytest.raises(TemperError, match=r"holds something else than a data set \(thesis\.txt\)"):
        import_data(source, tmp_path / "home")
    with pytest.raises(TemperError, match="is a file"):
        import_data(source, tmp_path / "home/thesis.txt")
    for target in (source, source / "data", tmp_path):
        with pytest.raises(UsageError, match="lie in one another"):
            import_data(source, target)
    assert (tmp_path / "home/thesis.txt").read_text() == "years of work"


def test_an_older_data_set_is_replaced(tmp_path: Path) -> None:
    import_data(write_official(tmp_path / "source", 14, 6, lists=False), tmp_path / "data")
    import_data(write_coco(tmp_path / "other"), tmp_path / "data")
    assert not (tmp_path / "data/annotations/test.json").exists()
    assert len(list((tmp_path / "data/images").rglob("*.png"))) == 9


@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.integers(1, 40), st.integers(1, 60), st.integers(1, 40)).map(
            lambda box: (min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3]))
        ),
        min_size=1,
        max_size=5,
    )
)
def test_voc_boxes_cover_exactly_their_pixels(
    tmp_path_factory: pytest.TempPathFactory, boxes: list[tuple[int, int, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("voc")
    for number in range(2):
        write_drawing(folder / "source" / f"{number}.png", number)
        write_text(folder / "source" / f"{number}.xml", voc_xml([("a", *box) for box in boxes]))
    import_data(folder / "source", folder / "data", split_ratio=(1, 1))
    sample = load_split(folder / "data", "train").samples[0]
    expected = [(x1 - 1, y1 - 1, x2, y2) for x1, y1, x2, y2 in dict.fromkeys(boxes)]
    assert sample.boxes.tolist() == [list(map(float, box)) for box in expected]
    assert (sample.boxes[:, 2:] > sample.boxes[:, :2]).all()
    assert (sample.boxes >= 0).all()
    assert (sample.boxes[:, 2:] <= np.array(sample.size)).all()


def test_neu_det(neu_det: Path, tmp_path: Path) -> None:
    summary = import_data(neu_det, tmp_path / "data")
    assert summary.pictures == {"train": 1260, "val": 360}
    assert summary.labels == ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
    assert (summary.duplicates_dropped, summary.boxes_cut, summary.notes) == (3, 0, ())
    assert sum(summary.boxes.values()) + summary.duplicates_dropped == 3767
    strangers = 0
    for split in ("train", "val"):
        data = load_split(tmp_path / "data", split)
        listed = [f"{stem}.jpg" for stem in (neu_det / f"{split}.txt").read_text().split()]
        assert pictures(data) == listed
        for sample in data.samples:
            assert sample.size == (200, 200)
            assert sample.boxes.min() >= 0
            assert sample.boxes.max() <= 200
            strangers += sum(not sample.file_name.startswith(data.labels[label]) for label in sample.labels)
    assert strangers == 168
