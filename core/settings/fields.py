"""What every field of a file of settings takes, in words; and pydantic's complaints as sentences.

A section can be one of several kinds, told apart by one of its fields (``detector``). A path may then name the kind
after the section, as pydantic's own do: ``teacher, picodet, size``; else the first kind that has the field counts.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from ..errors import nearest
from ..passwords import address_shown

FieldPath = tuple[str, ...]
#: A value quoted in a message is cut to this many characters.
_LONGEST_VALUE = 60


def dotted(path: FieldPath) -> str:
    """A field's path as users write it: ``training.epochs``."""
    return ".".join(path)


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _resolve(model: type[BaseModel], entry: Mapping[str, Any]) -> dict[str, Any]:
    """The schema entry behind a reference, an optional value or both; what stands beside the reference wins."""
    merged = dict(entry)
    while True:
        if "$ref" in merged:
            target = _schema(model)["$defs"][merged.pop("$ref").rsplit("/", 1)[1]]
            merged = {**target, **merged}
        elif "anyOf" in merged:
            every = merged.pop("anyOf")
            options = [option for option in every if option.get("type") != "null"]
            merged = {**options[0], **merged, **({"nullable": True} if len(options) < len(every) else {})}
        else:
            return {"type": "object", **merged} if "oneOf" in merged else merged


def _kinds(model: type[BaseModel], entry: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The kinds of a section by their name; empty where there is but one."""
    kinds = [_resolve(model, option) for option in entry.get("oneOf", ())]
    return {kind["properties"][_telling_field(kind)]["const"]: kind for kind in kinds}


def _telling_field(kind: Mapping[str, Any]) -> str:
    """The field that says which kind a section is: it takes a single value."""
    return next(name for name, entry in kind["properties"].items() if "const" in entry)


def as_written(model: type[BaseModel], path: FieldPath) -> FieldPath:
    """A path as it stands in a file: without the names of kinds."""
    return tuple(
        part for depth, part in enumerate(path) if part not in _kinds(model, field_schema(model, path[:depth]) or {})
    )


def field_schema(model: type[BaseModel], path: FieldPath) -> dict[str, Any] | None:
    """The JSON schema entry of a field or section, None if there is none of that name."""
    entry = _resolve(model, _schema(model))
    kinds: dict[str, dict[str, Any]] = {}
    for part in path:
        if "oneOf" in entry:
            kinds = _kinds(model, entry)
            entry = kinds.get(part) or next((one for one in kinds.values() if part in one["properties"]), {})
            if part in kinds:
                continue
        if part in entry.get("properties", {}):
            entry = _resolve(model, entry["properties"][part])
            if "const" in entry and kinds:
                entry = {**{name: value for name, value in entry.items() if name != "const"}, "enum": list(kinds)}
        elif part.isdigit() and entry.get("type") == "array":
            prefix = entry.get("prefixItems", [])
            inner = prefix[int(part)] if int(part) < len(prefix) else entry.get("items", {})
            entry = _resolve(model, inner)
        elif isinstance(entry.get("additionalProperties"), dict):
            entry = _resolve(model, entry["additionalProperties"])
        elif entry.get("patternProperties"):
            entry = _resolve(model, next(iter(entry["patternProperties"].values())))
        else:
            return None
    return entry


def section_fields(model: type[BaseModel], path: FieldPath) -> list[str]:
    """The names of the fields of a section, in their order, of all its kinds; empty if it is not a section."""
    entry = field_schema(model, path) or {}
    kinds = _kinds(model, entry).values() or [entry]
    return list(dict.fromkeys(name for kind in kinds for name in kind.get("properties", {})))


def walk_fields(model: type[BaseModel], path: FieldPath = ()) -> Iterator[FieldPath]:
    """Every field's path, sections before what is in them."""
    for name in section_fields(model, path):
        yield (*path, name)
        yield from walk_fields(model, (*path, name))


def accepted_values(model: type[BaseModel], path: FieldPath) -> str:
    """What a field takes: ``a whole number from 1 to 10000``; empty for an unknown one."""
    entry = field_schema(model, path)
    return _in_words(model, entry) if entry else ""


def _in_words(model: type[BaseModel], entry: Mapping[str, Any]) -> str:
    words = _without_null(model, entry)
    return f"{words}, or null" if entry.get("nullable") and words else words


def _without_null(model: type[BaseModel], entry: Mapping[str, Any]) -> str:
    if "takes" in entry:
        return str(entry["takes"])
    if "const" in entry:
        return str(entry["const"])
    if "enum" in entry:
        return _or(entry["enum"])
    if kinds := _kinds(model, entry):
        return f"a section with {_telling_field(next(iter(kinds.values())))} ({_or(kinds)}) and the fields of that kind"
    kind = entry.get("type")
    if kind == "array":
        return _list_in_words(model, entry)
    if kind == "object":
        named = entry.get("additionalProperties")
        if "properties" not in entry and isinstance(named, dict):
            return f"a section of names, each with {_in_words(model, _resolve(model, named))}"
        return f"a section with {', '.join(entry.get('properties', {}))}"
    names = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}
    if kind in names:
        return names[kind] + _limits(entry)
    if kind == "string" and "pattern" in entry:
        return "letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 61"
    return "a text" if kind == "string" else ""


