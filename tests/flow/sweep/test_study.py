"""The trials in Optuna's storage, with a score that is a formula instead of a training."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy
from temper.core.errors import TemperError, UsageError
from temper.flow.sweep.space import parse_space

pytest.importorskip("optuna", reason="a sweep needs Optuna")

from temper.flow.sweep.study import OpenTrial, Pruner, Study, TrialResult

ALPHA = ("distillation", "mgd", "alpha")
INHERIT = ("distillation", "inherit")
SPACE = parse_space(["distillation.mgd.alpha=0.01:100:log"], ["distillation.inherit=true,false"])
OWN = {ALPHA: 0.5, INHERIT: True}
EPOCHS = 4


class Killed(Exception):
    pass


def score(trial: OpenTrial) -> float:
    """Best at an alpha of 3."""
    return 40 - 10 * abs(math.log10(trial.values[ALPHA] / 3)) + (5 if trial.values[INHERIT] else 0)


def open_study(folder: Path, pruner: Pruner = "none", seed: int = 0) -> Study:
    study = Study(folder, "steel", SPACE, seed, pruner, EPOCHS)
    study.begin(OWN, 20)
    study.retry_interrupted()
    return study


def carry_out(study: Study, trial: OpenTrial, kill: Callable[[int, int], bool] = lambda place, epoch: False) -> None:
    """A training whose score rises from epoch to epoch."""
    final = score(trial)
    outcome, epoch = "done", EPOCHS
    if trial.falls_behind():
        outcome, epoch = "pruned", max(trial.evaluations)
    else:
        for epoch in range(1, EPOCHS + 1):
            if epoch in trial.evaluations:
                continue
            behind = trial.falls_behind(epoch, final * epoch / EPOCHS)
            if kill(trial.place, epoch):
                raise Killed
            if behind and epoch < EPOCHS:
                outcome = "pruned"
                break
    values = {".".join(path): value for path, value in trial.values.items()}
    reached = trial.evaluations[epoch]
    study.tell(trial, TrialResult(trial.place, "f", values, outcome, reached, epoch, 1.0))  # type: ignore[arg-type]


def sweep(
    folder: Path, trials: int, pruner: Pruner = "none", kills: set[tuple[int, int]] | None = None
) -> list[TrialResult]:
    """A sweep that is killed at each (place, epoch) of ``kills`` and called again."""
    folder.mkdir(exist_ok=True)
    waiting = set(kills or ())

    def kill(place: int, epoch: int) -> bool:
        due = (place, epoch) in waiting
        waiting.discard((place, epoch))
        return due

    while True:
        study = open_study(folder, pruner)
        try:
            while len(study.results()) < trials:
                carry_out(study, study.next(), kill)
        except Killed:
            continue
        assert not waiting
        return study.results()


def test_the_recipes_own_values_come_first_and_the_best_is_found(tmp_path: Path) -> None:
    results = sweep(tmp_path, 16)
    assert results[0].values == {"distillation.mgd.alpha": 0.5, "distillation.inherit": True}
    assert [one.place for one in results] == list(range(1, 17))
    assert max(one.score or 0 for one in results) > 43  # of 45


@pytest.mark.parametrize("pruner", ["none", "median"])
def test_a_killed_sweep_ends_as_an_undisturbed_one(tmp_path: Path, pruner: Pruner) -> None:
    whole = sweep(tmp_path / "whole", 9, pruner)
    broken = sweep(tmp_path / "broken", 9, pruner, {(1, 3), (2, 1), (5, 4), (9, 1)})
    assert broken == whole


def test_another_seed_suggests_other_values(tmp_path: Path) -> None:
    tried = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        study = open_study(tmp_path / str(seed), seed=seed)
        for _ in range(3):
            carry_out(study, study.next())
        tried.append([one.values["distillation.mgd.alpha"] for one in study.results()])
    assert tried[0][0] == tried[1][0]
    assert tried[0][1:] != tried[1][1:]


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_what_falls_behind_is_stopped(tmp_path: Path, pruner: Pruner) -> None:
    results = sweep(tmp_path, 14, pruner)
    pruned = [one for one in results if one.outcome == "pruned"]
    assert pruned
    assert all(one.epoch is not None and one.epoch < EPOCHS for one in pruned)
    done = [one for one in results if one.outcome == "done"]
    best = max(done, key=lambda one: one.score or 0)
    assert best.score is not None and best.score > 40


def test_a_killed_process_between_result_and_storage_loses_nothing(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    trial = study.next()
    study._close = lambda number, result: (_ for _ in ()).throw(Killed())  # type: ignore[method-assign,assignment]
    with pytest.raises(Killed):
        carry_out(study, trial)
    after = open_study(tmp_path)
    assert [one.place for one in after.results()] == [1]
    carry_out(after, after.next())
    assert [one.place for one in after.results()] == [1, 2]


def test_few_combinations_are_each_tried_once(tmp_path: Path) -> None:
    space = parse_space([], ["distillation.inherit=true,false", "distillation.mgd.alpha=1,2,3"])
    study = Study(tmp_path, "steel", space, 0, "none", EPOCHS)
    assert study.size() == 6
    study.begin({INHERIT: False, ALPHA: 2}, 6)
    for _ in range(6):
        carry_out(study, study.next())
    tried = [(one.values["distillation.inherit"], one.values["distillation.mgd.alpha"]) for one in study.results()]
    assert tried[0] == (False, 2)
    assert len(set(tried)) == 6
    with pytest.raises(TemperError, match="All 6 combinations"):
        study.next()


def test_the_sampler_does_not_try_the_same_again(tmp_path: Path) -> None:
    space = parse_space(["student.training.epochs=1:7"], [])
    epochs = ("student", "training", "epochs")
    study = Study(tmp_path, "steel", space, 0, "none", EPOCHS)
    study.begin({epochs: 3}, 5)
    assert study.size() == 7
    for _ in range(7):
        trial = study.next()
        value = trial.values[epochs]
        study.tell(trial, TrialResult(trial.place, "f", {"student.training.epochs": value}, "done", value, 1, 1.0))
    assert sorted(one.values["student.training.epochs"] for one in study.results()) == [1, 2, 3, 4, 5, 6, 7]


@contextlib.contextmanager
def no_page_more(study: Study) -> Iterator[None]:
    """SQLite's own "database or disk is full", as soon as the file would grow; every connection is begun anew."""
    engine = study._study._storage._backend.engine  # type: ignore[attr-defined]

    def limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # as many as there are, then

    sqlalchemy.event.listen(engine, "connect", limit)
    engine.dispose()
    try:
        yield
    finally:
        sqlalchemy.event.remove(engine, "connect", limit)
        engine.dispose()


