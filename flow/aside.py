"""What a changed recipe replaces: set aside in the run's folder until the next change, and taken back with the recipe.

A field that is changed for a trial costs the trial, not the training before it. Kept is one finished result of each
stage that is dear to make: trainings and exports. A bundle that somebody has signed is never dropped.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..bundle.manifest import SIGNATURE_NAME
from ..core.errors import TemperError
from ..core.files import explain_os_errors, remove_tree, swap
from ..core.models import MODELS
from .folder import RunFolder

#: Below the run's folder; it holds stages as the run's folder does.
ASIDE_NAME = "before"
#: The stages that are kept.
KEPT = (*MODELS, *(f"export-{model}" for model in MODELS))


def set_aside(run: RunFolder, stage: str) -> Path | None:
    """Move a stage's finished result out of the way of the next, in place of one that was set aside before.

    Args:
        run: locked by this process.
        stage: that is about to begin under another key.

    Returns:
        Where it lies now; None if there is nothing worth keeping.

    Raises:
        TemperError: if a signed bundle would be lost for it.
    """
    if stage not in KEPT or run.record(stage) is None:
        return None
    before = _before(run)
    require_no_signed(run, stage)
    with explain_os_errors(before.path):
        remove_tree(before.stage(stage))
        before.path.mkdir(exist_ok=True)
        os.replace(run.stage(stage), before.stage(stage))
    return before.stage(stage)


def take_back(run: RunFolder, stage: str, key: str) -> bool:
    """Put a result that was set aside back in its place, if it is the one of this key; what stood there is set aside.

    Args:
        run: locked by this process.
        stage: that is to be done.
        key: under which.

    Returns:
        Whether the stage is done now.
    """
    before = _before(run)
    record = before.record(stage) if stage in KEPT else None
    if record is None or record.key != key:
        return False
    with explain_os_errors(run.path):
        if run.record(stage) is None:
            remove_tree(run.stage(stage))  # begun for a trial and never finished
            os.replace(before.stage(stage), run.stage(stage))
        else:
            swap(run.stage(stage), before.stage(stage))
    return True


def require_no_signed(run: RunFolder, stage: str) -> None:
    """Refuse to let go of a signed bundle that was set aside.

    Raises:
        TemperError: naming it.
    """
    signed = [path.parent for path in _before(run).stage(stage).glob(f"*/{SIGNATURE_NAME}")]
    if signed:
        raise TemperError(
            f"{signed[0]} is a signed bundle that an earlier change set aside, and the next would take its place. Move "
            "it to where you keep what is released, or remove it, and give the same command again."
        )


def _before(run: RunFolder) -> RunFolder:
    return RunFolder(run.path / ASIDE_NAME)
