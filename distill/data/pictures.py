"""What can be said of one picture file by looking at its bytes."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...core.errors import TemperError
from ...core.files import TooLongError, read_bytes
from ...detection.bit_depth import BitDepthError
from ...detection.images import MAX_PICTURE_BYTES, MAX_PIXELS, TooLargeError, decode_image
from .listing import PICTURE_ENDINGS

#: Side in pixels of the small grey copy that pictures are compared by.
THUMBNAIL_SIDE = 64

#: Of a JPEG: the mark of the picture's end; and any mark that is neither a stuffed byte nor a restart.
_END_OF_IMAGE = 0xD9
_NEXT_MARK = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
_FORMATS: tuple[tuple[bytes, str, frozenset[str]], ...] = (
    (b"\xff\xd8\xff", "JPEG", frozenset({".jpg", ".jpeg"})),
    (b"\x89PNG\r\n\x1a\n", "PNG", frozenset({".png"})),
    (b"BM", "BMP", frozenset({".bmp"})),
    (b"II*\0", "TIFF", frozenset({".tif", ".tiff"})),
    (b"MM\0*", "TIFF", frozenset({".tif", ".tiff"})),
    (b"RIFF", "WebP", frozenset({".webp"})),
    (b"GIF8", "GIF", frozenset({".gif"})),
)


@dataclass(frozen=True, eq=False)
class PictureFacts:
    """What one picture file is.

    Attributes:
        size: width and height in pixels; None where it cannot be read.
        problem: why it cannot be read, as the end of a sentence; empty where it can.
        format: by its content (``"JPEG"``); empty if unknown.
        mislabelled: whether the file's ending says another format.
        sha256: of the content.
        thumbnail: uint8 [64, 64], the picture made small; None where it cannot be read.
    """

    size: tuple[int, int] | None
    problem: str
    format: str
    mislabelled: bool
    sha256: str
    thumbnail: NDArray[np.uint8] | None


def look_at(path: Path) -> PictureFacts:
    """Read and decode one picture file; what is wrong with it is in the result."""
    try:
        content = read_bytes(path, MAX_PICTURE_BYTES)
    except OSError as error:
        return PictureFacts(None, f"cannot be read: {error.strerror}", "", False, "", None)
    except TooLongError:
        return PictureFacts(None, f"has more than {MAX_PICTURE_BYTES:,} bytes", "", False, "", None)
    name, endings = _format_of(content)
    ending = path.suffix.lower()
    mislabelled = bool(name) and ending in PICTURE_ENDINGS and ending not in endings
    digest = hashlib.sha256(content).hexdigest()
    problem = _what_is_cut(content, name)
    if not problem:
        try:
            image = decode_image(content, "grey", str(path))
        except TooLargeError:
            problem = f"has more than {MAX_PIXELS:,} pixels, or says so"
        except BitDepthError as error:
            problem = error.problem.rstrip(".")
        except TemperError:
            problem = f"is no picture that can be read ({len(content):,} bytes)" if content else "is an empty file"
    if problem:
        return PictureFacts(None, problem, name, mislabelled, digest, None)
    small = cv2.resize(image, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
    size = image.shape[1], image.shape[0]
    return PictureFacts(size, "", name, mislabelled, digest, np.asarray(small, np.uint8))


def look_at_all(paths: Sequence[Path]) -> Iterator[PictureFacts]:
    """The facts of many pictures, in order, read by a few threads."""
    # what OpenCV would log of a broken picture is in its facts
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as executor:
            yield from executor.map(look_at, paths)
    finally:
        cv2.utils.logging.setLogLevel(level)


def _format_of(content: bytes) -> tuple[str, frozenset[str]]:
    for signature, name, endings in _FORMATS:
        if content.startswith(signature) and (name != "WebP" or content[8:12] == b"WEBP"):
            return name, endings
    return "", frozenset()


def _what_is_cut(content: bytes, name: str) -> str:
    """OpenCV may fill what is missing from a cut picture with grey and say nothing; end marks and lengths tell."""
    if name == "JPEG":
        cut = not _jpeg_has_its_end(content)
    elif name == "BMP":
        cut = len(content) < int.from_bytes(content[2:6], "little")
    else:
        cut = name == "PNG" and b"IEND" not in content[-4096:]
    return f"is a {name} that is cut short ({len(content):,} bytes)" if cut else ""


def _jpeg_has_its_end(content: bytes) -> bool:
    """Whether the end mark stands behind the last scan (ITU-T T.81, B.1): found segment by segment, for an embedded
    preview has marks of its own, and so may whatever a camera writes behind the picture."""
    at = 2
    while (found := _NEXT_MARK.search(content, at)) is not None:
        at, mark = found.end(), content[found.end() - 1]
        if mark == _END_OF_IMAGE:
            return True
        # a segment says how long it is; the data of a scan, which follows one, has no marks but those of restarts
        at += int.from_bytes(content[at : at + 2], "big")
    return False
