"""Files of a watched folder that hold blocks of a line scan camera's lines: which frame is the last to need each."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from ..frames import FileState, Frame
from .base import Camera
from .folder_files import FolderFiles


class FolderBlocks:
    """A folder of blocks of lines, which notes the file of each; see ``base.Camera``.

    Args:
        folder: gives blocks, each with the file that it is from.
    """

    wrap = None

    def __init__(self, folder: Camera) -> None:
        self._folder = folder
        self.waiting: deque[FileState] = deque()

    @property
    def facts(self) -> dict[str, str]:
        """Those of the folder."""
        return self._folder.facts

    def grab(self, timeout: float) -> Frame | None:
        """The next block; see ``base.Camera.grab``."""
        block = self._folder.grab(timeout)
        if block is not None:
            self.waiting.extend(block.files)
        return block

    def close(self) -> None:
        """Free the folder."""
        self._folder.close()


class FolderLines:
    """Frames of lines that came in files, each with the files that are done with it; see ``base.Camera``.

    A frame is cut out of several files, and a file goes into several frames. So a file counts as inspected with the
    first frame that begins behind it: then every frame that shows some of it has its verdict.

    Args:
        lines: makes frames of the blocks; a frame carries the file that it begins in.
        blocks: of the folder.
        files: of the folder; those whose last lines were not given out are taken again by the next connection.
    """

    wrap = None

    def __init__(self, lines: Camera, blocks: FolderBlocks, files: FolderFiles) -> None:
        self._lines, self._blocks, self._files = lines, blocks, files

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
        waiting = self._blocks.waiting
        while waiting and waiting[0] not in frame.files:
            done.append(waiting.popleft())
        return replace(frame, files=tuple(done))

    def close(self) -> None:
        """Free the folder."""
        self._lines.close()
        self._files.release(self._blocks.waiting)
        self._blocks.waiting.clear()
