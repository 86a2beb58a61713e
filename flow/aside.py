"""What a changed recipe replaces: set aside in the run's folder until the next change, and taken back with the recipe.

A field that is changed for a trial costs the trial, not the training before it. Kept is one finished result of each
stage that is dear to make: trainings and exports. A bundle that somebody has signed is never dropped.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from ..bundle.manifest import SIGNATURE_NAME
from ..core.errors import TemperError
from ..core.files import SWAP_SUFFIX, explain_os_errors, remove_tree, swap
from ..core.interruption import held_back
from ..core.models import MODELS
from .folder import RunFolder, StageRecord

#: Below the run's folder; it holds stages as the run's folder does.
ASIDE_NAME = "before"
#: The stages that are kept.
KEPT = (*MODELS, *(f"export-{model}" for model in MODELS))


def set_aside(run: RunFolder, stage: str) -> Path | None:
    """Move a stage's finished result out of the way of the next, in place of one that was set aside before.

    Args:
        run: locked by this process.
        stage: that is about to begin under another key, or again.

    Returns:
        Where it lies now; None if there is nothing worth keeping.

    Raises:
        TemperError: if a signed bundle would be lost for it.
    """
    finished = run.record(stage) is not None
    if stage not in KEPT or not (finished or _signed(run.stage(stage))):
        return None
    before = _before(run)
    require_no_signed(run, [stage])
    with explain_os_errors(before.path):
        remove_tree(before.stage(stage))
        before.path.mkdir(exist_ok=True)
        os.replace(run.stage(stage), before.stage(stage))
    return before.stage(stage)


def can_be_taken_back(run: RunFolder, stage: str, key: str) -> StageRecord | None:
    """The record of a result that was set aside, if it is the one of this key; else None."""
    record = _before(run).record(stage) if stage in KEPT else None
    return record if record is not None and record.key == key else None


def take_back(run: RunFolder, stage: str, key: str) -> bool:
    """Put a result that was set aside back in its place, if it is the one of this key; what stood there is set aside.

    Args:
        run: locked by this process.
        stage: that is to be done.
        key: under which.

    Returns:
        Whether the stage is done now.
    """
    if can_be_taken_back(run, stage, key) is None:
        return False
    place, aside = run.stage(stage), _before(run).stage(stage)
    with explain_os_errors(run.path), held_back():
        if run.record(stage) is None and not _signed(place):
            remove_tree(place)  # begun for a trial and never finished
            os.replace(aside, place)
        else:
            swap(place, aside)
    return True


def recover(run: RunFolder) -> None:
    """Put in its place what a process left between two when it was killed while it took a result back.

    Args:
        run: locked by this process.
    """
    for left in run.path.glob(f"*{SWAP_SUFFIX}"):
        stage = left.name.removesuffix(SWAP_SUFFIX)
        place = next((one for one in (run.stage(stage), _before(run).stage(stage)) if not one.exists()), None)
        if stage in KEPT and place is not None:
            with explain_os_errors(run.path):
                os.replace(left, place)


def require_no_signed(run: RunFolder, stages: Collection[str]) -> None:
    """Refuse to let go of signed bundles that were set aside.

    Args:
        run: the run.
        stages: whose results are about to be set aside in their place.

    Raises:
        TemperError: naming the first of them.
    """
    for stage in stages:
        signed = _signed(_before(run).stage(stage)) if stage in KEPT else None
        if signed is not None:
            raise TemperError(
                f"{signed} is a signed bundle that an earlier change set aside, and the next would take its place. "
                "Move it to where you keep what is released, or remove it, and give the same command again."
            )


def _signed(folder: Path) -> Path | None:
    """A signed bundle in a folder, be it a folder or one file; None if there is none."""
    found = next((path.parent for path in sorted(folder.glob(f"*/{SIGNATURE_NAME}"))), None)
    return found or next((path for path in sorted(folder.rglob("*")) if _is_signed_file(path)), None)


def _is_signed_file(path: Path) -> bool:
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(PurePosixPath(name).name == SIGNATURE_NAME for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def _before(run: RunFolder) -> RunFolder:
    return RunFolder(run.path / ASIDE_NAME)
