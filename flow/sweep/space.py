"""Which fields of a recipe a sweep varies, over what, and whether that makes sense: known before anything starts."""

from __future__ import annotations

import difflib
import itertools
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import UsageError
from ...core.settings.fields import FieldPath, accepted_values, dotted, field_schema, section_fields, walk_fields
from ...core.settings.yaml_text import parse_value
from ...distill.recipe import Recipe, to_plain
from ...distill.recipe_detectors import section_name
from ...distill.recipe_file import PATH_FIELDS, recipe_from_plain
from ..keys import TEST, Sources, stage_key, stages_for

if TYPE_CHECKING:
    from optuna.trial import Trial

_RANGE_FORM = "write it as field=low:high or field=low:high:log, for example distillation.mgd.alpha=0.1:10:log"
_CHOICES_FORM = "write it as field=a,b,c, for example training.optimizer=adamw,momentum"


@dataclass(frozen=True)
class SweptField(ABC):
    """One field that a sweep varies.

    Attributes:
        path: of the field in the recipe.
        written: the option as the user wrote it, for messages.
    """

    path: FieldPath
    written: str

    @property
    def name(self) -> str:
        """The field as users write it: ``distillation.mgd.alpha``."""
        return dotted(self.path)

    @abstractmethod
    def suggest(self, trial: Trial) -> Any:
        """The value for a trial of Optuna's."""

    @abstractmethod
    def samples(self) -> tuple[Any, ...]:
        """Values that must be fit for a recipe so that all are: the ends of a range, every choice."""

    @abstractmethod
    def count(self) -> float:
        """How many values there are; infinitely many where any number will do."""

    @abstractmethod
    def parameters(self) -> list[Any]:
        """What Optuna calls each of finitely many values."""

    @abstractmethod
    def parameter(self, value: Any) -> Any:
        """What Optuna calls ``value``; None if the sweep does not reach it."""

    @abstractmethod
    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Range(SweptField):
    """A number between two others.

    Attributes:
        low: the smallest value.
        high: the largest value.
        log: whether the sweep looks for the order of magnitude.
        step: the values are ``low`` plus whole multiples of it; None for any number.
    """

    low: float
    high: float
    log: bool
    step: int | None

    def suggest(self, trial: Trial) -> Any:
        """The value for a trial of Optuna's."""
        if self.step is None:
            return trial.suggest_float(self.name, self.low, self.high, log=self.log)
        return trial.suggest_int(self.name, int(self.low), int(self.high), step=self.step, log=self.log)

    def samples(self) -> tuple[Any, ...]:
        """Both ends."""
        return (self.low, self.high)

    def count(self) -> float:
        """Infinite, but for whole numbers."""
        return math.inf if self.step is None else 1 + (self.high - self.low) // self.step

    def parameters(self) -> list[Any]:
        """The whole numbers of the range."""
        if self.step is None:
            raise ValueError(f"{self.name} has infinitely many values")
        return list(range(int(self.low), int(self.high) + 1, self.step))

    def parameter(self, value: Any) -> Any:
        """The value itself where the range reaches it."""
        if not isinstance(value, int | float) or not self.low <= value <= self.high:
            return None
        return value if self.step is None or (value - self.low) % self.step == 0 else None

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', by order of magnitude' if self.log else ''}"


@dataclass(frozen=True)
class Choices(SweptField):
    """One of a few values."""

    values: tuple[Any, ...]

    def suggest(self, trial: Trial) -> Any:
        """The value for a trial of Optuna's."""
        label = trial.suggest_categorical(self.name, [_label(value) for value in self.values])
        return next(value for value in self.values if _label(value) == label)

    def samples(self) -> tuple[Any, ...]:
        """Every choice."""
        return self.values

    def count(self) -> float:
        """How many choices there are."""
        return len(self.values)

    def parameters(self) -> list[Any]:
        """Every choice's label."""
        return list(map(_label, self.values))

    def parameter(self, value: Any) -> Any:
        """The value's label where it is among the choices."""
        return _label(value) if _label(value) in map(_label, self.values) else None

    def __str__(self) -> str:
        return ", ".join(show_value(value) for value in self.values)


