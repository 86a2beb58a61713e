"""Pascal VOC: one XML file per picture. Boxes are 1-based, inclusive pixels; the class is the object's name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ...core.errors import TemperError
from ...core.files import read_bytes
from ...detection.boxes import from_voc
from ...detection.dataset import SPLITS
from .finding import Complain, Finding
from .listing import Listing, split_of_folders, split_of_name
from .source import Box, SourceData, SourcePicture, as_box

#: An annotation of one picture is a few kilobytes; what is larger than this is none.
MAX_BYTES = 8 << 20
#: Longer lists of a split's pictures are not read; millions of names have less.
MAX_LIST_BYTES = 256 << 20
_MAX_DEPTH = 32


class UnsafeXmlError(ValueError):
    """The XML declares a document type, under which entities hide, or is nested beyond measure."""


def parse_xml(content: bytes) -> Element:
    """Parse a small XML document without document type, entities or anything fetched from elsewhere.

    Raises:
        UnsafeXmlError: if it has a document type, or is too large or too deep.
        expat.ExpatError: if it is not XML.
    """
    if len(content) > MAX_BYTES:
        raise UnsafeXmlError(f"it has more than {MAX_BYTES:,} bytes, which no annotation has")
    parser, builder, depth = expat.ParserCreate(), TreeBuilder(), 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise UnsafeXmlError(f"its elements are nested more than {_MAX_DEPTH} deep")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: Any) -> None:
        raise UnsafeXmlError("it declares a document type, which an annotation never needs")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.Parse(content, True)
    return builder.close()


def read_voc(listing: Listing, complain: Complain) -> SourceData:
    """Read every XML annotation and the picture of its name.

    The splits are those of ``train.txt``, ``val.txt`` and ``test.txt`` (one stem per line), else those that the
    folders are named after (``train/images/...``).

    Args:
        listing: the files.
        complain: told of what cannot be taken.

    Returns:
        The pictures; classes in alphabetical order.
    """
    pictures: list[SourcePicture] = []
    for annotation in listing.annotations:
        picture = _read_annotation(listing, annotation, complain)
        if picture is not None:
            pictures.append(picture)
    pictures = _without_repeats(pictures, complain)
    notes = []
    unlabelled = set(listing.pictures) - {picture.file for picture in pictures}
    if unlabelled:
        notes.append(
            f"{_pictures(len(unlabelled), 'has', 'have')} no XML file and stayed out, such as {min(unlabelled)} "
            "(a picture without defects needs an XML file without objects)."
        )
    listed = _listed_splits(listing)
    if listed:
        pictures, left_out = _apply_lists(pictures, listed, listing, complain)
        if left_out:
            notes.append(
                f"{_pictures(left_out, 'is', 'are')} in none of the lists ({', '.join(listed)}) and stayed out."
            )
    labels = tuple(sorted({label for picture in pictures for label in picture.labels}))
    return SourceData("voc", listing.root, labels, tuple(pictures), tuple(notes))


def _read_annotation(listing: Listing, annotation: PurePosixPath, complain: Complain) -> SourcePicture | None:
    split = split_of_folders(annotation)
    file = annotation.as_posix()
    try:
        path = listing.root / annotation
        with path.open("rb") as opened:
            root = parse_xml(opened.read(MAX_BYTES + 1))
    except (OSError, ValueError, LookupError, expat.ExpatError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        complain(Finding("broken-annotation", "error", split or "", file, f"The XML cannot be read: {reason}."))
        return None
    found = listing.find_pictures(annotation.stem, annotation, split)
    if not found:
        found = listing.find_pictures((root.findtext("filename") or "").strip(), annotation, split)
    if len(found) != 1:
        message = (
            "No picture has the name of this annotation."
            if not found
            else f"The name of this annotation fits {len(found)} pictures: {', '.join(map(str, found[:3]))}."
        )
        complain(Finding("missing-picture", "error", split or "", file, message))
        return None
    boxes, labels = [], []
    for box, label in _read_objects(
        root, partial(Finding, split=split or "", file=file, picture=found[0].as_posix()), complain
    ):
        boxes.append(box)
        labels.append(label)
    # the picture's folder counts: in one mirror of NEU-DET an annotation lies in the other split's folder
    split = split_of_folders(found[0]) or split
    return SourcePicture(found[0], annotation, split, _read_size(root), tuple(boxes), tuple(labels))


def _read_objects(root: Element, finding: partial[Finding], complain: Complain) -> Iterator[tuple[Box, str]]:
    for number, thing in enumerate(root.iterfind("object"), start=1):
        label = (thing.findtext("name") or "").strip()
        if not label or not label.isprintable():
            name = f"the name {label[:40]!r}, which is none" if label else "no name"
            complain(finding("unknown-class", "error", message=f"Object {number} has {name}."))
            continue
        edges: list[float] = []
        for tag in ("xmin", "ymin", "xmax", "ymax"):
            written = thing.findtext(f"bndbox/{tag}")
            value = _number(written)
            if value is None:
                given = f"{tag} '{written.strip()[:40]}', which is not a number" if written else f"no {tag}"
                complain(finding("broken-box", "error", message=f"Object {number} ({label}) has {given}."))
                break
            edges.append(value)
        if len(edges) < 4:
            continue
        x1, y1, x2, y2 = edges
        box = as_box(*from_voc((x1, y1, x2, y2)))
        if box[2] <= box[0] or box[3] <= box[1]:
            sides = f"xmin {x1:g}, xmax {x2:g}" if box[2] <= box[0] else f"ymin {y1:g}, ymax {y2:g}"
            complain(finding("empty-box", "error", message=f"Object {number} ({label}) is inverted: {sides}.", box=box))
            continue
        yield box, label


def _read_size(root: Element) -> tuple[int, int] | None:
    """Width and height as the annotation gives them; None where they are lacking or 0, as some tools leave them."""
    width, height = _number(root.findtext("size/width")), _number(root.findtext("size/height"))
    if width is None or height is None or width < 1 or height < 1:
        return None
    return int(width), int(height)


def _pictures(count: int, one: str, many: str) -> str:
    return f"1 picture {one}" if count == 1 else f"{count} pictures {many}"


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    # float32 holds the boxes later on, and a picture's side is nowhere near its limit
    return value if math.isfinite(value) and abs(value) < 1e9 else None


def _without_repeats(pictures: list[SourcePicture], complain: Complain) -> list[SourcePicture]:
    """The pictures, each with the first of its annotations."""
    first: dict[PurePosixPath, SourcePicture] = {}
    for picture in pictures:
        if picture.file in first:
            other = first[picture.file].annotation
            message = f"The picture {picture.file} has a second annotation, {other}."
            complain(Finding("broken-annotation", "error", picture.split or "", picture.annotation.as_posix(), message))
        else:
            first[picture.file] = picture
    return list(first.values())


def _listed_splits(listing: Listing) -> dict[str, PurePosixPath]:
    """The list file of each split, for names such as train.txt and ImageSets/Main/val.txt.

    A full VOC tree has lists of other tasks (Action, Layout, Segmentation) beside those of detection, in Main.
    """
    lists: dict[str, PurePosixPath] = {}
    plain = [path for path in listing.texts if path.stem.isalpha() and _split_of_list(path) is not None]
    main = [path for path in plain if path.parts[-3:-1] == ("ImageSets", "Main")]
    for path in sorted(main or plain, key=lambda path: (len(path.parts), path)):
        lists.setdefault(str(_split_of_list(path)), path)
    return lists


def _split_of_list(path: PurePosixPath) -> str | None:
    return split_of_name(PurePosixPath(path.name))


def _read_list(path: Path) -> str:
    try:
        return read_bytes(path, MAX_LIST_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        raise TemperError(f"The list {path} cannot be read: {error.strerror}.") from error


def _apply_lists(
    pictures: list[SourcePicture], lists: dict[str, PurePosixPath], listing: Listing, complain: Complain
) -> tuple[list[SourcePicture], int]:
    """The pictures of the lists with the list's split, and how many are in none."""
    by_file = {picture.file: picture for picture in pictures}
    by_annotation = {picture.annotation.stem: picture for picture in pictures}
    chosen: dict[PurePosixPath, SourcePicture] = {}
    for split in sorted(lists, key=SPLITS.index):
        path = lists[split]
        text = _read_list(listing.root / path)
        for line in filter(None, map(str.strip, text.removeprefix("\ufeff").splitlines())):
            files = listing.find_pictures(line, path, split) or listing.find_pictures(line.split()[0], path, split)
            found = by_file.get(files[0]) if len(files) == 1 else by_annotation.get(line) if not files else None
            if found is None:
                lacking = f"fits {len(files)} pictures" if len(files) > 1 else "is no picture with an annotation"
                message = f"It names '{line[:80]}', which {lacking}."
                complain(Finding("missing-picture", "error", split, path.as_posix(), message))
                continue
            known = chosen.setdefault(found.file, found.in_split(split))
            if known.split != split:
                message = f"It names '{line[:80]}', which is in {lists[str(known.split)]} as well."
                picture = found.file.as_posix()
                complain(Finding("same-picture", "error", split, path.as_posix(), message, picture=picture))
    return list(chosen.values()), len(by_file.keys() - chosen.keys())
