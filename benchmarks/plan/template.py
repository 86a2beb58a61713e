"""A commented ``plan.yml`` of a recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...core.errors import UsageError
from ...core.files import write_text
from ...core.settings.fields import accepted_values
from .recipe import REQUIRED, PlanRecipe

_HEAD = """\
# A plan: which hardware keeps up with this line.
#   temper plan {file}
# Run it again when a new measurement arrives; add its folder to 'measured'. Options of the command win over this file.
# What is commented out shows its default. docs/reference/planning.md has the arithmetic.
"""


def write_recipe(recipe: PlanRecipe, path: Path) -> None:
    """Write a recipe with a comment for every field.

    Raises:
        UsageError: if the file is there already.
    """
    if path.exists():
        raise UsageError(f"{path} is there already and is not replaced; give another name to --write.")
    write_text(path, recipe_text(recipe, path.name))


def recipe_text(recipe: PlanRecipe, file: str) -> str:
    """The text of :func:`write_recipe`."""
    lines = [_HEAD.format(file=file)]
    for name, field in PlanRecipe.model_fields.items():
        value = getattr(recipe, name)
        stands = name in REQUIRED or value != field.default
        lines.append(f"# {field.description}: {accepted_values(PlanRecipe, (name,))}" if _worth(name) else f"# {field.description}")
        lines.append(f"{'' if stands else '# '}{name}: {_yaml(value)}")
    return "\n".join(lines) + "\n"


def _worth(name: str) -> bool:
    """Whether what a field takes has to be said beside what it is."""
    return name in ("scan", "link", "sensor")


def _yaml(value: Any) -> str:
    # JSON is YAML, whatever signs are in a path
    if isinstance(value, str) and value and all(c.isalnum() or c in "./_-%= " for c in value) and not value[0].isspace():
        return value if value[0].isalnum() and not value.replace(".", "").isdigit() else json.dumps(value)
    return json.dumps(value, ensure_ascii=False)
