"""One picture that shows the worst of a data set: a tile for each finding that has a picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from ...core.errors import TemperError, UsageError
from ...core.files import write_bytes
from ...detection.draw import draw_boxes
from ...detection.images import read_image
from .finding import Finding
from .source import Box, SourceData, SourcePicture

#: Tiles on a sheet at most.
MOST_TILES = 24

_COLUMNS = 4
_SIDE = 320
_CAPTION_HEIGHT = 66
_GAP = 8
_PAPER = (250, 250, 250)
_INK = (30, 30, 30)
_SEVERITY_INK = {"error": (176, 0, 32), "warning": (150, 90, 0), "info": (0, 90, 150)}
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SIZE = 0.42
#: A box outside the picture is shown by so much margin at most, as a share of the picture's side.
_MOST_MARGIN = 0.5


@dataclass(frozen=True)
class _Tile:
    """What one place of the sheet shows: one picture, or two side by side."""

    files: tuple[str, ...]
    title: str
    text: str
    severity: str
    box: Box | None = None


def write_contact_sheet(path: Path, data: SourceData, findings: Sequence[Finding]) -> None:
    """Write a PNG of the worst findings; where nothing is wrong with any picture, of two pictures of every class.

    Args:
        path: of the PNG.
        data: what was checked.
        findings: the worst first. Of each kind some are shown, so that a frequent one does not hide the others.
    """
    by_file = {picture.file.as_posix(): picture for picture in data.pictures}
    tiles = list(_choose(findings, by_file)) or list(_examples(data))
    tiles = tiles or [_Tile((), "no picture", "There is no picture to show.", "info")]
    columns = min(_COLUMNS, len(tiles))
    rows = [_draw_row(data, by_file, tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    width = max(row.shape[1] for row in rows)
    padded = [cv2.copyMakeBorder(row, 0, 0, 0, width - row.shape[1], cv2.BORDER_CONSTANT, value=_PAPER) for row in rows]
    encoded, content = cv2.imencode(".png", np.ascontiguousarray(np.vstack(padded)[:, :, ::-1]))
    if not encoded:
        raise TemperError(f"The contact sheet {path} cannot be written as PNG.")
    write_bytes(path, content.tobytes())


def require_sheet_path(path: Path) -> None:
    """Make sure that a contact sheet can stand at ``path``, before long work for it.

    Raises:
        UsageError: if it is a folder or names another format than PNG.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"The contact sheet {path} is written as PNG. Give it a name that ends in .png.")
    if path.is_dir():
        raise UsageError(f"{path} is a folder. Name a file for the contact sheet.")


def _choose(findings: Sequence[Finding], by_file: dict[str, SourcePicture]) -> Iterator[_Tile]:
    """Findings with a picture, one of each kind in turn, the errors before the warnings."""
    by_kind: dict[tuple[str, str], list[_Tile]] = defaultdict(list)
    for finding in findings:
        file = finding.picture or finding.file
        if file in by_file and finding.severity != "info":
            files = (file, finding.other) if finding.other in by_file else (file,)
            title = f"{finding.kind}{f' ({finding.split})' if finding.split else ''}"
            tile = _Tile(files, title, finding.message, finding.severity, finding.box)
            by_kind[finding.severity, finding.kind].append(tile)
    in_turn = chain.from_iterable(zip_longest(*by_kind.values()))
    chosen = [tile for tile in in_turn if tile is not None][:MOST_TILES]
    yield from sorted(chosen, key=lambda tile: (tile.severity != "error", tile.title))


