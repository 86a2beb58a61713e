"""Paddle, imported once and quietly: ``from ..paddle_import import paddle``.

Paddle writes remarks about compilers and threads to the terminal while it loads, some of them from C++; a
user can do nothing about them, so they go nowhere unless the import fails.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from types import ModuleType
from typing import TYPE_CHECKING

from ..core.errors import MissingDependencyError

INSTALL_HINT = (
    "Training and export need PaddlePaddle and PaddleDetection, which do not load here ({reason}). "
    "In a clone of Temper 'make install' installs both; 'temper doctor' prints the command for this machine."
)


def _import_quietly() -> ModuleType:
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import paddle
        except ImportError as error:
            raise MissingDependencyError(INSTALL_HINT.format(reason=error)) from error
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
    # said at every training step of every batch norm, and nothing a user could act on
    warnings.filterwarnings("ignore", message="When training, we now always track global mean and variance")
    # advice to people who port programs, given for PaddleDetection's calls
    warnings.filterwarnings("ignore", message=r"\s*Non compatible API")
    module: ModuleType = paddle
    return module


if TYPE_CHECKING:
    # a checker takes its names from the package itself
    import paddle as paddle
else:
    paddle = _import_quietly()