def show_value(value: Any) -> str:
    """A value as a recipe would have it, in a few characters."""
    if isinstance(value, str):
        return value
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


def _label(value: Any) -> str:
    """A value for Optuna's storage, which keeps no lists; equal for equal values alone."""
    return value if isinstance(value, str) else json.dumps(value)


def parse_space(ranges: Sequence[str], choices: Sequence[str]) -> tuple[SweptField, ...]:
    """The fields of ``--set-range`` and ``--choices``.

    Raises:
        UsageError: naming the option that is not of its form, names no field, or names one twice.
    """
    if not ranges and not choices:
        raise UsageError(
            "A sweep needs a field to vary: --set-range distillation.mgd.alpha=0.1:10:log, or --choices "
            "distillation.inherit=true,false."
        )
    fields = [*(_parse_range(text) for text in ranges), *(_parse_choices(text) for text in choices)]
    for first, second in itertools.combinations(fields, 2):
        if first.path == second.path[: len(first.path)] or second.path == first.path[: len(second.path)]:
            raise UsageError(f"{second.written}: {first.written} varies the same field; give each field once.")
    return tuple(fields)


def _parse_range(text: str) -> Range:
    written = f"--set-range {text}"
    path, value = _field_of(written, text, _RANGE_FORM)
    parts = value.split(":")
    if len(parts) not in (2, 3) or (len(parts) == 3 and parts[2] != "log"):
        raise UsageError(f"{written}: {_RANGE_FORM}.")
    low, high = (parse_value(part, written).values for part in parts[:2])
    if any(isinstance(end, bool) or not isinstance(end, int | float) for end in (low, high)):
        raise UsageError(f"{written}: both ends must be numbers; {_RANGE_FORM}.")
    entry = field_schema(Recipe, path) or {}
    if entry.get("type") not in ("integer", "number") or "enum" in entry:
        raise UsageError(
            f"{written}: {dotted(path)} takes {accepted_values(Recipe, path)}, which has no range; list values with "
            "--choices."
        )
    log, step = len(parts) == 3, entry.get("multipleOf", 1) if entry["type"] == "integer" else None
    if low >= high:
        raise UsageError(f"{written}: the low end {low:g} is not below the high end {high:g}.")
    if log and low <= 0:
        raise UsageError(f"{written}: a range by order of magnitude (log) must begin above 0.")
    if step is not None and not all(float(end).is_integer() for end in (low, high)):
        raise UsageError(f"{written}: {dotted(path)} takes {accepted_values(Recipe, path)}.")
    if step is not None and (high - low) % step:
        raise UsageError(f"{written}: the ends must lie a multiple of {step} apart.")
    if log and step not in (None, 1):
        raise UsageError(
            f"{written}: {dotted(path)} goes in steps of {step}, so it has no range by order of magnitude."
        )
    # whole numbers stay whole, so that a recipe takes them
    ends = (int(low), int(high)) if step else (float(low), float(high))
    return Range(path, written, ends[0], ends[1], log, step)


def _parse_choices(text: str) -> Choices:
    written = f"--choices {text}"
    path, value = _field_of(written, text, _CHOICES_FORM)
    values = parse_value(f"[{value}]", written).values
    if len(values) < 2:
        raise UsageError(f"{written}: a choice is between two values or more; {_CHOICES_FORM}.")
    if len({_label(one) for one in values}) < len(values):
        raise UsageError(f"{written}: a value is there twice.")
    return Choices(path, written, tuple(values))


def _field_of(written: str, text: str, form: str) -> tuple[FieldPath, str]:
    name, equals, value = text.partition("=")
    path = tuple(part.strip() for part in name.split("."))
    if not equals or not value.strip() or not all(path):
        raise UsageError(f"{written}: {form}.")
    if field_schema(Recipe, path) is None:
        raise UsageError(f"{written}: a recipe has no field '{name.strip()}'.{_known_field(path)}")
    return path, value


