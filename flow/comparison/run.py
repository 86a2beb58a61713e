"""Doing a comparison: for every seed a run of its own, and in it the student taught in other ways besides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ...core.errors import TemperError, UsageError
from ...core.events import Event, Reporter
from ...core.files import write_json
from ...distill.recipe import Recipe, to_plain
from ..folder import COMPARISON_NAME, RunFolder, StageRecord
from ..keys import TEST, Sources, identities, read_sources, stage_key
from ..run import require_device, run_recipe
from ..shared_features import remove_shared_features, share_features
from ..stages import run_stage, training_job
from .result import Training, write_results

#: Inside the folder of a seed's run: the students taught in other ways.
WAYS_NAME = "ways"


@dataclass(frozen=True)
class Comparison:
    """What to compare.

    Attributes:
        recipe: teacher, student alone, and the student as this recipe's ``distillation`` teaches it.
        ways: recipes that teach the student in other ways, by name.
        seeds: of the trainings, each at least once.
        one_teacher: the first seed's teacher teaches all; else every seed has its own.
    """

    recipe: Recipe
    seeds: tuple[int, ...]
    ways: Mapping[str, Recipe] = field(default_factory=dict)
    one_teacher: bool = False


@dataclass(frozen=True)
class ComparisonOutcome:
    """What a comparison left behind: its folder, and its trainings in order."""

    folder: Path
    trainings: list[Training]


def run_comparison(comparison: Comparison, runs: Path, report: Reporter) -> ComparisonOutcome:
    """Train whatever is not trained yet; called again after an interruption, it goes on where it was.

    The results are written after every training, so that a long comparison can be looked at on the way.

    Args:
        comparison: what to compare.
        runs: folder of all runs; the comparison lies in ``runs/NAME-compare``, with a run for each seed.
        report: hears of every training.

    Raises:
        UsageError: if a way changes more than how the student is taught, or nothing, or something else lies where the
            comparison would; before any work is done.
        TemperError: if a training fails, or another process is at work in the folder.
    """
    recipe = comparison.recipe
    sources = read_sources(recipe)
    for name, way in comparison.ways.items():
        _require_only_teaching(recipe, name, way, sources)
    compared = RunFolder(runs / f"{recipe.name}-compare", COMPARISON_NAME)
    compared.require_usable()
    if recipe.device == "gpu":
        require_device(recipe, ("teacher",))
    with compared.locked():
        write_json(compared.path / COMPARISON_NAME, _settings(comparison))
        return _compare(comparison, compared.path, report)


def _settings(comparison: Comparison) -> dict[str, Any]:
    return {
        "recipe": to_plain(comparison.recipe),
        "ways": {name: to_plain(way)["distillation"] for name, way in comparison.ways.items()},
        "seeds": list(comparison.seeds),
        "one_teacher": comparison.one_teacher,
    }


def _compare(comparison: Comparison, folder: Path, report: Reporter) -> ComparisonOutcome:
    trainings: list[Training] = []
    for place, seed in enumerate(comparison.seeds):
        seeded = _for_seed(comparison, seed, folder)
        trainings += _train_seed(comparison, seeded, folder, report)
        write_results(folder, comparison.recipe, comparison.seeds, trainings)
        if not comparison.one_teacher or place == len(comparison.seeds) - 1:
            remove_shared_features(folder)
    return ComparisonOutcome(folder, trainings)


def _train_seed(comparison: Comparison, recipe: Recipe, folder: Path, report: Reporter) -> list[Training]:
    """The trainings of one seed, as far as they are not done."""
    seed, first = recipe.seed, comparison.seeds[0]
    run = run_recipe(recipe, folder, report, goals=("student", "distilled"), runner=partial(run_stage, shared=folder))
    models = ["teacher", "student", "distilled"]
    if comparison.one_teacher and seed != first:
        models.remove("teacher")
    done = [Training(model, seed, _finished(run, model).result) for model in models]
    with run.locked():
        sources = read_sources(recipe)
        made = identities("data", _finished(run, "data")) | identities("teacher", _finished(run, "teacher"))
        for name, way in comparison.ways.items():
            distillation = share_features(way, folder).distillation
            taught = recipe.model_copy(update={"distillation": distillation, "data": way.data})
            key = stage_key(taught, "distilled", sources, made)
            done.append(Training(name, seed, _teach(taught, run, folder, name, key, report)))
    return done


def _teach(recipe: Recipe, run: RunFolder, folder: Path, name: str, key: str, report: Reporter) -> dict[str, Any]:
    """The record of the student taught in another way."""
    from ...distill.training.train import train_model

    ways = RunFolder(run.stage(WAYS_NAME))
    record = ways.record(name)
    if record is not None and record.key == key:
        report(Event("stage_skipped", name, {"index": 1, "total": 1, "reason": "already done"}))
        return record.result
    report(Event("stage_started", name, {"index": 1, "total": 1}))
    out = ways.begin(name, key)
    job = replace(training_job(recipe, run, "distilled", folder), visual_log=None)
    result = train_model(job, out, lambda event: report(replace(event, stage=name))).to_dict()
    ways.finish(name, StageRecord(key, result["seconds"], result))
    report(Event("stage_done", name, {"seconds": result["seconds"]}))
    return result


def _finished(run: RunFolder, stage: str) -> StageRecord:
    record = run.record(stage)
    if record is None:
        raise TemperError(f"{run.path} was changed by another process; give the command again.")
    return record


def _for_seed(comparison: Comparison, seed: int, folder: Path) -> Recipe:
    """The recipe of a seed's run: as given, under a name of its own."""
    recipe = comparison.recipe
    changes: dict[str, Any] = {
        "name": f"seed-{seed}",
        "seed": seed,
        "distillation": share_features(recipe, folder).distillation,
    }
    if comparison.one_teacher and seed != comparison.seeds[0]:
        from ...distill.training.job import WEIGHTS_NAME

        weights = RunFolder(folder / f"seed-{comparison.seeds[0]}").stage("teacher") / WEIGHTS_NAME
        training = recipe.teacher.training.model_copy(update={"epochs": 0})
        taken = {"weights": str(weights), "weights_sha256": None, "training": training}
        changes["teacher"] = recipe.teacher.model_copy(update=taken)
    return recipe.model_copy(update=changes)


