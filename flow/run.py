"""A run: from a recipe to a report, stage by stage, skipping what is done and going on where it stopped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import TemperError, UsageError
from ..core.events import Event, Reporter
from ..core.files import MAX_RECORD_BYTES, read_json, remove_partial, write_json
from ..core.interruption import raise_if_interrupted, received
from ..core.models import MODELS
from ..distill.recipe import Recipe, to_plain
from ..distill.recipe_detectors import section_name
from .aside import (
    can_be_taken_back,
    recover,
    require_no_signed,
    set_aside,
    set_aside_unfinished,
    take_back,
    take_back_unfinished,
)
from .folder import RECIPE_NAME, RunFolder, StageRecord
from .keys import NEEDS, Sources, identities, stage_key, stages_for
from .known_sources import kept_sources, read_known_sources, require_seen, say_unseen
from .requirements import require_golden, require_packages, require_runtimes
from .stages import DATA_NAME, judged_split, run_stage
from .weights import fetch_unpinned, require_as_trained, require_weights

Runner = Callable[[Recipe, RunFolder, str, Reporter], dict[str, Any]]


def run_recipe(
    recipe: Recipe,
    runs: Path,
    report: Reporter,
    goals: Sequence[str] = ("report",),
    again: Collection[str] = (),
    runner: Runner = run_stage,
    processes: int = 1,
) -> RunFolder:
    """Do whatever of a recipe is not done yet.

    Args:
        recipe: checked.
        runs: folder of all runs; this one is ``runs / recipe.name``.
        report: hears of every stage.
        goals: the stages wanted; only these and what leads to them is done.
        again: stages to do even if they are done; a call that was interrupted goes on when it is repeated, and those
            it had done again already stay done.
        runner: does one stage and returns its small facts.
        processes: how many train together.

    Returns:
        The run's folder.

    Raises:
        UsageError: if that many processes cannot share a model's batch evenly; before any stage is done.
        MissingDependencyError: if a stage that has to be done needs a package that is not installed.
        TemperError: what a stage could not do; the stages before it stay done.
    """

    def tell(event: Event) -> None:
        raise_if_interrupted()
        report(event)

    folder = RunFolder(runs / recipe.name)
    folder.require_usable()
    stages = stages_for(goals)
    if folder.forgotten() == set(again):
        again = ()  # the call that was to do them was interrupted, and goes on
    fetch_unpinned(recipe, stages, tell)
    known = read_known_sources(recipe, folder)  # says what is missing before anything is written
    anew = frozenset(again) or folder.left_anew()
    open_stages = _open(recipe, folder, stages, known.sources, again, anew)
    require_seen(recipe, known, open_stages)
    require_no_signed(folder, open_stages)
    require_shares(recipe, open_stages, processes)
    require_packages(open_stages)
    if "benchmark" in open_stages:
        require_runtimes(recipe.benchmark.runtimes)
    if any(stage.startswith("export-") for stage in open_stages):
        require_golden(recipe.export.golden_images, recipe.input.channels)
    require_weights(recipe, open_stages, tell)
    require_device(recipe, open_stages)  # each of several processes looks at its own once more
    with folder.locked():
        recover(folder)
        remove_partial(folder.path)
        _write_recipe(recipe, folder)
        if again:
            for stage in again:
                _keep(folder, stage, tell)
            folder.forget(again)
        for sentence in say_unseen(recipe, known):
            tell(Event("warning", stages[0], {"message": sentence}))
        made: dict[str, str] = {}
        for index, stage in enumerate(stages, start=1):
            key = stage_key(recipe, stage, known.sources, made)
            place = {"index": index, "total": len(stages)}
            record = _standing(folder, stage, key, anew, place, tell)
            if record is None:
                tell(Event("stage_started", stage, place))
                record = _do(recipe, folder, stage, key, tell, runner, known.sources, stage in anew)
                folder.done_anew(stage)
                tell(Event("stage_done", stage, {"seconds": record.seconds}))
            if stage == "data" and "benchmark" in stages:
                _require_judged(recipe, folder)
            made |= identities(stage, record)
        if folder.forgotten() <= made.keys():
            folder.remember()
    return folder


def require_device(recipe: Recipe, stages: Collection[str]) -> None:
    """Refuse a GPU that is not there, before the data is read for it.

    Raises:
        TemperError: if a model is to be trained on a GPU and Paddle sees none.
    """
    if recipe.device == "gpu" and set(MODELS) & set(stages):
        from ..distill.training.train import use_device

        use_device(recipe.device)


def require_shares(recipe: Recipe, stages: Collection[str], processes: int) -> None:
    """Refuse trainings whose batches the processes cannot share, before the first of them takes its hours.

    Args:
        recipe: of the run.
        stages: that are to be done.
        processes: how many train together.

    Raises:
        UsageError: naming the recipe's field, and a size that can be shared.
    """
    for model in MODELS:
        if model not in stages:
            continue
        section = recipe.section_of(model)
        size = recipe.training_of(section).batch_size
        if size % processes:
            own = section.training.batch_size is not None
            field = f"{section_name(model)}.training.batch_size" if own else "training.batch_size"
            raise UsageError(
                f"The recipe's {field} is {size}, which {processes} processes cannot share evenly. Set {field} to "
                f"{max(1, round(size / processes)) * processes}, or train with another number of processes."
            )


def _do(
    recipe: Recipe,
    folder: RunFolder,
    stage: str,
    key: str,
    report: Reporter,
    runner: Runner,
    sources: Sources,
    anew: bool,
) -> StageRecord:
    folder.tell(stage)
    require_as_trained(folder, (need for need in NEEDS[stage] if need in MODELS and stage != "report"))
    if not folder.can_go_on(stage, key):
        if not anew and take_back_unfinished(folder, stage, key):
            report(Event("note", stage, {"message": "goes on with what was begun before and set aside"}))
        else:
            _keep(folder, stage, report)
    folder.begin(stage, key)
    began = time.monotonic()
    try:
        result = runner(recipe, folder, stage, report)
    except Exception as error:
        if received() is None:  # else a library made an error of an interruption
            with contextlib.suppress(OSError, TemperError):
                why = str(error) if isinstance(error, TemperError) else f"{type(error).__name__}: {error}"
                folder.fail(stage, why)
        raise
    # a training knows what it took before it was interrupted
    seconds = float(result.get("seconds", time.monotonic() - began))
    record = StageRecord(key, seconds, result, sources=kept_sources(recipe, stage, sources))
    folder.finish(stage, record)
    return record


def _standing(
    folder: RunFolder, stage: str, key: str, anew: Collection[str], place: dict[str, int], report: Reporter
) -> StageRecord | None:
    """The record of a stage that need not be done, because it is or can be taken back, which is told; else None."""
    record, reason = folder.record(stage), "already done"
    if record is None or record.key != key:
        if stage in anew or not take_back(folder, stage, key):
            return None
        record, reason = folder.record(stage), "done before, taken back"
    report(Event("stage_skipped", stage, {**place, "reason": reason}))
    return record


def _require_judged(recipe: Recipe, folder: RunFolder) -> None:
    """Refuse data without the pictures that the benchmark is to judge on, before hours of training."""
    if recipe.benchmark.split == "test" and (folder.stage("data") / DATA_NAME).is_dir():
        judged_split(recipe, folder)


def _keep(folder: RunFolder, stage: str, report: Reporter) -> None:
    kept = set_aside(folder, stage)
    if kept is not None:
        told = f"what was here is set aside in {kept} until the next change; its own recipe takes it back"
        report(Event("note", stage, {"message": told}))
    begun = set_aside_unfinished(folder, stage)
    if begun is not None:
        told = f"what was begun here is set aside in {begun} until the next change; its own recipe goes on with it"
        report(Event("note", stage, {"message": told}))


def _open(
    recipe: Recipe,
    folder: RunFolder,
    stages: tuple[str, ...],
    sources: Sources,
    again: Collection[str],
    anew: Collection[str],
) -> list[str]:
    """The stages that have to be done, as far as can be known before: also all that build on another of them.

    Args:
        recipe: of the run.
        folder: the run's.
        stages: wanted.
        sources: of the recipe.
        again: stages to be done whether or not they are.
        anew: stages whose result is not taken back.
    """
    made: dict[str, str] = {}
    left: list[str] = []
    for stage in stages:
        record = None
        if not set(NEEDS[stage]) & set(left):
            key = stage_key(recipe, stage, sources, made)
            record = folder.record(stage)
            if record is None or record.key != key:
                record = None if stage in anew else can_be_taken_back(folder, stage, key)
        if record is None or stage in again:
            left.append(stage)
        else:
            made |= identities(stage, record)
    return left


def _write_recipe(recipe: Recipe, folder: RunFolder) -> None:
    plain, path = to_plain(recipe), folder.path / RECIPE_NAME
    try:
        stands = path.is_file() and read_json(path, MAX_RECORD_BYTES) == plain
    except TemperError:
        stands = False  # damaged: written anew
    if not stands:
        write_json(path, plain)
