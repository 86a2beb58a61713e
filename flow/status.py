"""Where a run stands, read from its folder without disturbing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ..core.errors import TemperError, UsageError, nearest
from ..core.files import MAX_RECORD_BYTES, read_json
from ..core.models import MODELS
from ..distill.recipe import Recipe
from ..distill.recipe_file import recipe_from_plain
from ..distill.training.job import METRICS_NAME
from ..distill.training.log import read_metrics
from .folder import RECIPE_NAME, RunFolder, StageRecord, Work
from .keys import NEEDS, STAGES, identities, stage_key
from .known_sources import read_known_sources

State = Literal["done", "outdated", "running", "interrupted", "failed", "to do"]


@dataclass(frozen=True)
class StageStatus:
    """One stage of a run.

    Attributes:
        stage: its name.
        state: "outdated" where something is done of it, and the recipe, the data, a stage before it or its own files
            have changed since, so that it will be done again.
        seconds: it took, once done; while it runs, since this process began it.
        epoch: last epoch with a step, for trainings.
        epochs: in all.
        loss: of the last step.
        map: last measured mAP, points from 0 to 100.
        why: it has failed, in a sentence.
    """

    stage: str
    state: State
    seconds: float | None = None
    epoch: int | None = None
    epochs: int | None = None
    loss: float | None = None
    map: float | None = None
    why: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def find_run(name: Path, runs: Path) -> Path:
    """The folder of a run, given as a folder or by its name.

    Raises:
        TemperError: if there is no such run; it lists those there are.
    """
    for path in (name, runs / name):
        if (path / RECIPE_NAME).is_file():
            return path
    there = sorted(path.parent.name for path in runs.glob(f"*/{RECIPE_NAME}"))
    raise UsageError(f"There is no run {name}.{nearest(name.name, there)} 'temper run RECIPE' starts one.")


def recipe_of(path: Path) -> Recipe:
    """The recipe that the run in a folder was last started with.

    Raises:
        TemperError: if it cannot be read.
    """
    return recipe_from_plain(read_json(path / RECIPE_NAME, MAX_RECORD_BYTES), str(path / RECIPE_NAME))


def run_status(path: Path) -> list[StageStatus]:
    """The stages of the run in the folder ``path``.

    Raises:
        TemperError: if the run's recipe cannot be read.
    """
    run, recipe = RunFolder(path), recipe_of(path)
    work = run.work()
    records = {stage: record for stage in STAGES if (record := run.record(stage)) is not None}
    keys = _keys(recipe, run, records)
    return [_stage_status(stage, records.get(stage), keys.get(stage), run, recipe, work) for stage in STAGES]


def _keys(recipe: Recipe, run: RunFolder, records: Mapping[str, StageRecord]) -> dict[str, str]:
    """The key that each stage would have now, as far as the stages before it stand."""
    try:
        sources = read_known_sources(recipe, run).sources
    except TemperError:
        # the data has moved away: what is done is still done, and what was begun can still go on
        return {stage: key for stage in STAGES if (key := run.started_key(stage)) is not None}
    keys: dict[str, str] = {}
    made: dict[str, str] = {}
    for stage in STAGES:
        if all(need in made for need in NEEDS[stage]):
            keys[stage] = stage_key(recipe, stage, sources, made)
            record = records.get(stage)
            if record is not None and record.key == keys[stage]:
                made |= identities(stage, record)
    return keys


def _stage_status(
    stage: str, record: StageRecord | None, key: str | None, run: RunFolder, recipe: Recipe, work: Work | None
) -> StageStatus:
    state: State
    why = None
    seconds = record.seconds if record else None
    if work is not None and work.stage == stage:
        state, seconds = "running", work.seconds
    elif record is not None:
        state = "done" if record.key == key else "outdated"
    elif run.started_key(stage) is None:
        state = "to do"
    elif key is None or not run.can_go_on(stage, key):
        state = "outdated"
    else:
        why = run.failure(stage)
        state = "interrupted" if why is None else "failed"
    if stage not in MODELS or state == "to do":
        return StageStatus(stage, state, seconds, why=why)
    entries = read_metrics(run.stage(stage) / METRICS_NAME)
    steps = [entry for entry in entries if entry["kind"] == "step"]
    evaluated = [entry for entry in entries if entry["kind"] == "evaluated"]
    return StageStatus(
        stage,
        state,
        seconds,
        epoch=steps[-1]["epoch"] if steps else None,
        epochs=recipe.training_of(recipe.section_of(stage)).epochs,
        loss=steps[-1]["total"] if steps else None,
        map=evaluated[-1]["ap"] if evaluated else None,
        why=why,
    )