def _require_only_teaching(recipe: Recipe, name: str, way: Recipe, sources: Sources) -> None:
    """Refuse a way that would compare something else as well."""
    stages = ("data", "teacher", "student", "distilled")
    one, other = (
        {stage: stage_key(each, stage, sources, dict.fromkeys((*stages, TEST), "")) for stage in stages}
        for each in (recipe, way)
    )
    fixed = [stage for stage in stages[:-1] if one[stage] != other[stage]]
    if fixed:
        raise UsageError(
            f"--way {name} also changes the {' and the '.join(fixed)}; a way says how the student is taught, with "
            "fields of distillation."
        )
    if one == other:
        raise UsageError(f"--way {name} teaches the student as the recipe does; change a field of distillation.")


def parse_ways(texts: Sequence[str]) -> dict[str, list[str]]:
    """Options such as ``cwd:distillation.mgd=null``, gathered by the name before the colon.

    Raises:
        UsageError: if one has no name or no field, or its name is not fit for a folder or taken.
    """
    ways: dict[str, list[str]] = {}
    for text in texts:
        name, colon, change = text.partition(":")
        if not colon or "=" not in change or not name.replace("-", "").replace("_", "").isalnum() or len(name) > 40:
            raise UsageError(
                f"--way {text}: write it as NAME:FIELD=VALUE with a name of letters, digits and hyphens, for example "
                "cwd:distillation.cwd.alpha=5."
            )
        if name in ("teacher", "student", "distilled"):
            raise UsageError(f"--way {text}: '{name}' is one of the recipe's own models; choose another name.")
        ways.setdefault(name, []).append(change)
    return ways
