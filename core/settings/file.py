"""From a YAML file to a checked model; every mistake named with its line, its value and what would be right."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import UsageError
from ..passwords import HIDDEN
from .fields import FieldPath, as_written, dotted, explain_mistake, field_schema, is_address, shown, walk_fields
from .yaml_text import parse_value, parse_yaml

#: A file of settings longer than this is none.
MAX_BYTES = 256 << 10
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
Model = TypeVar("Model", bound=BaseModel)


@dataclass
class SettingsSource:
    """Values before they are checked, and where each of them was written.

    Attributes:
        name: the file, for messages.
        values: plain Python values.
        lines: of the file, for every field.
        overrides: for every field changed on the command line what was given there.
    """

    name: str
    values: dict[str, Any]
    lines: dict[FieldPath, int] = field(default_factory=dict)
    overrides: dict[FieldPath, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, noun: str, where_to_get_one: str) -> SettingsSource:
        """Read a file.

        Args:
            path: a YAML file.
            noun: what it is, for messages: ``recipe``.
            where_to_get_one: what to do where there is none; begins with a space.

        Raises:
            UsageError: if it cannot be read or is not YAML, with the line.
        """
        document = parse_yaml(read_text(path, noun, where_to_get_one), str(path), noun)
        return cls(str(path), document.values, document.lines)

    def place(self, path: FieldPath) -> str:
        """Where a field was written, or else the innermost section around it."""
        for known, text in self.overrides.items():
            if known[: len(path)] == path and path:
                return f"--set {_override_shown(text)}"
        for length in range(len(path), 0, -1):
            if path[:length] in self.overrides:
                return f"--set {_override_shown(self.overrides[path[:length]])}"
            if path[:length] in self.lines:
                return f"{self.name}, line {self.lines[path[:length]]}"
        return self.name

    def line(self, path: FieldPath) -> int:
        """The line of a field or of the section around it; 0 where the file has neither."""
        return next((self.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.lines), 0)

    def override(self, text: str, example: str) -> None:
        """Change a field as ``--set`` says.

        Args:
            text: ``training.epochs=3``; the value is YAML.
            example: one that would be right, for messages.

        Raises:
            UsageError: if it is not of that form, or goes through something that is no section.
        """
        name, equals, value = text.partition("=")
        path = tuple(part.strip() for part in name.split("."))
        if not equals or not all(path):
            raise UsageError(f"--set {_override_shown(text)}: write it as field=value, for example --set {example}.")
        target = self.values
        for depth, part in enumerate(path[:-1], start=1):
            inner = target.get(part)
            if inner is None:
                inner = target[part] = {}
            elif not isinstance(inner, dict):
                raise UsageError(
                    f"--set {_override_shown(text)}: {dotted(path[:depth])} is {shown(path[:depth], inner)}, "
                    f"which has no field '{path[depth]}'."
                )
            target = inner
        target[path[-1]] = parse_value(value, f"--set {_override_shown(text)}").values
        # what the override replaces was written elsewhere, and so was all that lay below it
        for replaced in [known for known in (*self.lines, *self.overrides) if known[: len(path)] == path]:
            self.lines.pop(replaced, None)
            self.overrides.pop(replaced, None)
        self.overrides[path] = text

    def fill_empty_sections(self, model: type[BaseModel]) -> None:
        """A section of which every field was taken out or commented out is one with its defaults."""
        for path in walk_fields(model):
            entry = field_schema(model, path) or {}
            around: Any = self.values
            for part in path[:-1]:
                around = around.get(part) if isinstance(around, dict) else None
            is_section = entry.get("type") == "object" and not entry.get("nullable")
            if is_section and isinstance(around, dict) and path[-1] in around and around[path[-1]] is None:
                around[path[-1]] = {}

    def expand_paths(self, paths: Iterable[FieldPath], environment: Mapping[str, str]) -> list[str]:
        """Replace ``~`` and ``${VAR}`` in the fields that name files; a sentence for each where that fails."""
        mistakes = []
        for path in paths:
            section: Any = self.values
            for part in path[:-1]:
                section = _inside(section, part)
            value = section.get(path[-1]) if isinstance(section, dict) else None
            if not isinstance(section, dict) or not isinstance(value, str):
                continue
            unset: list[str] = []
            expanded = _VARIABLE.sub(_replacer(environment, unset), value)
            told = f"{self.place(path)}: {dotted(path)} is {shown(path, value)}"
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
                section[path[-1]] = os.path.expanduser(expanded)
        return mistakes

    def checked(self, model: type[Model], mistakes: list[str]) -> Model:
        """The values as a model.

        Args:
            model: what they should be.
            mistakes: found before, to be told first.

        Raises:
            UsageError: naming every mistake, one a line.
        """
        try:
            # strict: a number in quotes or a true is no number, and a slip such as 'epochs: true' no single epoch
            found_model = model.model_validate(_with_tuples(self.values), strict=True)
        except ValidationError as error:
            errors = error.errors(include_url=False)
            # a list with one wrong entry is told of at the entry, not as too short as well
            inner = {one["loc"][:length] for one in errors for length in range(len(one["loc"]))}
            errors = [one for one in errors if not (one["type"] == "too_short" and one["loc"] in inner)]
            errors = _without_misspelt(errors)
            told = [self._of_the_field(model, dict(one)) for one in errors]
            found = sorted(told, key=lambda one: self.line(tuple(map(str, one["loc"]))))
            mistakes = [*mistakes, *(explain_mistake(model, one, self.place) for one in found)]
        else:
            if not mistakes:
                return found_model
        raise UsageError("\n".join(dict.fromkeys(mistakes)))

    def _of_the_field(self, model: type[BaseModel], mistake: dict[str, Any]) -> dict[str, Any]:
        """The same mistake, told at the field where that may be one of several things; pydantic tells of each."""
        loc = mistake["loc"]
        for length in range(1, len(loc)):
            path = tuple(str(part) for part in loc[:length])
            entry = field_schema(model, path)
            if entry is None:
                break
            if "takes" in entry:
                return {"loc": loc[:length], "type": "wrong", "input": self._value(as_written(model, path))}
        return mistake

    def _value(self, path: FieldPath) -> Any:
        value: Any = self.values
        for part in path:
            value = value[int(part)] if isinstance(value, list) else value.get(part)
        return value


def _without_misspelt(errors: Sequence[Any]) -> list[Any]:
    """The mistakes without fields that are missing only because they are misspelt, which is told by itself."""
    missing = [one["loc"] for one in errors if one["type"] == "missing"]
    misspelt = {
        (*one["loc"][:-1], near)
        for one in errors
        if one["type"] == "extra_forbidden"
        for near in get_close_matches(
            str(one["loc"][-1]), [str(loc[-1]) for loc in missing if loc[:-1] == one["loc"][:-1]], n=1, cutoff=0.6
        )
    }
    return [one for one in errors if one["type"] != "missing" or one["loc"] not in misspelt]


def _override_shown(text: str) -> str:
    """What was given to ``--set``, without an address: it may hold a password, and stands in the shell anyway."""
    name, equals, value = text.partition("=")
    return f"{name}={HIDDEN}" if equals and (is_address(tuple(name.split(".")), value) or "@" in value) else text


def _inside(section: Any, part: str) -> Any:
    """A field of a section, or an entry of a list; None where there is none."""
    if isinstance(section, dict):
        return section.get(part)
    if isinstance(section, list) and part.isdigit() and int(part) < len(section):
        return section[int(part)]
    return None


def read_text(path: Path, noun: str, where_to_get_one: str) -> str:
    """A file's text, UTF-8 and of a size that settings have.

    Raises:
        UsageError: if there is no such file, it cannot be read, or is no text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"There is no {noun} {path}.{where_to_get_one}") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is {_kind_of_folder(path, noun)}, and a {noun} is a YAML file.") from None
    except OSError as error:
        raise UsageError(f"The {noun} {path} cannot be read: {error.strerror}.") from error
    if len(content) > MAX_BYTES:
        raise UsageError(f"{path} is larger than {MAX_BYTES >> 10} KiB, so it is not a {noun}.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text in UTF-8 (see byte {error.start}), so it is not a {noun}.") from error


def _kind_of_folder(path: Path, noun: str) -> str:
    if (path / "manifest.json").is_file():
        return "a bundle (see 'temper bundle inspect' and 'temper bench run')"
    if (path / "annotations").is_dir() or (path / "ANNOTATIONS").is_dir():
        return f"a data set{' (give it to a recipe with --set data.path=FOLDER)' if noun == 'recipe' else ''}"
    return "a folder"


def _with_tuples(value: Any) -> Any:
    """The same values with tuples for lists, as the fields of a model have them."""
    if isinstance(value, dict):
        return {name: _with_tuples(inner) for name, inner in value.items()}
    return tuple(_with_tuples(inner) for inner in value) if isinstance(value, list) else value


def _replacer(environment: Mapping[str, str], unset: list[str]) -> Callable[[re.Match[str]], str]:
    def replace(match: re.Match[str]) -> str:
        name, otherwise = match.group(1), match.group(2)
        # as in a shell, an empty variable takes the other value too
        value = environment.get(name) or otherwise
        if value is None:
            unset.append(name)
        return value or ""

    return replace
