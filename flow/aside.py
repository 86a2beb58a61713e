"""What a changed recipe replaces: set aside in the run's folder until the next change, and taken back with the recipe.

A field that is changed for a trial costs the trial, not the training before it. Kept is one finished result of each
stage that is dear to make: trainings and exports; and apart from it, so that neither takes the other's place, one
training that was begun and has checkpoints to go on from. A bundle that somebody has signed is never dropped.
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
from ..distill.training.checkpoint import checkpoint_files
from ..distill.training.job import CHECKPOINTS_NAME
from .folder import DONE_NAME, RunFolder, StageRecord

#: Below the run's folder; it holds stages as the run's folder does.
ASIDE_NAME = "before"
#: Inside it: trainings that were begun and not finished.
UNFINISHED_NAME = "unfinished"
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


def set_aside_unfinished(run: RunFolder, stage: str) -> Path | None:
    """Move a training that was begun out of the way, in place of one that was set aside before.

    Args:
        run: locked by this process.
        stage: that is about to begin under another key.

    Returns:
        Where it lies now; None if there is nothing to go on from.
    """
    if not _has_begun(run, stage):
        return None
    begun = _unfinished(run)
    with explain_os_errors(begun.path), held_back():
        remove_tree(begun.stage(stage))
        begun.path.mkdir(parents=True, exist_ok=True)
        os.replace(run.stage(stage), begun.stage(stage))
    return begun.stage(stage)


def take_back_unfinished(run: RunFolder, stage: str, key: str) -> bool:
    """Put a training that was set aside unfinished back in its place; what stood there is set aside.

    Args:
        run: locked by this process.
        stage: that is to be done.
        key: under which.

    Returns:
        Whether there was one of this key, so that the stage goes on now.

    Raises:
        TemperError: if a signed bundle would be lost for it.
    """
    begun = _unfinished(run)
    if stage not in MODELS or not begun.can_go_on(stage, key):
        return False
    place, aside = run.stage(stage), begun.stage(stage)
    set_aside(run, stage)
    with explain_os_errors(run.path), held_back():
        if _has_begun(run, stage):
            swap(place, aside)
        else:
            remove_tree(place)
            os.replace(aside, place)
    return True


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
    set_aside_unfinished(run, stage)
    with explain_os_errors(run.path), held_back():
        if run.record(stage) is None and not _signed(place):
            remove_tree(place)  # begun for a trial, without anything to go on from
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
        other = _before(run) if (left / DONE_NAME).exists() else _unfinished(run)
        place = next((one for one in (run.stage(stage), other.stage(stage)) if not one.exists()), None)
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


def _unfinished(run: RunFolder) -> RunFolder:
    return RunFolder(run.path / ASIDE_NAME / UNFINISHED_NAME)


def _has_begun(run: RunFolder, stage: str) -> bool:
    """Whether a training was begun and has a checkpoint to go on from."""
    key = run.started_key(stage) if stage in MODELS else None
    return key is not None and run.can_go_on(stage, key) and bool(checkpoint_files(run.stage(stage) / CHECKPOINTS_NAME))