def _examples(data: SourceData) -> Iterator[_Tile]:
    shown: set[PurePosixPath] = set()
    for name in data.labels[: MOST_TILES // 2]:
        having = [picture for picture in data.pictures if name in picture.labels and picture.file not in shown]
        for picture in having[:2]:
            shown.add(picture.file)
            yield _Tile((picture.file.as_posix(),), name, "Nothing was found here.", "info")


def _draw_row(data: SourceData, by_file: dict[str, SourcePicture], tiles: Sequence[_Tile]) -> NDArray[np.uint8]:
    """Tiles side by side, as tall as the tallest needs."""
    panels = [_draw_panel(data, by_file, tile) for tile in tiles]
    height = max(panel.shape[0] for panel in panels)
    drawn = []
    for tile, panel in zip(tiles, panels, strict=True):
        top = (height - panel.shape[0]) // 2
        above, below = top + _GAP, height - panel.shape[0] - top
        centred = cv2.copyMakeBorder(panel, above, below, 0, 0, cv2.BORDER_CONSTANT, value=_PAPER)
        tall = np.vstack([centred, _caption(tile)])
        drawn.append(cv2.copyMakeBorder(tall, 0, _GAP, _GAP, _GAP, cv2.BORDER_CONSTANT, value=_PAPER))
    return np.asarray(np.hstack(drawn), np.uint8)


def _draw_panel(data: SourceData, by_file: dict[str, SourcePicture], tile: _Tile) -> NDArray[np.uint8]:
    """The picture of a tile, or two side by side, [H, side of a tile, 3]."""
    if not tile.files:
        return np.full((1, _SIDE, 3), _PAPER, np.uint8)
    width = _SIDE // len(tile.files)
    # a pair is there to be compared, and boxes would cover it
    pair = len(tile.files) > 1
    shown = [replace(by_file[file], boxes=(), labels=()) if pair else by_file[file] for file in tile.files]
    pictures = [_draw_picture(data, picture, tile.box, width - 2) for picture in shown]
    panel = np.full((max(picture.shape[0] for picture in pictures), _SIDE, 3), _PAPER, np.uint8)
    for number, picture in enumerate(pictures):
        left = number * width + (width - picture.shape[1]) // 2
        top = (panel.shape[0] - picture.shape[0]) // 2
        panel[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return panel


def _draw_picture(data: SourceData, picture: SourcePicture, box: Box | None, width: int) -> NDArray[np.uint8]:
    """A picture with its boxes, fitted into ``width`` x the tile's side; the box that is wrong dashed in white."""
    try:
        image = read_image(data.root / picture.file, "rgb")
    except TemperError:
        unreadable = np.full((_SIDE // 2, width, 3), 200, np.uint8)
        cv2.putText(unreadable, "no picture", (10, _SIDE // 4), _FONT, 0.6, _SEVERITY_INK["error"], 1, cv2.LINE_AA)
        return unreadable
    boxes = np.array(picture.boxes, np.float32).reshape(-1, 4)
    wrong = np.array([box] if box is not None else [], np.float32).reshape(-1, 2, 2)
    wrong = np.concatenate([wrong.min(axis=1), wrong.max(axis=1)], axis=1)  # an inverted one is to be seen as well
    image, offset = _with_margin(image, np.concatenate([boxes, wrong]))
    factor = min(width / image.shape[1], _SIDE / image.shape[0])
    fitted = max(1, int(image.shape[1] * factor)), max(1, int(image.shape[0] * factor))
    image = np.asarray(
        cv2.resize(image, fitted, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC), np.uint8
    )
    labels = np.array([data.labels.index(label) for label in picture.labels], np.int32)
    moved = np.float32(factor)
    drawn = draw_boxes(image, (boxes + offset) * moved, labels, data.labels)
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int32)
    return draw_boxes(drawn, *nothing, data.labels, truth_boxes=(wrong + offset) * moved)


def _with_margin(image: NDArray[np.uint8], boxes: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The picture with a margin that shows the boxes that leave it, and how far boxes have to be moved, [4]."""
    height, width = image.shape[:2]
    most_x, most_y = int(width * _MOST_MARGIN), int(height * _MOST_MARGIN)
    if not len(boxes):
        return image, np.zeros(4, np.float32)
    left = int(np.clip(np.ceil(-boxes[:, 0].min()), 0, most_x))
    top = int(np.clip(np.ceil(-boxes[:, 1].min()), 0, most_y))
    right = int(np.clip(np.ceil(boxes[:, 2].max() - width), 0, most_x))
    bottom = int(np.clip(np.ceil(boxes[:, 3].max() - height), 0, most_y))
    padded = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(150, 170, 190))
    return np.asarray(padded, np.uint8), np.array([left, top, left, top], np.float32)


def _caption(tile: _Tile) -> NDArray[np.uint8]:
    """A strip with what was found, the file's name first."""
    strip = np.full((_CAPTION_HEIGHT, _SIDE, 3), _PAPER, np.uint8)
    cv2.putText(strip, tile.title, (2, 13), _FONT, _FONT_SIZE, _SEVERITY_INK[tile.severity], 1, cv2.LINE_AA)
    name = PurePosixPath(tile.files[0]).name if tile.files else ""
    for number, line in enumerate(_wrap(f"{name}: {tile.text}", 3)):
        cv2.putText(strip, line, (2, 29 + 15 * number), _FONT, _FONT_SIZE, _INK, 1, cv2.LINE_AA)
    return strip


def _wrap(text: str, most_lines: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if cv2.getTextSize(longer, _FONT, _FONT_SIZE, 1)[0][0] <= _SIDE - 4 or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines[:most_lines]
