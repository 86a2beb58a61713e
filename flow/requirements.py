"""What stages need installed, looked for before any work is done."""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from ..core.errors import MissingDependencyError
from ..core.models import MODELS

#: Import name -> package, of what training needs.
TRAINING = {"paddle": "paddlepaddle", "ppdet": "paddledet", "safetensors": "safetensors"}
EXPORT = {
    **TRAINING,
    "paddle2onnx": "paddle2onnx",
    "onnx": "onnx",
    "onnxslim": "onnxslim",
    "onnxruntime": "onnxruntime",
}
BENCHMARK = {"onnxruntime": "onnxruntime"}
REPORT = {"matplotlib": "matplotlib", "jinja2": "jinja2"}


def require_packages(stages: Iterable[str]) -> None:
    """Refuse stages whose packages are not installed; nothing is imported for it.

    Raises:
        MissingDependencyError: naming the packages and the command that installs them.
    """
    needed: dict[str, str] = {}
    for stage in stages:
        needed |= _needs(stage)
    missing = [package for name, package in needed.items() if not is_installed(name)]
    if missing:
        raise MissingDependencyError(
            f"This needs {', '.join(missing)}, which {'are' if len(missing) > 1 else 'is'} not installed in "
            f"{sys.prefix}. {training_install_hint()}"
        )


def require_runtimes(names: Iterable[str]) -> None:
    """Refuse runtimes that this machine does not have, before three models are trained to be measured on them.

    Raises:
        MissingDependencyError: saying what is missing, and how to go on without it.
    """
    from ..deploy.runtimes.load import runtime_kind

    for name in names:
        if absence := runtime_kind(name).absence():
            raise MissingDependencyError(
                f"The recipe's benchmark.runtimes has '{name}'. {absence} Or leave it out with --set "
                "'benchmark.runtimes=[onnxruntime]'."
            )


def require_golden(folder: str | None, channels: Literal["grey", "rgb"]) -> None:
    """Refuse golden pictures that no bundle could take, before the models are trained that would carry them.

    Raises:
        UsageError: if the folder has no pictures, or too many.
        TemperError: if one cannot be read.
    """
    if folder is None:
        return
    from ..detection.images import read_image
    from ..export.finish import golden_paths

    for path in golden_paths(Path(folder)):
        read_image(path, channels)


def is_installed(name: str) -> bool:
    """Whether a module of that name could be imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def training_install_hint() -> str:
    """How training's packages get onto this machine, in a sentence with the command."""
    version = sys.version_info[:2]
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return (
            f"Training and export run on Linux x86_64; this is {platform.system()} {platform.machine()}, which can run "
            "and measure finished bundles."
        )
    if not (3, 10) <= version <= (3, 12):
        return (
            f"Training and export need Python 3.10 to 3.12, and this is {version[0]}.{version[1]}: in a clone of "
            "Temper, 'make install PYTHON=python3.12' makes .venv with everything in it."
        )
    return "In a clone of Temper, 'make install' makes .venv with everything in it; use .venv/bin/temper."


def _needs(stage: str) -> dict[str, str]:
    if stage in MODELS:
        return TRAINING
    if stage.startswith("export-"):
        return EXPORT
    return {"benchmark": BENCHMARK, "report": REPORT}.get(stage, {})
