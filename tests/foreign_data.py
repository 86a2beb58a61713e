"""Data sets as others write them, with pictures drawn here: Pascal VOC, Kaggle's mirrors of NEU-DET, COCO."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from temper.detection.dataset import DataSet, load_split
from temper.detection.images import read_image

#: name, xmin, ymin, xmax, ymax: 1-based, inclusive.
VocObject = tuple[str, Any, Any, Any, Any]

SIZE = (60, 40)


def drawing(seed: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """A grey picture [H, W] that is like no other."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(30, 220, (9, 9)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def write_drawing(path: Path, seed: int, size: tuple[int, int] = SIZE) -> None:
    """Write :func:`drawing` in the format of the ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), drawing(seed, size))


def voc_xml(objects: Sequence[VocObject], size: tuple[int, int] | None = SIZE, filename: str = "") -> str:
    """An annotation file."""
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>1</depth></size>" if size else ""
    things = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>"
        "</object>"
        for name, x1, y1, x2, y2 in objects
    )
    return f"<annotation><filename>{filename}</filename>{sides}{things}</annotation>"


def picture_names(data: DataSet) -> list[str]:
    """The files of a data set, in its order."""
    return [sample.file_name for sample in data.samples]


def require_whole(folder: Path) -> None:
    """Every picture of a data set folder is there, and nothing half written lies about."""
    for path in (folder / "annotations").iterdir():
        data = load_split(folder, path.stem)
        for sample in data.samples:
            assert read_image(data.image_path(sample), "grey").shape == (sample.height, sample.width)
    assert not list(folder.parent.rglob("*.partial"))


def write_text(path: Path, text: str) -> None:
    """Write text, making the folders above."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_official(folder: Path, train: int = 6, val: int = 3, lists: bool = True) -> Path:
    """NEU-DET's official layout. Two classes in turn; every third picture has a box of the other class as well."""
    stems = []
    for number in range(train + val):
        own, other = ("patches", "scratches") if number % 2 else ("scratches", "patches")
        stem = f"{own}_{number}"
        objects: list[VocObject] = [(own, 1, 1, 20, 30)]
        if number % 3 == 0:
            objects.append((other, 31, 11, 60, 40))
        write_drawing(folder / "IMAGES" / f"{stem}.jpg", number)
        write_text(folder / "ANNOTATIONS" / f"{stem}.xml", voc_xml(objects, filename=stem))
        stems.append(stem)
    if lists:
        write_text(folder / "train.txt", "\n".join(stems[:train]) + "\n")
        write_text(folder / "val.txt", "\r\n".join(stems[train:]))
    return folder


def write_kaggle(folder: Path, train: int = 6, val: int = 3) -> Path:
    """The layout of Kaggle's mirrors; one annotation lies in the other split's folder, as it does there."""
    for number in range(train + val):
        name = "patches" if number % 2 else "scratches"
        stem, split = f"{name}_{number}", "train" if number < train else "validation"
        write_drawing(folder / split / "images" / name / f"{stem}.jpg", number)
        home = "validation" if number == 0 else split
        write_text(folder / home / "annotations" / f"{stem}.xml", voc_xml([(name, 1, 1, 20, 30)]))
    return folder


def coco(
    files: Sequence[str], size: tuple[int, int] = SIZE, categories: Sequence[str] = ("scratches", "patches")
) -> Any:
    """A COCO dictionary with one box on each picture, of the categories in turn; ids start anywhere."""
    return {
        "images": [
            {"id": 100 + i, "file_name": name, "width": size[0], "height": size[1]} for i, name in enumerate(files)
        ],
        "annotations": [
            {
                "id": i,
                "image_id": 100 + i,
                "category_id": 7 + i % len(categories),
                "bbox": [0.5, 1, 20, 30],
                "area": 600,
                "iscrowd": 0,
            }
            for i in range(len(files))
        ],
        "categories": [{"id": 7 + i, "name": name} for i, name in enumerate(categories)],
    }


def write_coco(folder: Path, train: int = 6, val: int = 3) -> Path:
    """COCO's own layout: annotations/instances_train2017.json beside train2017/. Pictures of both have equal names."""
    for split, count, first in (("train", train, 0), ("val", val, train)):
        names = [f"{number:04d}.png" for number in range(count)]
        for number, name in enumerate(names):
            write_drawing(folder / f"{split}2017" / name, first + number)
        write_text(folder / "annotations" / f"instances_{split}2017.json", json.dumps(coco(names)))
    return folder
