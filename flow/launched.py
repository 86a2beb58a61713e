"""A run in which Paddle's launcher has started this very command several times, on one machine or on many.

The first process does the run as always; the others wait until it comes to a training, and take part in it. All have to
see the run's folder at the same path.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.events import Reporter, silent
from ..core.models import MODELS
from ..distill.recipe import Recipe
from .folder import RunFolder
from .stages import run_stage, training_job


class Leader:
    """The first process's way of doing a stage: it calls the others to every training."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self._led = recipe, True

    def __call__(self, recipe: Recipe, run: RunFolder, stage: str, report: Reporter) -> dict[str, Any]:
        """Do one stage; see :func:`stages.run_stage`."""
        from ..distill import ranks

        if stage in MODELS:
            _call(self.recipe, stage)
        elif stage != "data":
            # stages have an order: no training comes after this one
            self.release()
        with contextlib.nullcontext() if stage in MODELS else ranks.by_itself():
            return run_stage(recipe, run, stage, report)

    def release(self) -> None:
        """Tell the others that no training is left."""
        if self._led:
            _call(self.recipe, "")
        self._led = False


@contextlib.contextmanager
def leading(recipe: Recipe) -> Iterator[Leader]:
    """A leader, who releases the others once all went well; after a failure the launcher ends them."""
    leader = Leader(recipe)
    yield leader
    leader.release()


def follow(recipe: Recipe, runs: Path) -> None:
    """Take part in every training the first process calls to, until it says that none is left."""
    run = RunFolder(runs / recipe.name)
    while model := _call(recipe, ""):
        from ..distill.training.train import train_model

        train_model(training_job(recipe, run, model), run.stage(model), silent)


def _call(recipe: Recipe, model: str) -> str:
    from ..distill import ranks
    from ..distill.training.train import use_device

    use_device(recipe.device)
    ranks.join_ranks(recipe.device)
    return ranks.share_bytes(model.encode()).decode()
