"""Where a run stands, read from its folder without disturbing it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ..core.errors import TemperError
from ..core.files import read_json
from ..distill.recipe import Recipe
from ..distill.training.log import read_metrics
from .folder import RECIPE_NAME, RunFolder
from .keys import MODELS, STAGES, stage_keys

State = Literal["done", "outdated", "running", "interrupted", "to do"]


@dataclass(frozen=True)
class StageStatus:
    """One stage of a run.

    Attributes:
        stage: its name.
        state: "outdated" where the recipe or the data has changed since.
        seconds: it took, once done.
        epoch: last epoch with a step, for trainings.
        epochs: in all.
        loss: of the last step.
        map: last measured mAP, points from 0 to 100.
    """

    stage: str
    state: State
    seconds: float | None = None
    epoch: int | None = None
    epochs: int | None = None
    loss: float | None = None
    map: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def run_status(path: Path) -> list[StageStatus]:
    """The stages of the run in the folder ``path``.

    Raises:
        TemperError: if there is no run.
    """
    if not (path / RECIPE_NAME).is_file():
        beside = sorted(p.parent.name for p in path.parent.glob(f"*/{RECIPE_NAME}")) if path.parent.is_dir() else []
        there = f" Runs in {path.parent}: {', '.join(beside)}." if beside else ""
        raise TemperError(f"There is no run in {path}.{there} 'temper run RECIPE' starts one.")
    run = RunFolder(path)
    recipe = Recipe.model_validate(read_json(path / RECIPE_NAME))
    try:
        keys: dict[str, str] | None = stage_keys(recipe, STAGES)
    except TemperError:
        keys = None  # the data has moved away; what is done is still done
    working = run.is_locked()
    found: list[StageStatus] = []
    for stage in STAGES:
        record = run.record(stage)
        state: State
        if record is not None:
            state = "done" if keys is None or record.key == keys[stage] else "outdated"
        elif run.started_key(stage) is not None:
            state = "running" if working else "interrupted"
        else:
            state = "to do"
        found.append(_with_training(StageStatus(stage, state, record.seconds if record else None), run, recipe))
    return found


def _with_training(status: StageStatus, run: RunFolder, recipe: Recipe) -> StageStatus:
    if status.stage not in MODELS or status.state == "to do":
        return status
    entries = read_metrics(run.stage(status.stage) / "metrics.jsonl")
    steps = [e for e in entries if e["kind"] == "step"]
    evaluated = [e for e in entries if e["kind"] == "evaluated"]
    section = recipe.teacher if status.stage == "teacher" else recipe.student
    return StageStatus(
        status.stage,
        status.state,
        status.seconds,
        steps[-1]["epoch"] if steps else None,
        recipe.training_of(section).epochs,
        steps[-1]["losses"]["total"] if steps else None,
        evaluated[-1]["ap"] if evaluated else None,
    )