def _or(values: Iterable[Any]) -> str:
    texts = [str(value) for value in values]
    return " or ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else texts[0]


def _list_in_words(model: type[BaseModel], entry: Mapping[str, Any]) -> str:
    prefix = entry.get("prefixItems")
    inner = _in_words(model, _resolve(model, prefix[0] if prefix else entry.get("items", {})))
    if prefix:
        return f"a list of {len(prefix)}, each {inner}"
    return f"a list{' of one or more' if entry.get('minItems') else ''}, each {inner}"


def _limits(entry: Mapping[str, Any]) -> str:
    multiple = f", a multiple of {entry['multipleOf']}" if "multipleOf" in entry else ""
    low, high = entry.get("minimum"), entry.get("maximum")
    above, below = entry.get("exclusiveMinimum"), entry.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {low:.10g} to {high:.10g}{multiple}"
    parts = [
        f"{word} {value:.10g}"
        for word, value in (("from", low), ("above", above), ("at most", high), ("below", below))
        if value is not None
    ]
    return (f" {' and '.join(parts)}" if parts else "") + multiple


def explain_mistake(model: type[BaseModel], mistake: Mapping[str, Any], place: Callable[[FieldPath], str]) -> str:
    """One sentence for one of pydantic's error entries.

    Args:
        model: what was validated.
        mistake: an entry of ``ValidationError.errors()``.
        place: says where a field was written, by its path.
    """
    path = tuple(str(part) for part in mistake["loc"])
    written = as_written(model, path)
    kind, value = mistake["type"], mistake.get("input")
    if path[-1:] == ("[key]",):
        return (
            f"{place(path[:-1])}: '{path[-2]}' cannot be a name in '{dotted(path[:-2])}'; it takes small letters, "
            "digits and '-'."
        )
    if kind == "extra_forbidden":
        section = f" in '{dotted(written[:-1])}'{_of_kind(path, written)}" if written[:-1] else ""
        return f"{place(written)}: there is no field '{path[-1]}'{section}.{_suggest(model, path)}"
    if kind in ("union_tag_invalid", "union_tag_not_found") and isinstance(value, dict):
        telling = _telling_field(next(iter(_kinds(model, field_schema(model, path) or {}).values())))
        return _wrong_value(model, (*path, telling), value.get(telling), place)
    if kind == "missing":
        # a list that is too short is told at the list
        if path[-1].isdigit():
            return _wrong_value(model, path[:-1], value, place)
        words = accepted_values(model, path)
        return f"{place(written[:-1])}: {dotted(written)} is missing; it takes {words}."
    if kind == "value_error":
        told = "" if isinstance(value, dict) else f" is {shown(path, value)}"
        name = f"{dotted(written)}{told}{';' if told else ':'} " if written else ""
        return f"{place(written)}: {name}{mistake['ctx']['error']}."
    return _wrong_value(model, path, value, place)


def _wrong_value(model: type[BaseModel], path: FieldPath, value: Any, place: Callable[[FieldPath], str]) -> str:
    words = accepted_values(model, path)
    written = as_written(model, path)
    hint = ""
    entry = field_schema(model, path)
    if isinstance(value, str) and entry and "enum" in entry:
        close = difflib.get_close_matches(value, [str(v) for v in entry["enum"]], n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
    elif entry and entry.get("type") == "string" and not isinstance(value, str | dict | list | None):
        hint = " Put it in quotes."
    return f"{place(written)}: {dotted(written)} is {shown(path, value)}; it takes {words}.{hint}"


def is_address(path: FieldPath, value: str) -> bool:
    """Whether a field's value is an address, or should be one: users put passwords in these."""
    return "://" in value or path[-1:] in (("url",), ("host",))


def shown(path: FieldPath, value: Any) -> str:
    """A field's value as messages quote it: short, in one line, and of an address what is no secret."""
    if value is None:
        return "empty"
    if isinstance(value, str) and is_address(path, value):
        value = address_shown(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a section"
    text = f"'{value}'" if isinstance(value, str) else str(list(value) if isinstance(value, tuple) else value)
    if not isinstance(value, str) and "://" in text:
        return "a list"
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _of_kind(path: FieldPath, written: FieldPath) -> str:
    """Which kind of section it is that does not know a field, where there are several."""
    return f", which is a {path[-2]}" if path[-2] != written[-2] else ""


def _suggest(model: type[BaseModel], path: FieldPath) -> str:
    """The nearest right name: among the section's own fields, else the kind or the section that has this one."""
    siblings = section_fields(model, path[:-1])
    if difflib.get_close_matches(path[-1], siblings, n=1, cutoff=0.6):
        return nearest(path[-1], siblings)
    others = [
        name
        for name, kind in _kinds(model, field_schema(model, path[:-2]) or {}).items()
        if path[-1] in kind["properties"]
    ]
    if others:
        return f" It belongs to {_or(others)}."
    elsewhere = [known for known in walk_fields(model) if known[-1] == path[-1]]
    if elsewhere:
        return f" Did you mean '{dotted(min(elsewhere, key=len))}'?"
    return nearest(path[-1], siblings)