FULL = r"No space left on the disk while writing .*study\.sqlite3.*run the same command again"


def test_a_full_disk_is_told_wherever_it_shows_and_the_sweep_goes_on_afterwards(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    trial = study.next()

    def report_many() -> None:
        for epoch in range(1, 2000):
            trial.falls_behind(epoch, 0.5)

    def ask_many() -> None:
        for _ in range(200):
            study.next()

    values = {".".join(path): "x" * 2000 for path in trial.values}
    told = TrialResult(1, "f", values, "done", 1.0, EPOCHS, 1.0)
    with no_page_more(study):
        for work in (report_many, ask_many, lambda: study.tell(trial, told)):
            with pytest.raises(TemperError, match=FULL):
                work()
    study = open_study(tmp_path)
    study.begin(OWN, 20)
    carry_out(study, study.next())
    assert [one.place for one in study.results()] == [1]


def test_a_full_disk_is_told_on_the_first_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.dbapi2.connect

    def limited(*args: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)  # type: ignore[arg-type]
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    monkeypatch.setattr(sqlite3.dbapi2, "connect", limited)
    with pytest.raises(TemperError, match=FULL):
        open_study(tmp_path)


@pytest.mark.parametrize("name", ["a?b", "a%41b", "a#b", "a{SCHEMA_VERSION}b", "a b", "ä"])
def test_the_trials_lie_in_their_folder_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    if name in ("a?b", "a{SCHEMA_VERSION}b") and sqlalchemy.__version__ < "2.1":
        with pytest.raises(UsageError, match="has a sign in its name that SQLAlchemy 2.0"):
            open_study(tmp_path / name)
        assert not list(tmp_path.rglob("*.sqlite3"))
        return
    open_study(tmp_path / name)
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*.sqlite3")] == [Path(name, "study.sqlite3")]


def test_a_storage_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "study.sqlite3").write_bytes(b"this is no database, and long enough to be looked at" * 50)
    with pytest.raises(TemperError, match="Begin the sweep anew with --again"):
        open_study(tmp_path)
