"""What one of the processes that :mod:`together` starts does: train, tell, and end when it is no longer wanted."""

from __future__ import annotations

import json
import os
import threading
import traceback
from pathlib import Path

from ..core.errors import TemperError, UsageError
from ..core.events import Event
from ..core.files import write_json
from ..distill.launched import launched_rank
from ..distill.recipe_file import recipe_from_plain
from .folder import RECIPE_NAME, RunFolder
from .together import EVENTS_NAME, failure_path

#: The exit code of a process whose parent has gone.
_ORPHANED = 143


def train_as_rank(run: RunFolder, model: str, talk: Path) -> None:
    """Take part in the training of one of a run's models.

    Args:
        run: its folder.
        model: teacher, student or distilled.
        talk: the folder through which to talk to the process that started this one.

    Raises:
        TemperError: what could not be done; it is left in ``talk`` as well.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _train(run, model, talk)
    except Exception as error:
        kind = "bug"
        if isinstance(error, TemperError):
            from ..distill.ranks import LostRankError

            kind = "usage" if isinstance(error, UsageError) else "failed"
            kind = "lost" if isinstance(error, LostRankError) else kind
        message = str(error) if kind != "bug" else f"{type(error).__name__}: {error}"
        word = {"kind": kind, "message": message, "traceback": traceback.format_exc()}
        write_json(failure_path(talk, launched_rank()), word)
        raise


def _train(run: RunFolder, model: str, talk: Path) -> None:
    from ..core.files import MAX_RECORD_BYTES, read_json
    from ..distill.training.train import train_model
    from .stages import training_job

    path = run.path / RECIPE_NAME
    recipe = recipe_from_plain(read_json(path, MAX_RECORD_BYTES), str(path))
    with (talk / EVENTS_NAME).open("a", encoding="utf-8", buffering=1) as events:

        def report(event: Event) -> None:
            events.write(json.dumps({"kind": event.kind, "stage": event.stage, "data": event.data}) + "\n")

        train_model(training_job(recipe, run, model), run.stage(model), report)


def _end_with_parent() -> None:
    # nobody ever writes: it ends when the last process that could has. Without Python's own stream, whose lock a
    # thread that waits here for ever would hold on to at the end
    while os.read(0, 1):
        pass
    os._exit(_ORPHANED)
