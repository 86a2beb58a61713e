"""Paddle, imported once and quietly: ``from ..paddle_import import paddle``.

Paddle writes remarks about compilers and threads to the terminal while it loads, some of them from C++; a
user can do nothing about them, so they go nowhere unless the import fails.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..core.errors import MissingDependencyError
from ..core.interruption import held_back

INSTALL_HINT = (
    "Training and export need PaddlePaddle and PaddleDetection, which do not load here ({reason}). "
    "In a clone of Temper 'make install' installs both; 'temper doctor' prints the command for this machine."
)


class _SignalKeeper(MetaPathFinder):
    """Keeps our handler of SIGTERM in place while Paddle loads.

    Paddle sets one of its own in the middle of its import, which ends the process at once under a page of C++ frames.
    This finder finds nothing, but it is asked for every module that Paddle goes on to import.
    """

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        core = sys.modules.get("paddle.base.core")
        if hasattr(core, "disable_signal_handler"):
            take_back_signals(core)


def take_back_signals(core: Any) -> None:
    """Undo the signal handlers that Paddle's core has set; only the main thread can."""
    ours = signal.getsignal(signal.SIGTERM)
    if ours is not None and threading.current_thread() is threading.main_thread():
        core.disable_signal_handler()
        signal.signal(signal.SIGTERM, ours)


def _import_quietly() -> ModuleType:
    keeper = _SignalKeeper()
    sys.meta_path.insert(0, keeper)
    try:
        with held_back():
            module = _import_into_nowhere()
            take_back_signals(module.base.core)
    finally:
        sys.meta_path.remove(keeper)
    # said at every training step of every batch norm, and nothing a user could act on
    warnings.filterwarnings("ignore", message="When training, we now always track global mean and variance")
    # advice to people who port programs, given for PaddleDetection's calls
    warnings.filterwarnings("ignore", message=r"\s*Non compatible API")
    return module


def _import_into_nowhere() -> ModuleType:
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            # who has put something of their own in the place of sys.stderr is not to hear them either
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                import paddle
        except ImportError as error:
            raise MissingDependencyError(INSTALL_HINT.format(reason=error)) from error
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
    module: ModuleType = paddle
    return module


if TYPE_CHECKING:
    # a checker takes its names from the package itself
    import paddle as paddle
else:
    paddle = _import_quietly()
