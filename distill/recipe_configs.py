"""The fields named ``config`` of a recipe: PaddleDetection's own YAML files in place of what they describe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.errors import UsageError
from .recipe_detectors import MODEL_SECTIONS


def follow_configs(values: dict[str, Any], place: Callable[[tuple[str, ...]], str]) -> list[str]:
    """Put what PaddleDetection's files say into the sections that name them; what a section says itself wins.

    Args:
        values: of a recipe, before they are checked; changed in place, so that no ``config`` is left.
        place: says where a field was written.

    Returns:
        A sentence for each file that cannot be followed.
    """
    named = {name: path for name in (*MODEL_SECTIONS, "distillation") if (path := _named(values, name)) is not None}
    if not named:
        return []
    from .paddledet.convert import Model, read_distillation, read_model, require_same_classes

    mistakes: list[str] = []
    models: dict[str, Model] = {}
    for name, path in named.items():
        try:
            if name == "distillation":
                found = read_distillation(Path(path))
            else:
                models[name] = read_model(Path(path))
                found = models[name].values
                _require_same_kind(name, path, values[name], found)
            values[name] = _joined(found, values[name])
        except UsageError as error:
            mistakes.append(f"{place((name, 'config'))}: {error}")
    if len(models) == len(MODEL_SECTIONS) and not mistakes:
        try:
            require_same_classes(models["student"], models["teacher"])
        except UsageError as error:
            mistakes.append(f"{place(('teacher', 'config'))}: {error}")
    return mistakes


def _named(values: dict[str, Any], name: str) -> str | None:
    section = values.get(name)
    path = section.get("config") if isinstance(section, dict) else None
    return path if isinstance(path, str) else None


def _require_same_kind(name: str, path: str, section: dict[str, Any], found: dict[str, Any]) -> None:
    kind = section.get("detector", found["detector"])
    if kind != found["detector"]:
        raise UsageError(
            f"{path} describes a {found['detector']}, and {name}.detector says {kind}. Leave one of them out."
        )


def _joined(found: dict[str, Any], section: dict[str, Any]) -> dict[str, Any]:
    own = {field: value for field, value in section.items() if field != "config"}
    both = {
        field: {**found[field], **own[field]}
        for field in found
        if isinstance(found[field], dict) and isinstance(own.get(field), dict)
    }
    return {**found, **own, **both}
