"""YAML as recipes and lines use it: a small, safe part of the language, with the line of every field.

Numbers and booleans follow YAML 1.2, so ``5e-4`` is a number and ``no`` is a text. Anchors, aliases and tags are
refused: nobody needs them here, and a few lines of aliases can stand for gigabytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from ..errors import UsageError

#: Sections inside sections; the deepest file of ours has four levels.
MAX_DEPTH = 20

Path = tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """A parsed YAML text.

    Attributes:
        values: plain Python values; a mapping for a whole file, anything for a single value.
        lines: for the path of every field the line its name stands in, counted from 1.
    """

    values: Any
    lines: dict[Path, int] = field(default_factory=dict)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the numbers and booleans of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]{0,17})$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)


def parse_yaml(text: str, name: str, noun: str = "recipe") -> Document:
    """Parse a whole file.

    Args:
        text: the file's content.
        name: the file, for messages.
        noun: what it should be, for messages.

    Raises:
        UsageError: naming the line that is not YAML, or holds what such a file must not.
    """
    document = _parse(text, name, noun)
    if not isinstance(document.values, dict):
        raise UsageError(f"{name} is not a {noun}: it should hold fields such as 'name: demo', one a line.")
    return document


def parse_value(text: str, name: str) -> Document:
    """Parse a single value, as given on the command line; an empty text is null.

    Raises:
        UsageError: if it is not YAML.
    """
    return _parse(text, name, "recipe")


def _parse(text: str, name: str, noun: str) -> Document:
    try:
        _check_events(text, name, noun)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            lines: dict[Path, int] = {}
            value = None if node is None else _build(loader, node, (), lines, name)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = " ".join(part for part in (error.context, error.problem) if part)
        raise UsageError(f"{name}{line}: this is not YAML ({reason}).{_tab_hint(text, error)}") from error
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{name}: this is not YAML ({reason}).") from error
    return Document(value, lines)


def _tab_hint(text: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark
    rows = text.splitlines()
    if mark and mark.line < len(rows) and rows[mark.line][: mark.column + 1].count("\t"):
        return " Indent with spaces instead of tabs."
    return ""


def _check_events(text: str, name: str, noun: str) -> None:
    """Refuse, before anything is built, what could grow or recurse without end."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise UsageError(
                f"{name}, line {line}: a {noun} has no anchors and aliases (& and *); write the value out."
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise UsageError(f"{name}, line {line}: more than {MAX_DEPTH} levels inside one another are no {noun}.")
        tag = getattr(event, "tag", None)
        if tag and tag not in ("!", "tag:yaml.org,2002:str"):
            raise UsageError(f"{name}, line {line}: a {noun} has no tags ({tag}); write a plain value.")


def _build(loader: _Loader, node: yaml.Node, path: Path, lines: dict[Path, int], name: str) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, child, (*path, str(i)), lines, name) for i, child in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node)
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise UsageError(f"{name}, line {line}: the name of a field must be a plain word.")
        key = key_node.value
        inner = (*path, key)
        if key in values:
            raise UsageError(f"{name}, line {line}: {'.'.join(inner)} is there twice (first in line {lines[inner]}).")
        lines[inner] = line
        values[key] = _build(loader, value_node, inner, lines, name)
    return values
