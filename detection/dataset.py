"""A data set in memory: pictures, their boxes, and the labels; kept on disk as COCO json.

On disk a data set is a folder::

    annotations/train.json  val.json  test.json     one COCO file per split (any of them may be missing)
    images/...                                       the pictures, named by ``file_name`` in those files
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import TemperError, UsageError
from ..core.files import SWAP_SUFFIX, read_json, sha256_json, write_json

SPLITS = ("train", "val", "test")
#: What a bundle's manifest can hold: no more classes, and none with a longer name.
MAX_LABELS, MAX_LABEL_LENGTH = 1000, 100


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture and its true boxes.

    Attributes:
        file_name: path of the picture below the data set's image folder, with forward slashes.
        width: of the picture in pixels.
        height: of the picture in pixels.
        boxes: float32 [N, 4], x1, y1, x2, y2, continuous edges from 0.
        labels: int32 [N], index into the data set's labels.
    """

    file_name: str
    width: int
    height: int
    boxes: NDArray[np.float32]
    labels: NDArray[np.int32]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height


@dataclass(frozen=True)
class DataSet:
    """One split of a data set: ``labels`` in the order of their index, and the ``samples``.

    ``image_folder`` is where ``Sample.file_name`` starts from.
    """

    labels: tuple[str, ...]
    samples: tuple[Sample, ...]
    image_folder: Path
    name: str = field(default="")

    def __len__(self) -> int:
        return len(self.samples)

    def image_path(self, sample: Sample) -> Path:
        """Where the picture of ``sample`` lies."""
        return self.image_folder / sample.file_name

    def subset(self, indices: Iterable[int]) -> DataSet:
        """The samples at ``indices``, in that order."""
        return replace(self, samples=tuple(self.samples[i] for i in indices))

    def spread(self, limit: int | None) -> DataSet:
        """At most ``limit`` samples, evenly spread, as data is often sorted by class; None takes all."""
        count = len(self)
        return self if limit is None or limit >= count else self.subset(i * count // limit for i in range(limit))

    def relabelled(self, labels: Sequence[str]) -> DataSet:
        """The same samples with other labels: every one of this data set's is among them, by its name."""
        if tuple(labels) == self.labels:
            return self
        place = np.array([list(labels).index(label) for label in self.labels], np.int32)
        samples = tuple(replace(sample, labels=place[sample.labels]) for sample in self.samples)
        return replace(self, labels=tuple(labels), samples=samples)

    def content_hash(self) -> str:
        """A hash over labels, file names, sizes and boxes; the pictures' bytes are not in it."""
        return sha256_json(to_coco(self))


def to_coco(data: DataSet) -> dict[str, Any]:
    """The data set as a COCO dictionary; image, annotation and category ids count from 1."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, sample in enumerate(data.samples, start=1):
        images.append({"id": image_id, "file_name": sample.file_name, "width": sample.width, "height": sample.height})
        for box, label in zip(sample.boxes.tolist(), sample.labels.tolist(), strict=True):
            width, height = box[2] - box[0], box[3] - box[1]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": label + 1,
                    "bbox": [box[0], box[1], width, height],
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": i, "name": name} for i, name in enumerate(data.labels, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def save_split(data: DataSet, folder: Path, split: str) -> None:
    """Write one split's COCO file into a data set folder; the pictures are the caller's to place."""
    write_json(folder / "annotations" / f"{split}.json", to_coco(data))


def load_split(folder: Path, split: str) -> DataSet:
    """Read one split of a data set folder written by Temper (for foreign COCO files see the importer).

    Raises:
        TemperError: if the folder or split is missing, or the file is not what it should be.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no data set folder {folder}. Make one with 'temper data import'.")
    path = folder / "annotations" / f"{split}.json"
    if not path.is_file():
        there = [name for name in SPLITS if (folder / "annotations" / f"{name}.json").is_file()]
        left = next(folder.glob(f".annotations.*{SWAP_SUFFIX}"), None)
        if not there and left is not None:
            raise TemperError(
                f"{folder} was left without annotations when a change of them was cut off: they lie in {left}. Give it "
                f"back its name: mv {left} {path.parent}"
            )
        if not there:
            raise TemperError(
                f"{folder} is no data set folder of Temper. Make one of it with 'temper data import {folder} TARGET'."
            )
        raise UsageError(f"{folder} has no split '{split}' (it has: {', '.join(there)}).")
    return from_coco(read_json(path), folder / "images", name=f"{folder.name}/{split}", source=path)


def from_coco(coco: Any, image_folder: Path, *, name: str, source: Path) -> DataSet:
    """Build a data set from a COCO dictionary; crowd annotations are left out.

    Args:
        coco: the parsed json.
        image_folder: where ``file_name`` starts from.
        name: what to call the data set.
        source: the file it came from, for messages.

    Raises:
        TemperError: naming the file and the entry that does not fit.
    """
    try:
        categories = sorted(coco["categories"], key=lambda c: c["id"])
        index = {c["id"]: i for i, c in enumerate(categories)}
        boxes: dict[Any, list[tuple[list[float], int]]] = {image["id"]: [] for image in coco["images"]}
        for annotation in coco.get("annotations", []):
            if annotation.get("iscrowd"):
                continue
            x, y, width, height = (float(v) for v in annotation["bbox"])
            if annotation["image_id"] not in boxes or annotation["category_id"] not in index:
                raise TemperError(
                    f"{source}: annotation {annotation.get('id')} names image {annotation['image_id']} and category "
                    f"{annotation['category_id']}, of which at least one is not in the file."
                )
            boxes[annotation["image_id"]].append(([x, y, x + width, y + height], index[annotation["category_id"]]))
        samples = tuple(
            Sample(
                posixpath.normpath(str(image["file_name"])),
                int(image["width"]),
                int(image["height"]),
                np.array([b for b, _ in boxes[image["id"]]], np.float32).reshape(-1, 4),
                np.array([label for _, label in boxes[image["id"]]], np.int32),
            )
            for image in coco["images"]
        )
        labels = tuple(str(c["name"]) for c in categories)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TemperError(f"{source} is not a COCO detection file: {type(error).__name__} at {error}.") from error
    for sample in samples:
        _require_inside(sample.file_name, source)
    return DataSet(labels, samples, image_folder, name)


def label_counts(samples: Sequence[Sample], classes: int) -> NDArray[np.int64]:
    """How many boxes each class has, int64 [classes]."""
    counts = np.zeros(classes, np.int64)
    for sample in samples:
        counts += np.bincount(sample.labels, minlength=classes)
    return counts


def _require_inside(file_name: str, source: Path) -> None:
    parts = Path(file_name).parts
    if Path(file_name).is_absolute() or ".." in parts or not parts:
        raise TemperError(f"{source} names the picture '{file_name}', which lies outside the image folder.")
