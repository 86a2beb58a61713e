"""A run: from a recipe to a report, stage by stage, skipping what is done and going on where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.events import Event, Reporter
from ..core.files import read_json, remove_partial, write_json
from ..distill.recipe import Recipe, to_plain
from .folder import RECIPE_NAME, RunFolder, StageRecord
from .keys import stage_keys, stages_for
from .stages import run_stage

Runner = Callable[[Recipe, RunFolder, str, Reporter], dict[str, Any]]


def run_recipe(
    recipe: Recipe, runs: Path, report: Reporter, goal: str = "report", runner: Runner = run_stage
) -> RunFolder:
    """Do whatever of a recipe is not done yet.

    Args:
        recipe: checked.
        runs: folder of all runs; this one is ``runs / recipe.name``.
        report: hears of every stage.
        goal: the last stage wanted; only what leads to it is done.
        runner: does one stage and returns its small facts.

    Returns:
        The run's folder.

    Raises:
        TemperError: what a stage could not do; the stages before it stay done.
    """
    folder = RunFolder(runs / recipe.name)
    stages = stages_for(goal)
    keys = stage_keys(recipe, stages)  # says what is missing before anything is written
    with folder.locked():
        remove_partial(folder.path)
        plain = to_plain(recipe)
        if not (folder.path / RECIPE_NAME).is_file() or read_json(folder.path / RECIPE_NAME) != plain:
            write_json(folder.path / RECIPE_NAME, plain)
        for index, stage in enumerate(stages, start=1):
            report(Event("stage_started", stage, {"index": index, "total": len(stages)}))
            done = folder.record(stage)
            if done is not None and done.key == keys[stage]:
                report(Event("stage_skipped", stage, {"reason": "already done"}))
                continue
            folder.begin(stage, keys[stage])
            began = time.monotonic()
            result = runner(recipe, folder, stage, report)
            seconds = time.monotonic() - began
            folder.finish(stage, StageRecord(keys[stage], seconds, result))
            report(Event("stage_done", stage, {"seconds": seconds}))
    return folder
