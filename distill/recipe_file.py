"""From a recipe's file to a :class:`Recipe`; every mistake named with its line, its value and what would be right."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..core.errors import UsageError
from .recipe import Recipe
from .recipe_configs import follow_configs
from .recipe_detectors import MODEL_SECTIONS
from .recipe_fields import FieldPath, dotted, explain_mistake, field_schema, walk_fields
from .recipe_yaml import parse_value, parse_yaml
from .weights_address import is_address

#: A recipe longer than this is none.
MAX_BYTES = 256 << 10
#: The fields that name files: ``~`` and ``${VAR}`` in them are replaced.
PATH_FIELDS: tuple[FieldPath, ...] = (
    ("data", "path"),
    ("data", "unlabelled"),
    *((model, field) for model in MODEL_SECTIONS for field in ("weights", "config")),
    ("distillation", "config"),
    ("distillation", "cache"),
    ("export", "golden_images"),
)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


@dataclass
class _Source:
    """A recipe's values before they are checked, and where each of them was written."""

    name: str
    values: dict[str, Any]
    lines: dict[FieldPath, int] = field(default_factory=dict)
    overrides: dict[FieldPath, str] = field(default_factory=dict)

    def place(self, path: FieldPath) -> str:
        """Where a field was written, or else the innermost section around it."""
        for known, text in self.overrides.items():
            if known[: len(path)] == path and path:
                return f"--set {text}"
        for length in range(len(path), 0, -1):
            if path[:length] in self.overrides:
                return f"--set {self.overrides[path[:length]]}"
            if path[:length] in self.lines:
                return f"{self.name}, line {self.lines[path[:length]]}"
        return self.name

    def line(self, path: FieldPath) -> int:
        """The line of a field or of the section around it; 0 where the file has neither."""
        return next((self.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.lines), 0)


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
    document = parse_yaml(_read(path), str(path))
    source = _Source(str(path), document.values, document.lines)
    for text in overrides:
        _override(source, text)
    _fill_empty_sections(source.values)
    mistakes = _expand_paths(source, os.environ if environment is None else environment)
    mistakes += follow_configs(source.values, source.place) if not mistakes else []
    return _checked(source, mistakes)


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
    return _checked(_Source(name, values), [])


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


def _checked(source: _Source, mistakes: list[str]) -> Recipe:
    try:
        # strict: a number in quotes or a true is no number, and a slip such as 'epochs: true' no single epoch
        recipe = Recipe.model_validate(_with_tuples(source.values), strict=True)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # a list with one wrong entry is told of at the entry, not as too short as well
        inner = {one["loc"][:-1] for one in errors}
        errors = [one for one in errors if not (one["type"] == "too_short" and one["loc"] in inner)]
        found = sorted(errors, key=lambda one: source.line(tuple(map(str, one["loc"]))))
        mistakes = [*mistakes, *(explain_mistake(Recipe, one, source.place) for one in found)]
    else:
        if not mistakes:
            return recipe
    raise UsageError("\n".join(dict.fromkeys(mistakes)))


def _with_tuples(value: Any) -> Any:
    """The same values with tuples for lists, as the fields of a recipe have them."""
    if isinstance(value, dict):
        return {name: _with_tuples(inner) for name, inner in value.items()}
    return tuple(_with_tuples(inner) for inner in value) if isinstance(value, list) else value


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"There is no recipe {path}.{_where_to_get_one(path)}") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is {_kind_of_folder(path)}, and a recipe is a YAML file.") from None
    except OSError as error:
        raise UsageError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    if len(content) > MAX_BYTES:
        raise UsageError(f"{path} is larger than {MAX_BYTES >> 10} KiB, so it is not a recipe.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text in UTF-8 (see byte {error.start}), so it is not a recipe.") from error


def _kind_of_folder(path: Path) -> str:
    if (path / "manifest.json").is_file():
        return "a bundle (see 'temper bundle inspect' and 'temper bench run')"
    if (path / "annotations").is_dir() or (path / "ANNOTATIONS").is_dir():
        return "a data set (give it to a recipe with --set data.path=FOLDER)"
    return "a folder"


def _where_to_get_one(path: Path) -> str:
    if path.stem in shipped_recipes():
        return f" 'temper init --from {path.stem}' writes the one that comes with Temper."
    return " 'temper init' writes one to start from."


def _override(source: _Source, text: str) -> None:
    name, equals, value = text.partition("=")
    path = tuple(part.strip() for part in name.split("."))
    if not equals or not all(path):
        raise UsageError(f"--set {text}: write it as field=value, for example --set training.epochs=3.")
    target = source.values
    for depth, part in enumerate(path[:-1], start=1):
        inner = target.get(part)
        if inner is None:
            inner = target[part] = {}
        elif not isinstance(inner, dict):
            raise UsageError(f"--set {text}: {dotted(path[:depth])} is {inner!r}, which has no field '{path[depth]}'.")
        target = inner
    target[path[-1]] = parse_value(value, f"--set {text}").values
    # what the override replaces was written elsewhere, and so was all that lay below it
    for replaced in [known for known in (*source.lines, *source.overrides) if known[: len(path)] == path]:
        source.lines.pop(replaced, None)
        source.overrides.pop(replaced, None)
    source.overrides[path] = text


def _fill_empty_sections(values: dict[str, Any]) -> None:
    """A section of which every field was taken out or commented out is one with its defaults."""
    for path in walk_fields(Recipe):
        entry = field_schema(Recipe, path) or {}
        around: Any = values
        for part in path[:-1]:
            around = around.get(part) if isinstance(around, dict) else None
        is_section = entry.get("type") == "object" and not entry.get("nullable")
        if is_section and isinstance(around, dict) and path[-1] in around and around[path[-1]] is None:
            around[path[-1]] = {}


def _expand_paths(source: _Source, environment: Mapping[str, str]) -> list[str]:
    """Replace ``~`` and ``${VAR}`` in the fields that name files; a sentence for each where that fails."""
    mistakes = []
    for path in PATH_FIELDS:
        section = source.values.get(path[0])
        value = section.get(path[1]) if isinstance(section, dict) else None
        if not isinstance(section, dict) or not isinstance(value, str):
            continue
        unset: list[str] = []
        expanded = _VARIABLE.sub(_replacer(environment, unset), value)
        told = f"{source.place(path)}: {dotted(path)} is '{value}'"
        if unset:
            mistakes.append(
                f"{told}, and the environment variable {unset[0]} is not set. Set it, or write a path to take "
                f"otherwise: ${{{unset[0]}:-some/path}}."
            )
        elif not expanded.strip() or not expanded.isprintable():
            mistakes.append(f"{told}, which names no file.")
        elif "${" in expanded:
            mistakes.append(f"{told}; a variable is written ${{NAME}} or ${{NAME:-otherwise}}.")
        else:
            section[path[1]] = os.path.expanduser(expanded)
    return mistakes


def _replacer(environment: Mapping[str, str], unset: list[str]) -> Callable[[re.Match[str]], str]:
    def replace(match: re.Match[str]) -> str:
        name, otherwise = match.group(1), match.group(2)
        # as in a shell, an empty variable takes the other value too
        value = environment.get(name) or otherwise
        if value is None:
            unset.append(name)
        return value or ""

    return replace
