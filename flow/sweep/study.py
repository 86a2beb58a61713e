"""The trials of a sweep in Optuna's own storage, so that a sweep goes on where it was killed.

Optuna is asked for values and told results; the trainings are the sweep's. What it suggests depends on the seed and the
trials told so far alone, so an interrupted sweep ends as an undisturbed one.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import numpy as np

from ...core.errors import MissingDependencyError, TemperError, UsageError
from ...core.files import explain_os_errors
from ...core.settings.fields import FieldPath
from ..requirements import is_installed, training_install_hint
from .space import SweptField

if TYPE_CHECKING:
    import optuna

STORAGE_NAME = "study.sqlite3"
Pruner = Literal["median", "hyperband", "none"]
Outcome = Literal["done", "pruned", "failed"]

# what is kept of a trial beside Optuna's own columns
_RESULT, _REPEATED, _RETRIES, _EVALUATIONS = "result", "repeated", "retries", "evaluations"
#: Combinations that are looked through for one that was not tried; among more, the sampler seldom comes back to one.
_MOST_LISTED = 100_000
#: With less left, what SQLite calls an error of the disk is a full one.
_FULL_BYTES = 1 << 20

_Method = TypeVar("_Method", bound=Callable[..., Any])


@contextlib.contextmanager
def _explain_storage_errors(storage: Path) -> Iterator[None]:
    """Turn what Optuna, SQLAlchemy and SQLite say of a storage into one sentence."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    with explain_os_errors(storage):
        try:
            yield
        except (SQLAlchemyError, StorageInternalError) as error:
            # Optuna's own words say "during the commit"; the reason is in what it caught
            said = " ".join(str(error.__cause__ or error).split()[:30])
            if "disk is full" in said or ("disk I/O error" in said and _is_full(storage)):
                raise OSError(errno.ENOSPC, said) from error
            if "readonly" in said or "unable to open" in said:
                raise OSError(errno.EACCES, said) from error
            if "locked" in said:
                message = f"{storage} is locked by another program. Close it, and give the same command again."
                raise TemperError(message) from error
            raise TemperError(_unreadable(storage, said)) from error


def _unreadable(storage: Path, said: str) -> str:
    return f"The trials in {storage} cannot be read ({said}). Begin the sweep anew with --again."


def _is_full(storage: Path) -> bool:
    with contextlib.suppress(OSError):
        return shutil.disk_usage(storage.parent).free < _FULL_BYTES
    return False


def _explained(method: _Method) -> _Method:
    """A method of something with a ``storage``, under :func:`_explain_storage_errors`."""

    @functools.wraps(method)
    def explained(self: Any, *args: Any, **options: Any) -> Any:
        with _explain_storage_errors(self.storage):
            return method(self, *args, **options)

    return cast(_Method, explained)


@dataclass(frozen=True)
class TrialResult:
    """What came of one trial.

    Attributes:
        place: of the trial among the finished ones, counted from 1.
        folder: of its training below the sweep's ``trials``.
        values: of the swept fields by their dotted names.
        outcome: "pruned" where it was stopped as it fell behind, "failed" where its loss diverged.
        score: what the sweep maximises, in points; for a pruned trial at its last evaluation.
        epoch: of that evaluation.
        seconds: spent on it.
        figures: COCO figures of a trial that is done.
        why: what happened to one that failed.
    """

    place: int
    folder: str
    values: dict[str, Any]
    outcome: Outcome
    score: float | None
    epoch: int | None
    seconds: float
    figures: dict[str, Any] = field(default_factory=dict)
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``TrialResult(**result.to_dict())`` equals ``result``."""
        return asdict(self)


class OpenTrial:
    """A trial at work.

    Attributes:
        raw: Optuna's side of it.
        place: of the trial in the sweep, counted from 1.
        values: of the swept fields, by path.
        evaluations: the score after each epoch that was evaluated.
        storage: the file that it is kept in.
    """

    def __init__(
        self,
        raw: optuna.Trial,
        place: int,
        values: dict[FieldPath, Any],
        evaluations: Mapping[int, float],
        storage: Path,
    ):
        self.raw, self.storage = raw, storage
        self.place, self.values = place, values
        self.evaluations = dict(evaluations)

    @_explained
    def falls_behind(self, epoch: int | None = None, score: float | None = None) -> bool:
        """Whether the trial should stop, given its score after an epoch, or what is known from before an interruption.

        Args:
            epoch: done.
            score: measured then.
        """
        if epoch is not None and score is not None and epoch not in self.evaluations:
            self.evaluations[epoch] = score
            self.raw.report(score, epoch)
        return bool(self.evaluations) and self.raw.should_prune()


def require_optuna() -> None:
    """Look for Optuna, before the hours of work that a sweep begins with.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    if not is_installed("optuna"):
        raise MissingDependencyError(f"A sweep needs Optuna, which is not installed. {training_install_hint()}")


