"""Files of a watched folder that hold blocks of a line scan camera's lines: which frame is the last to need each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from ..frames import FileState, Frame
from .base import Camera
from .folder_files import FolderFiles
from .line_scan import LineScanCamera


class FolderLines:
    """A folder of blocks of lines as frames; see ``base.Camera``.

    A frame is cut out of several files, and a file goes into several frames. So a file counts as inspected with the
    first frame that begins behind it: then every frame that shows some of it has its verdict.

    Args:
        folder: gives blocks of lines, each with the file that it is from.
        height: lines in a frame.
        overlap: lines that a frame has in common with the one before.
        files: of the folder; those whose last lines were not given out are taken again by the next connection.
    """

    wrap = None

    def __init__(self, folder: Camera, height: int, overlap: int, files: FolderFiles) -> None:
        self._files = files
        self._lines = LineScanCamera(_Noted(folder, self._note), height, overlap)
        self._waiting: deque[FileState] = deque()

    @property
    def facts(self) -> dict[str, str]:
        """Those of the folder, and how its lines are cut."""
        return self._lines.facts

    def grab(self, timeout: float) -> Frame | None:
        """The next frame; see ``base.Camera.grab``."""
        frame = self._lines.grab(timeout)
        if frame is None:
            return None
        done: list[FileState] = []
        # a frame comes with the file that it begins in
        while self._waiting and self._waiting[0] not in frame.files:
            done.append(self._waiting.popleft())
        return replace(frame, files=tuple(done))

    def close(self) -> None:
        """Free the folder."""
        self._lines.close()
        self._files.release(self._waiting)
        self._waiting.clear()

    def _note(self, block: Frame) -> None:
        self._waiting.extend(block.files)


class _Noted:
    """A camera whose frames are told of as they come."""

    def __init__(self, camera: Camera, note: Callable[[Frame], None]) -> None:
        self._camera, self._note = camera, note

    @property
    def facts(self) -> dict[str, str]:
        return self._camera.facts

    def grab(self, timeout: float) -> Frame | None:
        frame = self._camera.grab(timeout)
        if frame is not None:
            self._note(frame)
        return frame

    def close(self) -> None:
        self._camera.close()
