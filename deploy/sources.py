"""Where pictures come from: a folder, one file, or a video.

Every picture becomes a :class:`~.frames.Frame`, also one that cannot be read: then the frame says why. Nothing is
left out silently.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..core.errors import TemperError, UsageError
from ..detection.images import Channels, read_image
from .frames import Cause, Frame

#: Endings of the files that are taken for pictures; OpenCV's wheels read all of them.
PICTURE_SUFFIXES = frozenset(
    (".bmp", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
)
#: Where a video does not say how many frames it has, FFmpeg reckons them from its duration, which may be one off.
_COUNTED_WRONGLY = 1
#: How many names a message lists before it goes on with a number.
NAMES_SHOWN = 5


#: The camera of frames that are read from files.
FILES = "files"


class Source(Protocol):
    """A finite sequence of frames."""

    @property
    def name(self) -> str:
        """The path it was opened by."""

    @property
    def total(self) -> int | None:
        """How many frames it will give; None if that is unknown."""

    @property
    def warnings(self) -> list[str]:
        """What the user should know of it, one sentence each; may grow while frames are read."""

    def frames(self) -> Generator[Frame, None, None]:
        """The frames, in order; to be called once."""


class PictureFiles:
    """Picture files, in the order given.

    Args:
        root: what ``Frame.source`` is relative to.
        files: the pictures.
        channels: what the bundle takes.
        ignored: other files that lay beside them, to be named in a warning.
    """

    def __init__(self, root: Path, files: list[Path], channels: Channels, ignored: list[str]) -> None:
        self.name = readable(str(root))
        self.total = len(files)
        self.ignored = ignored
        self.warnings: list[str] = []
        if ignored:
            self.warnings.append(f"Left out, no pictures by their names ({len(ignored)}): {_listed(ignored)}.")
        self._root = root
        self._files = files
        self._channels = channels

    def frames(self) -> Generator[Frame, None, None]:
        """One frame per file."""
        for path in self._files:
            name = path.name if path == self._root else path.relative_to(self._root).as_posix()
            image, detail = None, None
            started = time.perf_counter()
            try:
                if os.path.exists(path) and not os.path.isfile(path):  # reading a pipe or a device would wait for ever
                    raise TemperError(f"{path} is not a file.")
                image = read_image(path, self._channels)
            except TemperError as error:
                detail = readable(str(error))
            yield _frame(readable(name), image, detail, 1000 * (time.perf_counter() - started))


class VideoFile:
    """A video file, frame by frame; pixels as they are stored, whatever rotation the file asks players for.

    Args:
        path: the file.
        channels: what the bundle takes.

    Raises:
        TemperError: if it is not a video that can be read.
    """

    def __init__(self, path: Path, channels: Channels) -> None:
        self.name = readable(str(path))
        self.warnings: list[str] = []
        # read by OpenCV when it first opens a video: without it FFmpeg writes its own complaints between our lines
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        self._path = path
        self._convert = cv2.COLOR_BGR2GRAY if channels == "grey" else cv2.COLOR_BGR2RGB
        self._capture: Any = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise TemperError(
                f"{path} is neither a picture nor a video that can be read. Give a folder of pictures, a picture, "
                "or a video in a format FFmpeg knows."
            )
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        announced = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.total = announced if announced > 0 else None

    def frames(self) -> Generator[Frame, None, None]:
        """Frame by frame; where the file ends before it says, a last frame without an image stands for the rest."""
        index = 0
        try:
            while True:
                started = time.perf_counter()
                there, picture = self._capture.read()
                if not there:
                    break
                image = cv2.cvtColor(picture, self._convert)
                decode_ms = 1000 * (time.perf_counter() - started)
                timestamp_ms = float(self._capture.get(cv2.CAP_PROP_POS_MSEC))
                name = f"{readable(self._path.name)}#{index}"
                yield _frame(name, np.asarray(image, np.uint8), None, decode_ms, timestamp_ms)
                index += 1
            if self.total is not None and index < self.total:
                told = f"{self.name} says it has {self.total} frames; {index} could be read"
                if self.total - index <= _COUNTED_WRONGLY:
                    self.warnings.append(f"{told}.")
                elif index:
                    # one for all of them: a file may say that it has any number
                    rest = f"{readable(self._path.name)}#{index}..{self.total - 1}"
                    yield _frame(rest, None, f"{told}, the rest was not inspected.")
        finally:
            self._capture.release()


def open_source(path: Path, channels: Channels, *, recursive: bool = False) -> Source:
    """Open what ``path`` is: a folder of pictures, a picture, or a video.

    Args:
        path: an existing folder or file.
        channels: what the bundle takes.
        recursive: whether to look into a folder's subfolders.

    Raises:
        TemperError: if there is nothing at ``path``, no picture in the folder, or the file is no video.
    """
    # what cannot be read is reported by its frame, once
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    if os.path.isdir(path):
        return _open_folder(path, channels, recursive)
    if not os.path.exists(path):
        raise UsageError(f"There is nothing at {path}. Give a folder of pictures, a picture, or a video.")
    if not os.path.isfile(path):
        raise UsageError(f"{path} is neither a folder nor a file. Give a folder of pictures, a picture, or a video.")
    if _is_picture(path.name):
        return PictureFiles(path, [path], channels, [])
    return VideoFile(path, channels)


def require_apart(source: Path, out: Path, *, recursive: bool) -> None:
    """Refuse results among the pictures: the next run would inspect its own annotated pictures.

    Raises:
        UsageError: if ``out`` is the source folder or, where subfolders are looked into, below it.
    """
    inside, folder = out.resolve(), source.resolve()
    if inside == folder or (recursive and folder in inside.parents):
        raise UsageError(
            f"The results cannot go to {out}, which is among the pictures of {source}; choose another --out."
        )


def readable(text: str) -> str:
    """A file name as text that can be stored and printed, whatever bytes or control characters are in it."""
    decoded = os.fsencode(text).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "\ufffd" for c in decoded)


def _frame(
    source: str,
    image: NDArray[np.uint8] | None,
    detail: str | None,
    decode_ms: float = 0.0,
    timestamp_ms: float | None = None,
) -> Frame:
    return Frame(
        FILES,
        source,
        image,
        None if detail is None else Cause.ERROR,
        detail,
        exposed=time.time(),
        arrived=time.monotonic(),
        decode_ms=decode_ms,
        timestamp_ms=timestamp_ms,
    )


def _open_folder(folder: Path, channels: Channels, recursive: bool) -> PictureFiles:
    pictures, others, subfolders = [], [], 0
    try:
        for parent, folders, files in os.walk(folder, onerror=_raise):
            pictures += [Path(parent, name) for name in files if _is_picture(name)]
            others += [Path(parent, name) for name in files if not _is_picture(name)]
            if not recursive:
                subfolders = len(folders)
                break
    except OSError as error:
        raise TemperError(f"The folder {error.filename or folder} cannot be read: {error.strerror}.") from error
    ignored = sorted(readable(path.relative_to(folder).as_posix()) for path in others)
    if not pictures:
        found = f"other files: {_listed(ignored)}" if ignored else "no files"
        hint = ", and subfolders: add --recursive to look into them" if subfolders else ""
        raise TemperError(f"There is no picture in {folder} (it has {found}{hint}).")
    return PictureFiles(folder, sorted(pictures), channels, ignored)


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


def _raise(error: OSError) -> None:
    raise error


def _listed(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
