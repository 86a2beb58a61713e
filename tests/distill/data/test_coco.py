"""COCO json of several layouts, and what is refused of it."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from foreign_data import (
    SIZE,
    coco,
    require_whole,
    write_coco,
    write_drawing,
    write_text,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from temper.core.errors import TemperError, UsageError
from temper.detection.dataset import DataSet, Sample, load_split, to_coco
from temper.distill.data.importer import import_data


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


def test_a_lost_picture_is_not_replaced_by_one_of_its_name_in_another_split(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "val")):
        for name in ("0.png", "1.png"):
            write_drawing(tmp_path / "source" / split / name, 2 * number + int(name[0]))
        write_text(tmp_path / "source" / split / "_annotations.coco.json", json.dumps(coco(["0.png", "1.png"])))
    (tmp_path / "source/train/1.png").unlink()
    with pytest.raises(TemperError, match=r"train/_annotations.coco.json.*1\.png"):
        import_data(tmp_path / "source", tmp_path / "data")


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


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("bbox", [1, 2, "x", 4], r"Annotation 1 \(scratches on .*0000\.png\) has the bbox \[1, 2, 'x', 4\]"),
        ("bbox", [1, 2, 3], "is not four numbers"),
        ("bbox", None, "is not four numbers"),
        ("bbox", [1, 2, 0, 4], "has no area"),
        ("bbox", [1, 2, -3, 4], "has no area"),
        ("bbox", [1, 2, float("nan"), 4], "is not four numbers"),
        ("bbox", [1, 2, float("-inf"), 4], "is not four numbers"),
        ("bbox", [10**400, 2, 3, 4], "is not four numbers"),
        ("bbox", [True, 2, 3, 4], "is not four numbers"),
        ("bbox", [[[[[[[1]]]]]]], "is not four numbers"),
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
        ("categories", [{"id": 7, "name": None}], "needs an id and a name of its own"),
        ("categories", [{"id": 7, "name": "half \ud800"}], "needs an id and a name of its own"),
        ("categories", [{"id": 7, "name": "\x1b[2J"}], "needs an id and a name of its own"),
        ("categories", [{"id": True, "name": "a"}], "needs an id and a name of its own"),
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


def test_what_a_split_lacks_is_said_though_another_is_sound(tmp_path: Path) -> None:
    source = write_coco(tmp_path / "source")
    path = source / "annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    del content["categories"]
    path.write_text(json.dumps(content))
    with pytest.raises(TemperError, match=r"instances_train2017\.json is not a COCO .*: it has no list 'categories'"):
        import_data(source, tmp_path / "data")
    path.write_text('{"images": [')
    with pytest.raises(TemperError, match=r"instances_train2017\.json cannot be read as JSON"):
        import_data(source, tmp_path / "data")
    path.write_text('{"images": [' + "9" * 5000 + "]}")
    with pytest.raises(TemperError, match=r"instances_train2017\.json (cannot be read as JSON|is not a COCO)"):
        import_data(source, tmp_path / "data")


def test_two_images_that_mean_one_picture_are_refused(tmp_path: Path) -> None:
    source = write_coco(tmp_path / "source")
    path = source / "annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    content["images"][1]["file_name"] = "elsewhere/0000.png"
    path.write_text(json.dumps(content))
    message = r"The images '0000\.png' and 'elsewhere/0000\.png' are both train2017/0000\.png"
    with pytest.raises(TemperError, match=message):
        import_data(source, tmp_path / "data")


def test_what_is_not_read_is_said(tmp_path: Path) -> None:
    source = write_coco(tmp_path / "source")
    write_text(source / "annotations/person_keypoints_val2017.json", json.dumps(coco([])))
    write_drawing(source / "train2017" / "new.png", 70)
    summary = import_data(source, tmp_path / "data")
    assert summary.pictures == {"train": 6, "val": 3}
    assert "annotations/person_keypoints_val2017.json stayed out" in str(summary)
    assert "1 picture is in no COCO file and stayed out, such as train2017/new.png" in str(summary)


def test_boxes_that_vanish_in_float32_are_empty(tmp_path: Path) -> None:
    source = write_coco(tmp_path / "source")
    path = source / "annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"] = [50, 2, 1e-9, 4]
    path.write_text(json.dumps(content))
    with pytest.raises(TemperError, match=r"has the bbox \[50, 2, 1e-09, 4\], which has no area"):
        import_data(source, tmp_path / "data")


@st.composite
def data_sets(draw: st.DrawFn) -> DataSet:
    """Boxes anywhere in pictures of 60 x 40, some at their edges, some empty pictures, classes without a box."""
    labels = draw(st.lists(st.sampled_from(["a", "b b", "ä", "0", "patches"]), min_size=1, max_size=4, unique=True))
    samples = []
    for number in range(draw(st.integers(2, 4))):
        boxes = []
        for _ in range(draw(st.integers(0, 4))):
            xs, ys = (
                sorted(draw(st.lists(st.floats(0, side, width=32), min_size=2, max_size=2, unique=True)))
                for side in SIZE
            )
            assume(np.float32(xs[0]) < np.float32(xs[1]) and np.float32(ys[0]) < np.float32(ys[1]))
            boxes.append((xs[0], ys[0], xs[1], ys[1]))
        boxes = list(dict.fromkeys(boxes))
        own = draw(st.lists(st.integers(0, len(labels) - 1), min_size=len(boxes), max_size=len(boxes)))
        array = np.array(boxes, np.float32).reshape(-1, 4)
        samples.append(Sample(f"{number}.png", *SIZE, array, np.array(own, np.int32)))
    assume(any(len(sample.labels) for sample in samples))
    return DataSet(tuple(labels), tuple(samples), Path("images"))


@settings(max_examples=40)
@given(data_sets(), st.randoms(use_true_random=False))
def test_coco_comes_back_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, data: DataSet, chance: Random
) -> None:
    """Whatever the ids and the order of annotations, boxes, classes and hash are those that were written."""
    folder = tmp_path_factory.mktemp("coco")
    for number, split in enumerate(("train", "val")):
        content = to_coco(data)
        ids = chance.sample(range(1000), len(data))
        for image, new in zip(content["images"], ids, strict=True):
            image["id"] = f"image {new}" if number else new
        for annotation in content["annotations"]:
            annotation["image_id"] = content["images"][annotation["image_id"] - 1]["id"]
            annotation["category_id"] *= 7
        for category in content["categories"]:
            category["id"] *= 7
        chance.shuffle(content["categories"])
        # of one image they keep their order
        content["annotations"].sort(key=lambda annotation: str(annotation["image_id"]))
        write_text(folder / "source" / f"instances_{split}.json", json.dumps(content))
        for index in range(len(data)):
            write_drawing(folder / "source" / split / f"{index}.png", index + 10 * number)
    import_data(folder / "source", folder / "data")
    import_data(folder / "data", folder / "again")
    for split in ("train", "val"):
        first, second = (load_split(folder / name, split) for name in ("data", "again"))
        assert first.labels == data.labels
        for before, after in zip(data.samples, first.samples, strict=True):
            assert after.boxes.tobytes() == before.boxes.tobytes()
            assert after.labels.tolist() == before.labels.tolist()
        assert second.content_hash() == first.content_hash()
