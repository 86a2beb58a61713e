"""A file that one process at a time may hold."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from .errors import TemperError
from .files import explain_os_errors


@contextlib.contextmanager
def held_file(path: Path, otherwise: str) -> Iterator[None]:
    """Hold a lock while the block runs; it ends with the process, however that ends.

    Args:
        path: the lock's file; it is made, and stays.
        otherwise: the sentence where another process holds it.

    Raises:
        TemperError: if another process holds it, or the file cannot be made.
    """
    with explain_os_errors(path):
        handle = path.open("ab")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TemperError(otherwise) from error
        yield