class Study:
    """All trials of a sweep, kept in ``study.sqlite3`` of its folder."""

    def __init__(self, folder: Path, name: str, space: Sequence[SweptField], seed: int, pruner: Pruner, epochs: int):
        """Open or begin a study.

        Args:
            folder: of the sweep.
            name: of the study.
            space: what varies.
            seed: of the sampler.
            pruner: what stops trials that fall behind.
            epochs: of a trial that is not stopped.

        Raises:
            MissingDependencyError: if Optuna is not installed.
            TemperError: if the storage cannot be read, or the disk is full; the same goes for all methods.
        """
        require_optuna()
        import optuna
        import sqlalchemy
        from sqlalchemy.engine import URL, make_url

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self.space, self.seed = optuna, tuple(space), seed
        self.storage = folder / STORAGE_NAME
        # escaped, so that no folder's name is taken for a part of an address
        address = URL.create("sqlite", database=str(self.storage.absolute())).render_as_string()
        # SQLAlchemy escapes from 2.1 on, which Python 3.10's pins do not have; Optuna fills in what stands in braces
        if make_url(address).database != str(self.storage.absolute()) or "{" in address:
            raise UsageError(
                f"The folder {folder} has a sign in its name that SQLAlchemy {sqlalchemy.__version__} cannot keep a "
                "sweep under. Choose another place with --runs."
            )
        try:
            with _explain_storage_errors(self.storage):
                self._study = optuna.create_study(
                    storage=optuna.storages.RDBStorage(address),
                    study_name=name,
                    direction="maximize",
                    pruner=_pruner(pruner, epochs),
                    load_if_exists=True,
                )
        except RuntimeError as error:  # of another version of Optuna
            raise TemperError(_unreadable(self.storage, " ".join(str(error).split()[:30]))) from error

    @_explained
    def results(self) -> list[TrialResult]:
        """The trials that are over, in the order they were made."""
        kept = (trial.user_attrs.get(_RESULT) for trial in self._study.get_trials(deepcopy=False))
        return [TrialResult(**json.loads(result)) for result in kept if result is not None]

    @_explained
    def begin(self, first: Mapping[FieldPath, Any], trials: int) -> None:
        """Line up what is not left to the sampler: the recipe's own values, and every combination if they are few.

        Args:
            first: the recipe's own values by path.
            trials: wanted in all.
        """
        if self._study.get_trials(deepcopy=False):
            return
        own = {one.name: one.parameter(first[one.path]) for one in self.space}
        if None not in own.values():
            self._study.enqueue_trial(own)
        if self.size() <= trials:
            for values in self._combinations():
                if values != own:
                    self._study.enqueue_trial(values)

    def size(self) -> float:
        """How many combinations the sweep can try; often infinite."""
        return math.prod(one.count() for one in self.space)

    def _combinations(self) -> Iterator[dict[str, Any]]:
        for row in itertools.product(*(one.parameters() for one in self.space)):
            yield dict(zip((one.name for one in self.space), row, strict=True))

    @_explained
    def retry_interrupted(self) -> int:
        """Line up again what was at work when the sweep was killed; returns how many trials that are."""
        state = self._optuna.trial.TrialState
        trials = self._study.get_trials(deepcopy=False)
        lined_up = {trial.user_attrs.get(_RETRIES) for trial in trials}
        retried = 0
        for trial in trials:
            if trial.state != state.RUNNING:
                continue
            if _RESULT in trial.user_attrs:  # it was over, and only Optuna had not been told
                self._close(trial.number, TrialResult(**json.loads(trial.user_attrs[_RESULT])))
                continue
            if trial.number not in lined_up:
                known = {str(epoch): score for epoch, score in trial.intermediate_values.items()}
                # values that were lined up for it and not asked for yet are among Optuna's own attributes
                values = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
                self._study.enqueue_trial(values, user_attrs={_EVALUATIONS: known, _RETRIES: trial.number})
            self._study.tell(trial.number, state=state.FAIL)
            retried += 1
        return retried

    @_explained
    def next(self) -> OpenTrial:
        """The next trial; suggestions that were tried before are passed over."""
        while True:
            over = [t for t in self._study.get_trials(deepcopy=False) if {_RESULT, _REPEATED} & set(t.user_attrs)]
            finished = [old for old in over if _RESULT in old.user_attrs]
            # as if from the beginning each time: what comes next depends on the seed and the finished trials alone
            words = np.random.SeedSequence([self.seed, len(over)]).generate_state(1)
            self._study.sampler = self._optuna.samplers.TPESampler(
                n_startup_trials=2 + 2 * len(self.space), seed=int(words[0]), constant_liar=False
            )
            trial = self._study.ask()
            values = {one.path: one.suggest(trial) for one in self.space}
            if all(old.params != trial.params for old in finished):
                break
            trial.set_user_attr(_REPEATED, True)
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            if self.size() <= _MOST_LISTED:
                self._line_up_another(finished, int(words[0]))
        known = {int(epoch): score for epoch, score in trial.user_attrs.get(_EVALUATIONS, {}).items()}
        for epoch, score in sorted(known.items()):
            trial.report(score, epoch)
        return OpenTrial(trial, len(finished) + 1, values, known, self.storage)

    def _line_up_another(self, finished: Sequence[optuna.trial.FrozenTrial], seed: int) -> None:
        """The sampler is sure of the best: a combination at random is worth more than the same one again."""
        left = [values for values in self._combinations() if all(old.params != values for old in finished)]
        if not left:
            raise TemperError(f"All {len(finished)} combinations that the sweep can reach have been tried.")
        self._study.enqueue_trial(left[seed % len(left)])

    @_explained
    def tell(self, trial: OpenTrial, result: TrialResult) -> None:
        """Keep what came of a trial."""
        trial.raw.set_user_attr(_RESULT, json.dumps(result.to_dict()))
        self._close(trial.raw.number, result)

    def _close(self, number: int, result: TrialResult) -> None:
        if result.outcome == "done":
            self._study.tell(number, result.score)
        else:
            # one that diverged is a bad one, and the sampler has to know
            self._study.tell(number, state=self._optuna.trial.TrialState.PRUNED)


def _pruner(name: Pruner, epochs: int) -> optuna.pruners.BasePruner:
    import optuna

    if name == "median":
        # the first quarter of a training says little
        return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=epochs // 4 + 1)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=max(1, epochs // 9), max_resource=max(2, epochs))
    return optuna.pruners.NopPruner()
