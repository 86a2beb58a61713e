"""From a recipe's file to a :class:`Recipe`; every mistake named with its line, its value and what would be right."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import UsageError
from ..core.settings.fields import FieldPath
from ..core.settings.file import SettingsSource
from .recipe import Recipe
from .recipe_configs import follow_configs
from .recipe_detectors import MODEL_SECTIONS
from .weights_address import is_address

#: The fields that name files: ``~`` and ``${VAR}`` in them are replaced.
PATH_FIELDS: tuple[FieldPath, ...] = (
    ("data", "path"),
    ("data", "unlabelled"),
    *((model, field) for model in MODEL_SECTIONS for field in ("weights", "config")),
    ("distillation", "config"),
    ("distillation", "cache"),
    ("export", "golden_images"),
)


def read_recipe(path: Path, overrides: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> Recipe:
    """Read and check a recipe.

    Args:
        path: a YAML file.
        overrides: changes such as ``training.epochs=3``; later ones win. The value is YAML.
        environment: what ``${VAR}`` stands for; the process's environment if None.

    Returns:
        The checked recipe.

    Raises:
        UsageError: naming every mistake, one a line: the field, its line, its value, and what is accepted.
    """
    source = SettingsSource.read(path, "recipe", _where_to_get_one(path))
    for text in overrides:
        source.override(text, "training.epochs=3")
    source.fill_empty_sections(Recipe)
    mistakes = source.expand_paths(PATH_FIELDS, os.environ if environment is None else environment)
    mistakes += follow_configs(source.values, source.place) if not mistakes else []
    return source.checked(Recipe, mistakes)


def recipe_from_plain(values: Any, name: str) -> Recipe:
    """The recipe of plain values, as ``to_plain`` gave them: paths in them are expanded already.

    Args:
        values: all fields.
        name: the file they came from, for messages.

    Raises:
        UsageError: as :func:`read_recipe`.
    """
    if not isinstance(values, dict):
        raise UsageError(f"{name} is not a recipe.")
    return SettingsSource(name, values).checked(Recipe, [])


def without_places(plain: dict[str, Any]) -> dict[str, Any]:
    """A recipe's plain values for others to read: files by their names, without the folders of this machine."""
    shared = copy.deepcopy(plain)
    for *sections, name in PATH_FIELDS:
        section: Any = shared
        for part in sections:
            section = section.get(part) or {}
        value = section.get(name)
        if value is not None and not is_address(value):
            section[name] = Path(value).name
    return shared


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with Temper, by name."""
    folder = Path(__file__).resolve().parents[1] / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yml"))}


def _where_to_get_one(path: Path) -> str:
    if path.stem in shipped_recipes():
        return f" 'temper init --from {path.stem}' writes the one that comes with Temper."
    if path.parent == Path() and not path.suffix and (Path("runs") / path / "recipe.json").is_file():
        return f" Of the run of that name: 'temper run {Path('runs') / path}'."
    return " 'temper init' writes one to start from."