def _known_field(path: FieldPath) -> str:
    """The hint for a field that is none: one spelt nearly so, one of that name elsewhere, or what its section has."""
    inside = next(path[:n] for n in range(len(path) - 1, -1, -1) if section_fields(Recipe, path[:n]))
    siblings = section_fields(Recipe, inside)
    near = difflib.get_close_matches(path[len(inside)], siblings, n=1)
    elsewhere = [known for known in walk_fields(Recipe) if known[-1] == path[-1]]
    if near or elsewhere:
        meant = (*inside, near[0]) if near else min(elsewhere, key=len)
        whole = (*meant, *path[len(inside) + 1 :])
        if near and field_schema(Recipe, whole) is not None:
            meant = whole
        return f" Did you mean '{dotted(meant)}'?"
    return f" {f'{dotted(inside)} has' if inside else 'A recipe has'} {', '.join(siblings)}."


def with_values(recipe: Recipe, values: Mapping[FieldPath, Any], name: str) -> Recipe:
    """A recipe with some of its fields changed.

    Args:
        recipe: as it is.
        values: the new values by path; sections that are null on the way there get their defaults.
        name: where the values come from, for messages.

    Raises:
        UsageError: if the values do not make a recipe.
    """
    plain = to_plain(recipe)
    for path, value in values.items():
        section = plain
        for part in path[:-1]:
            if not isinstance(section.get(part), dict):
                section[part] = {}
            section = section[part]
        section[path[-1]] = value
    return recipe_from_plain(plain, name)


def check_space(recipe: Recipe, space: Sequence[SweptField], model: str, sources: Sources) -> None:
    """Refuse fields that a recipe would not take, and those that a sweep of ``model`` cannot vary.

    What comes before the model in a run is made once for all trials, so no field may change it; and a field that does
    not change the model would give the same result in each trial.

    Args:
        recipe: with the values of all other fields.
        space: what varies.
        model: the stage that is tuned: teacher, student or distilled.
        sources: of the recipe.

    Raises:
        UsageError: naming the option and what to do instead.
    """
    keys = _keys(recipe, model, sources)
    for field in space:
        if field.path in PATH_FIELDS:
            raise UsageError(f"{field.written}: {field.name} names a file, and a sweep varies how a model is trained.")
        found = [_keys(changed, model, sources) for changed in _samples(recipe, field)]
        fixed = [stage for stage in keys if stage != model and any(one[stage] != keys[stage] for one in found)]
        if fixed:
            raise UsageError(
                f"{field.written}: {field.name} also changes the {' and the '.join(fixed)}, which "
                f"{'is' if len(fixed) == 1 else 'are'} made once for all trials.{_own_field(field.path, model)}"
            )
        if len({one[model] for one in found}) == 1:
            raise UsageError(f"{field.written}: {field.name} changes nothing about the training of the {model} model.")


def _samples(recipe: Recipe, field: SweptField) -> Iterator[Recipe]:
    for value in field.samples():
        yield with_values(recipe, {field.path: value}, field.written)


def _keys(recipe: Recipe, model: str, sources: Sources) -> dict[str, str]:
    """What each stage up to ``model`` reads of a recipe, as a hash."""
    stages = stages_for([model])
    return {stage: stage_key(recipe, stage, sources, dict.fromkeys((*stages, TEST), "")) for stage in stages}


def _own_field(path: FieldPath, model: str) -> str:
    """The field of the same meaning that only the tuned model reads, as a hint; empty if there is none."""
    own = (section_name(model), *path)
    if path[0] == "training" and field_schema(Recipe, own) is not None:
        return f" Vary {dotted(own)} instead."
    return " Set it with --set, or sweep with another --model." if model != "teacher" else ""
