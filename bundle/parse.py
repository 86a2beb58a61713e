"""A manifest from the bytes of its file, of which nothing is believed: bounded, plain, and checked field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..core.errors import TemperError
from .manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, SCHEMA_VERSION, Manifest, with_checksum

#: Values in values in values: a recipe has no more than a handful.
MAX_DEPTH = 32


def parse_manifest(content: bytes, source: Path) -> Manifest:
    """A manifest from the bytes of its file.

    Raises:
        TemperError: naming the first field that does not fit.
    """
    if len(content) > MAX_MANIFEST_BYTES:
        raise TemperError(
            f"The manifest of {source} has {len(content):,} bytes; at most {MAX_MANIFEST_BYTES:,} are read."
        )
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise TemperError(
            f"The manifest of {source} is not readable JSON ({error}). Copy or export the bundle again."
        ) from error
    if not isinstance(value, dict) or "schema_version" not in value:
        raise TemperError(f"{source} is not a Temper bundle: its {MANIFEST_NAME} has no field 'schema_version'.")
    version = value["schema_version"]
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise TemperError(
            f"The bundle {source} has schema version {_short(version)} and this Temper reads {SCHEMA_VERSION}. "
            "Export it again with this Temper, or install the Temper it was made with."
        )
    _require_plain(value, source)
    try:
        return Manifest.model_validate(value, strict=True)
    except ValidationError as error:
        raise TemperError(f"The manifest of {source} does not fit: {_first_fault(error)}.") from error


def is_as_written(manifest: Manifest, content: bytes) -> bool:
    """Whether a manifest's checksum is that of the bytes it was read from."""
    try:
        return manifest.checksum == with_checksum(json.loads(content))["checksum"]
    except ValueError:  # texts that are no UTF-8, numbers without end
        return False


def _require_plain(value: Any, source: Path) -> None:
    """Refuse what is JSON and yet cannot be printed or written again: texts that are no Unicode, values nested deep."""
    level = [value]
    for _ in range(MAX_DEPTH):
        texts = [one for one in level if isinstance(one, str)]
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                texts += one
                below += one.values()
            elif isinstance(one, list):
                below += one
        try:
            "".join(texts).encode("utf-8")
        except UnicodeEncodeError as error:
            raise TemperError(f"The manifest of {source} holds a text that is not Unicode.") from error
        level = below
        if not level:
            return
    raise TemperError(f"The manifest of {source} is nested deeper than {MAX_DEPTH} levels.")


def _first_fault(error: ValidationError) -> str:
    """One readable clause of what pydantic found."""
    faults = error.errors(include_url=False, include_context=False)
    fault = faults[0]
    place = ".".join(str(part) for part in fault["loc"])
    others = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    if fault["type"] == "extra_forbidden":
        return f"field '{place}' is unknown to this Temper{others}"
    if fault["type"] == "missing":
        return f"field '{place}' is missing{others}"
    message = fault["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if not place:
        return f"{message}{others}"
    return f"field '{place}' has the value {_short(fault['input'])}: {message}{others}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {_short(twice)} stands twice in one object")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")
