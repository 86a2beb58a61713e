"""COCO json of any layout: ``bbox`` is x, y, width, height with continuous edges from 0."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from reprlib import Repr
from typing import Any

from ...core.errors import TemperError, UsageError
from ...core.files import read_json
from ...detection.dataset import SPLITS
from .finding import Complain, Finding, Kind
from .listing import Listing, split_of_name
from .source import Box, SourceData, SourcePicture, as_box

#: A data set has a handful of COCO files; a folder of more json files than this is one of another format.
_MAX_FILES = 64

_REPR = Repr()
_REPR.maxstring = _REPR.maxother = 60


def find_coco(listing: Listing) -> dict[PurePosixPath, Any]:
    """The json files of a listing that are COCO detection files, parsed.

    Raises:
        TemperError: if the file of a split is broken. Other json files may be whatever they are.
    """
    if len(listing.jsons) > _MAX_FILES:
        return {}
    found: dict[PurePosixPath, Any] = {}
    broken: dict[str | None, TemperError] = {}
    for path in listing.jsons:
        try:
            content = read_json(listing.root / path)
            if _lacking(content):
                # without both of these it is something else beside the data, such as results or captions
                if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
                    require_coco(content, listing.root / path)
                continue
            found[path] = content
        except TemperError as error:
            broken.setdefault(split_of_name(path), error)
    there = {split_of_name(path) for path in found}
    for split, reason in broken.items():
        if found and split is not None and split not in there:
            raise reason
    return found


def require_coco(content: Any, path: Path) -> None:
    """Make sure that a parsed json is a COCO detection file.

    Raises:
        TemperError: naming the lists that it lacks.
    """
    lacking = _lacking(content)
    if lacking:
        raise TemperError(f"{path} is not a COCO detection file: it has no list {', none '.join(map(repr, lacking))}.")


def _lacking(content: Any) -> list[str]:
    keys = ("images", "annotations", "categories")
    return [key for key in keys if not (isinstance(content, dict) and isinstance(content.get(key), list))]


def read_coco(listing: Listing, files: dict[PurePosixPath, Any], complain: Complain) -> SourceData:
    """Read the COCO files of a data set and find their pictures.

    Args:
        listing: the files of the data set.
        files: its parsed COCO files; the split is what their names or folders say.
        complain: told of what cannot be taken.

    Returns:
        The pictures; classes in the order of the first file's category ids, further ones behind. Crowd annotations
        are left out and counted in the notes.

    Raises:
        UsageError: if it cannot be known which file is which split.
    """
    by_split = _assign_splits(files)
    labels: list[str] = []
    split_labels: dict[str, tuple[str, ...]] = {}
    pictures: list[SourcePicture] = []
    crowds = 0
    for split, path in by_split.items():
        reader = _Reader(listing, path, split, complain)
        pictures += reader.read(files[path])
        split_labels[split or ""] = tuple(reader.categories.values())
        labels += [name for name in reader.categories.values() if name not in labels]
        crowds += reader.crowds
    notes = _note_leftovers(listing, [path for path in files if path not in by_split.values()], pictures)
    if crowds:
        notes.append(f"{crowds} crowd annotation{'s' if crowds > 1 else ''} stayed out.")
    return SourceData("coco", listing.root, tuple(labels), tuple(pictures), tuple(notes), split_labels)


def _note_leftovers(listing: Listing, files: list[PurePosixPath], pictures: list[SourcePicture]) -> list[str]:
    """What is said of COCO files that are not read and of pictures that none names."""
    notes = []
    if files:
        notes.append(f"{', '.join(map(str, files))} stayed out, as other files describe the splits.")
    unnamed = set(listing.pictures) - {picture.file for picture in pictures}
    if unnamed:
        many = "1 picture is" if len(unnamed) == 1 else f"{len(unnamed):,} pictures are"
        notes.append(f"{many} in no COCO file and stayed out, such as {min(unnamed)}.")
    return notes


def _assign_splits(files: dict[PurePosixPath, Any]) -> dict[str | None, PurePosixPath]:
    """Which file holds which split, training first; one file alone may be without."""
    if len(files) == 1:
        path = next(iter(files))
        return {split_of_name(path): path}
    by_split: dict[str | None, PurePosixPath] = {}
    for split in SPLITS:
        paths = [path for path in files if split_of_name(path) == split]
        instances = [path for path in paths if path.stem.startswith("instances")]
        chosen = instances if len(instances) == 1 else paths
        if len(chosen) > 1:
            raise UsageError(
                f"{chosen[0]} and {chosen[1]} both look like the split '{split}'. Take one away, or import a "
                "single file."
            )
        if chosen:
            by_split[split] = chosen[0]
    if not by_split:
        names = ", ".join(map(str, sorted(files)[:3]))
        raise UsageError(
            f"None of the COCO files ({names}) says in its name whether it is train, val or test. Rename "
            "them, or import a single file."
        )
    return by_split


class _Reader:
    """Reads one COCO file."""

    def __init__(self, listing: Listing, path: PurePosixPath, split: str | None, complain: Complain) -> None:
        self.listing, self.path, self.split, self.tell = listing, path, split, complain
        self.categories: dict[Any, str] = {}
        self.crowds = 0

    def complain(self, kind: Kind, message: str, picture: PurePosixPath | None = None, box: Box | None = None) -> None:
        """Tell of an error in this file."""
        about = picture.as_posix() if picture is not None else ""
        self.tell(Finding(kind, "error", self.split or "", self.path.as_posix(), message, picture=about, box=box))

    def read(self, content: Any) -> list[SourcePicture]:
        """The pictures of the file, in its order."""
        self.categories = self._read_categories(content["categories"])
        found = dict(self._read_images(content["images"]))
        for number, annotation in enumerate(content["annotations"], start=1):
            self._read_annotation(annotation, number, found)
        return [
            SourcePicture(file, self.path, self.split, size, tuple(boxes), tuple(labels))
            for file, size, boxes, labels in found.values()
            if file is not None
        ]

    def _read_categories(self, entries: list[Any]) -> dict[Any, str]:
        names: dict[Any, str] = {}
        for entry in entries:
            given = entry.get("name") if isinstance(entry, dict) else None
            name = str(given).strip() if _is_id(given) else ""  # some write numbers
            # json can spell what no terminal and no file can show
            if (
                not name
                or not name.isprintable()
                or not _is_id(entry.get("id"))
                or entry["id"] in names
                or name in names.values()
            ):
                self.complain("broken-annotation", f"The category {_short(entry)} needs an id and a name of its own.")
            else:
                names[entry["id"]] = name
        return dict(sorted(names.items(), key=lambda item: (str(type(item[0])), item[0])))

    def _read_images(self, entries: list[Any]) -> Iterator[tuple[Any, tuple[Any, Any, list[Box], list[str]]]]:
        """Id, then picture (None where it is missing), size, and lists for boxes and labels."""
        seen: set[Any] = set()
        described: dict[PurePosixPath, str] = {}
        for entry in entries:
            name = entry.get("file_name") if isinstance(entry, dict) else None
            if not isinstance(name, str) or not _is_id(entry.get("id")) or entry["id"] in seen:
                self.complain("broken-annotation", f"The image {_short(entry)} needs an id of its own and a file_name.")
                continue
            seen.add(entry["id"])
            size = entry.get("width"), entry.get("height")
            known = all(isinstance(side, int | float) and 1 <= side < 1e9 for side in size)
            file = self._find_picture(name, described)
            yield entry["id"], (file, (int(size[0]), int(size[1])) if known else None, [], [])

    def _find_picture(self, name: str, described: dict[PurePosixPath, str]) -> PurePosixPath | None:
        """The picture that an image's ``file_name`` means, unless another image means it already."""
        files = self.listing.find_pictures(name, self.path, self.split, apart=True)
        if len(files) != 1:
            fitting = f"fits {len(files)} pictures: {', '.join(map(str, files[:3]))}" if files else "is not there"
            self.complain("missing-picture", f"The picture '{name[:120]}' {fitting}.")
            return None
        if files[0] in described:
            message = f"The images '{described[files[0]][:120]}' and '{name[:120]}' are both {files[0]}."
            self.complain("broken-annotation", message, files[0])
            return None
        described[files[0]] = name
        return files[0]

    def _read_annotation(self, entry: Any, number: int, found: dict[Any, Any]) -> None:
        if not isinstance(entry, dict) or not _is_id(entry.get("image_id")) or entry["image_id"] not in found:
            self.complain("broken-annotation", f"Annotation {number}, {_short(entry)}, is of no image in the file.")
            return
        category = entry.get("category_id")
        if not _is_id(category) or category not in self.categories:
            self.complain(
                "unknown-class", f"Annotation {number} has the category_id {_short(category)}, which is no category."
            )
            return
        if entry.get("iscrowd"):
            self.crowds += 1
            return
        file, _, boxes, labels = found[entry["image_id"]]
        box = _read_box(entry.get("bbox"))
        label = self.categories[category]
        where = f"Annotation {number} ({label} on {file or 'a missing picture'})"
        if box is None:
            self.complain(
                "broken-box", f"{where} has the bbox {_short(entry.get('bbox'))}, which is not four numbers.", file
            )
        elif box[2] <= box[0] or box[3] <= box[1]:
            self.complain("empty-box", f"{where} has the bbox {_short(entry['bbox'])}, which has no area.", file, box)
        else:
            boxes.append(box)
            labels.append(label)


def _read_box(value: Any) -> Box | None:
    if not isinstance(value, list) or len(value) != 4:
        return None
    # NaN is not less than anything, and float32 holds the boxes later on
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e9 for v in value):
        return None
    x, y, width, height = (float(v) for v in value)
    return as_box(x, y, x + width, y + height)


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _short(value: Any) -> str:
    # bounded in depth as well
    text = _REPR.repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
