"""Doing a sweep: data and teacher once, then one training after the other, each with other values."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...core.errors import DivergedError, OutOfMemoryError, TemperError, UsageError
from ...core.events import Event, Reporter
from ...core.files import MAX_RECORD_BYTES, read_json, remove_partial, remove_tree, sha256_json, write_json
from ...core.settings.fields import FieldPath, dotted
from ...distill.recipe import Recipe
from ..folder import SWEEP_NAME, RunFolder
from ..keys import NEEDS, Sources, identities, read_sources, stage_key
from ..requirements import require_packages
from ..run import run_recipe
from ..shared_features import remove_shared_features, share_features
from ..stages import training_job
from ..weights import fetch_unpinned, require_weights
from .result import best_of, write_results
from .space import SweptField, check_space, show_value, with_values
from .study import OpenTrial, Pruner, Study, TrialResult, require_optuna

if TYPE_CHECKING:
    from ...distill.training.job import TrainingJob, TrainingRecord

Part = Literal["val", "train"]
TRIALS_NAME = "trials"
#: Of the training pictures, kept back to judge on where the validation pictures are not to be used: one in five.
_KEPT_BACK = (4, 1)

Train = Callable[["TrainingJob", Path, Reporter], "TrainingRecord"]


@dataclass(frozen=True)
class Sweep:
    """What to tune, and how.

    Attributes:
        recipe: its own values are the first trial where the sweep reaches them.
        space: what varies.
        trials: in all, those of an earlier call included.
        model: the training that is tuned: teacher, student or distilled.
        metric: what is maximised, a figure of COCO's by its name in records ("ap" is mAP).
        judge_on: "val" for the validation pictures; "train" for a fifth of the training pictures, which the trials then
            do not train on. The test pictures are never looked at.
        pruner: what stops trials that fall behind.
        seed: of the suggestions; that of the trainings is the recipe's.
    """

    recipe: Recipe
    space: tuple[SweptField, ...]
    trials: int
    model: str = "distilled"
    metric: str = "ap"
    judge_on: Part = "val"
    pruner: Pruner = "median"
    seed: int = 0


@dataclass(frozen=True)
class SweepOutcome:
    """What a sweep left behind: its folder, and the trials that are over."""

    folder: Path
    results: list[TrialResult]


class _Pruned(Exception):
    """Thrown through a training to stop it."""


def run_sweep(
    sweep: Sweep, runs: Path, report: Reporter, again: bool = False, train: Train | None = None
) -> SweepOutcome:
    """Try values until there are ``sweep.trials`` trials; called again, it goes on where it was.

    Args:
        sweep: what to tune.
        runs: folder of all runs: data and teacher are those of ``runs/NAME``, the sweep lies in ``runs/NAME-sweep``.
        report: hears of every stage and trial.
        again: forget the trials of an earlier sweep.
        train: does one training; Paddle's if None.

    Raises:
        UsageError: if a field cannot be swept, or something else lies where the sweep would; before any work is done.
        TemperError: if a stage or a training fails, or the folder holds another sweep.
    """
    recipe = sweep.recipe
    check_space(recipe, sweep.space, sweep.model, read_sources(recipe))
    sweep = _without_unfair_pruning(sweep, report)
    require_packages([sweep.model])
    require_optuna()
    run, folder = RunFolder(runs / recipe.name), RunFolder(runs / f"{recipe.name}-sweep", SWEEP_NAME)
    folder.require_usable()
    needs = NEEDS[sweep.model]
    if not again:
        _require_same(folder, sweep)
    # the run below stops before the swept model, and a key is only a key once all weights are known
    fetch_unpinned(recipe, (*needs, sweep.model), report)
    require_weights(recipe, (*needs, sweep.model), report)
    sources = read_sources(recipe)
    run_recipe(recipe, runs, report, goals=needs)
    with run.locked(), folder.locked():
        if again:
            remove_tree(folder.path / TRIALS_NAME)
            remove_shared_features(folder.path)
            for path in [*folder.path.glob("study.sqlite3*"), *folder.path.glob("unlabelled-*.json")]:
                path.unlink()
        records = {stage: run.record(stage) for stage in needs}
        made: dict[str, str] = {}
        for stage, record in records.items():
            if record is None:
                raise TemperError(f"{run.path} was changed by another process; give the command again.")
            made |= identities(stage, record)
        remove_partial(folder.path)
        settings = _settings(sweep, made, sources)
        if not again:
            _require_same(folder, sweep, settings)
        write_json(folder.path / SWEEP_NAME, settings)
        return _Sweeping(sweep, run, folder, sources, made, report, train or _train).run()


def _train(job: TrainingJob, out: Path, report: Reporter) -> TrainingRecord:
    from ...distill.training.train import train_model

    return train_model(job, out, report)


def _without_unfair_pruning(sweep: Sweep, report: Reporter) -> Sweep:
    schedule = [field.name for field in sweep.space if field.path[-1] in ("epochs", "batch_size")]
    if not schedule or sweep.pruner == "none":
        return sweep
    message = (
        f"Trials differ in {' and '.join(schedule)}, so they do not compare at the same epoch: none is stopped early."
    )
    report(Event("note", "sweep", {"message": message}))
    return replace(sweep, pruner="none")


def _settings(sweep: Sweep, made: dict[str, str] | None = None, sources: Sources | None = None) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "fields": {field.name: str(field) for field in sweep.space},
        "model": sweep.model,
        "metric": sweep.metric,
        "judge_on": sweep.judge_on,
        "pruner": sweep.pruner,
        "seed": sweep.seed,
    }
    if made is not None and sources is not None:
        settings["key"] = sha256_json([stage_key(sweep.recipe, sweep.model, sources, made)])
    return settings


def _require_same(folder: RunFolder, sweep: Sweep, settings: dict[str, Any] | None = None) -> None:
    """Refuse to mix the trials of two sweeps.

    Raises:
        UsageError: naming what differs from the sweep in the folder.
    """
    path = folder.path / SWEEP_NAME
    if not path.is_file():
        return
    there, wanted = read_json(path, MAX_RECORD_BYTES), settings or _settings(sweep)
    differs = [name for name, value in wanted.items() if there.get(name) != value]
    if differs:
        what = "the recipe or its data" if differs == ["key"] else " and ".join(n for n in differs if n != "key")
        raise UsageError(
            f"{folder.path} holds a sweep that differs in {what}. Give --again to forget it, or another name with "
            "--set name=NAME."
        )


class _Sweeping:
    """The state of one call of :func:`run_sweep`, once data and teacher are there."""

    def __init__(
        self,
        sweep: Sweep,
        run: RunFolder,
        folder: RunFolder,
        sources: Sources,
        made: dict[str, str],
        report: Reporter,
        train: Train,
    ) -> None:
        self.sweep, self.run_folder, self.folder = sweep, run, folder
        self.sources, self.made, self.report, self.train = sources, made, report, train
        self.alike: list[list[str]] | None = None  # training pictures, once they are looked at
        job = self._job(sweep.recipe)
        self.epochs, self.judged_on = job.training.epochs, job.val.name
        name = sweep.recipe.name
        self.study = Study(folder.path, name, sweep.space, sweep.seed, sweep.pruner, self.epochs)

    def run(self) -> SweepOutcome:
        """Try values until there are enough trials."""
        trials = self.sweep.trials
        self.study.begin({field.path: self._own_value(field.path) for field in self.sweep.space}, trials)
        if self.study.size() <= trials:
            trials = int(self.study.size())
            self._say("note", f"{trials} combinations are all there are, and each is tried once.")
        if self.study.retry_interrupted():
            self._say("note", "Going on with the trial that was interrupted.")
        results = self.study.results()
        self._write(results)
        while len(results) < trials:
            trial = self.study.next()
            stage = f"trial-{trial.place}"
            self.report(Event("stage_started", stage, {"index": trial.place, "total": trials}))
            self._say("note", ", ".join(f"{dotted(path)} {show_value(v)}" for path, v in trial.values.items()))
            result = self._try(trial)
            self.study.tell(trial, result)
            results = self.study.results()
            self._write(results)
            self._tidy(results)
            self.report(Event("stage_done", stage, {"seconds": result.seconds}))
        self._tidy(results)
        remove_shared_features(self.folder.path)
        return SweepOutcome(self.folder.path, results)

    def _try(self, trial: OpenTrial) -> TrialResult:
        recipe = with_values(self.sweep.recipe, trial.values, f"trial {trial.place}")
        key = stage_key(recipe, self.sweep.model, self.sources, self.made)
        name, began = self._folder_name(recipe), time.monotonic()
        trials = RunFolder(self.folder.path / TRIALS_NAME)
        out = trials.begin(name, key)
        values = {dotted(path): value for path, value in trial.values.items()}

        def watch(event: Event) -> None:
            self.report(event)
            if event.kind == "evaluated":
                epoch, score = int(event.data["epoch"]), event.data["figures"][self.sweep.metric]
                if trial.falls_behind(epoch, score or 0.0) and not event.data["final"]:
                    raise _Pruned

        def ended(outcome: Literal["pruned", "failed"], why: str = "") -> TrialResult:
            epoch = max(trial.evaluations, default=None)
            score = None if epoch is None else trial.evaluations[epoch]
            seconds = time.monotonic() - began
            return TrialResult(trial.place, name, values, outcome, score, epoch, seconds, why=why)

        try:
            if trial.falls_behind():
                raise _Pruned
            record = self.train(self._job(share_features(recipe, self.folder.path)), out, watch)
        except _Pruned:
            self._say("note", "It falls behind the trials before it, so it is stopped.")
            return ended("pruned")
        except (DivergedError, OutOfMemoryError) as error:
            self._say("warning", str(error))
            return ended("failed", str(error))
        score = record.accuracy[self.sweep.metric]
        if score is None:
            raise TemperError(f"There are no boxes to judge {self.sweep.metric} by on {self.judged_on}.")
        return TrialResult(
            trial.place, name, values, "done", score, record.epochs, record.seconds, figures=record.accuracy
        )

    def _folder_name(self, recipe: Recipe) -> str:
        """Of a trial: the same for the same training, whenever it comes."""
        return stage_key(recipe, self.sweep.model, self.sources, self.made)[:12]

    def _job(self, recipe: Recipe) -> TrainingJob:
        """The training of a trial, given the data and the teacher of the run."""
        job = replace(training_job(recipe, self.run_folder, self.sweep.model, self.folder.path), visual_log=None)
        if self.sweep.judge_on == "val":
            return job
        from ...distill.data.likeness import alike_in
        from ...distill.data.split import split_data

        if self.alike is None:
            self.alike = alike_in(job.train)
        parts = split_data(job.train, _KEPT_BACK, recipe.data.split_seed, self.alike)
        return replace(
            job, train=parts["train"], val=replace(parts["val"], name=f"{job.train.name}, a fifth kept back")
        )

    def _own_value(self, path: FieldPath) -> Any:
        """The recipe's value of a field; where a model's own training says nothing, the shared one."""
        value: Any = self.sweep.recipe
        for part in path:
            value = getattr(value, part, None)
        if value is None and path[1:2] == ("training",):
            return self._own_value(path[1:])
        return list(value) if isinstance(value, tuple) else value

    def _write(self, results: list[TrialResult]) -> None:
        best = best_of(results)
        recipe = self.sweep.recipe
        best_recipe = None
        if best is not None:
            best_recipe = with_values(
                recipe, {tuple(k.split(".")): v for k, v in best.values.items()}, "the best trial"
            )
        about = {
            **_settings(self.sweep),
            "trials": max(self.sweep.trials, len(results)),
            "judged_on": self.judged_on,
            "own": next((one.place for one in results if one.folder == self._folder_name(recipe)), None),
        }
        write_results(self.folder.path, recipe, best_recipe, self.sweep.space, results, about)

    def _tidy(self, results: list[TrialResult]) -> None:
        """Keep the weights of the best trial alone: a sweep of large models would fill the disk."""
        from ...distill.training.job import CHECKPOINTS_NAME, FEATURES_NAME, WEIGHTS_NAME

        best = best_of(results)
        for result in results:
            folder = self.folder.path / TRIALS_NAME / result.folder
            for name in (CHECKPOINTS_NAME, FEATURES_NAME):
                remove_tree(folder / name)
            if result is not best:
                remove_tree(folder / WEIGHTS_NAME)

    def _say(self, kind: Literal["note", "warning"], message: str) -> None:
        self.report(Event(kind, "sweep", {"message": message}))
