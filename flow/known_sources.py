"""What a run reads from outside, where it is not there any more: as the run's finished stages knew it.

A data set lies in the run once it is imported. A folder that has moved since, or a relative path in another working
folder, is no reason to refuse a report.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..distill.recipe import Recipe
from .folder import RunFolder, StageRecord
from .keys import Sources, read_sources

#: The folders that a recipe names: section and field, and the one of :class:`Sources` that stands for what lies there.
_PLACES = {("data", "path"): "data", ("data", "unlabelled"): "unlabelled", ("export", "golden_images"): "golden"}


@dataclass(frozen=True)
class KnownSources:
    """What a recipe reads from outside a run.

    Attributes:
        sources: of the recipe.
        unseen: the stages that would have to look, by the field whose files are not there and are taken as they were.
    """

    sources: Sources
    unseen: Mapping[str, tuple[str, ...]]


def read_known_sources(recipe: Recipe, run: RunFolder) -> KnownSources:
    """Look at the files a recipe names; for those that are not there, take what the run's stages kept of them.

    Raises:
        TemperError: as :func:`read_sources`, if something is missing that no finished stage has read at that place.
    """
    missing = [place for place in _PLACES if _is_missing(_value(recipe, place))]
    kept = {place: _kept(recipe, run, place) for place in missing}
    known = {place: value for place, value in kept.items() if value is not None}
    if not known:
        return KnownSources(read_sources(recipe), {})
    sources = read_sources(_without(recipe, known))
    stand_ins: dict[str, Any] = {_PLACES[place]: value for place, value in known.items()}
    return KnownSources(replace(sources, **stand_ins), {".".join(place): _readers(place) for place in known})


def require_seen(recipe: Recipe, known: KnownSources, stages: Collection[str]) -> None:
    """Refuse to do stages whose files are not there.

    Raises:
        TemperError: as :func:`read_sources`.
    """
    spared = {field for field, readers in known.unseen.items() if not set(readers) & set(stages)}
    if len(spared) < len(known.unseen):
        read_sources(_without(recipe, [place for place in _PLACES if ".".join(place) in spared]))


def say_unseen(recipe: Recipe, known: KnownSources) -> list[str]:
    """A sentence on each source that could not be looked at."""
    sentences = []
    for field in known.unseen:
        section, name = field.split(".")
        value = getattr(getattr(recipe, section), name)
        sentences.append(
            f"The recipe's {field} is '{value}', and there is nothing at {Path(value).absolute()}. What the run made "
            "of it stands; whether it has changed since could not be looked at."
        )
    return sentences


def kept_sources(recipe: Recipe, stage: str, sources: Sources) -> dict[str, list[str]]:
    """What a stage's record keeps of what it read from outside: each field's value and what stood for the files."""
    found: dict[str, list[str]] = {}
    for place, name in _PLACES.items():
        value, content = _value(recipe, place), getattr(sources, name)
        if value is not None and content is not None and stage in _readers(place):
            found[".".join(place)] = [value, content]
    return found


def _readers(place: tuple[str, str]) -> tuple[str, ...]:
    if place == ("data", "path"):
        return ("data",)
    if place == ("data", "unlabelled"):
        return ("distilled",)
    return ("export-teacher", "export-student", "export-distilled")


def _without(recipe: Recipe, places: Iterable[tuple[str, str]]) -> Recipe:
    for section, field in places:
        changed = getattr(recipe, section).model_copy(update={field: None})
        recipe = recipe.model_copy(update={section: changed})
    return recipe


def _value(recipe: Recipe, place: tuple[str, str]) -> str | None:
    section, field = place
    value: str | None = getattr(getattr(recipe, section), field)
    return value


def _kept(recipe: Recipe, run: RunFolder, place: tuple[str, str]) -> str | None:
    """What stood for the files of a field when a stage read them, if its value was the same."""
    records: list[StageRecord | None] = [run.record(stage) for stage in _readers(place)]
    for record in records:
        entry: Any = record.sources.get(".".join(place)) if record is not None else None
        if isinstance(entry, list) and len(entry) == 2 and entry[0] == _value(recipe, place):
            return str(entry[1])
    return None


def _is_missing(value: str | None) -> bool:
    """Whether there is nothing at a path: an empty folder may be what a disk is to be mounted on."""
    if value is None:
        return False
    try:
        return not os.listdir(value)
    except NotADirectoryError:
        return not os.path.isfile(value)
    except FileNotFoundError:
        return True
    except OSError:  # whoever reads it says why it cannot be read
        return False
