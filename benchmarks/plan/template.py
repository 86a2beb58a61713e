"""A commented ``plan.yml`` of a recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...core.errors import UsageError
from ...core.files import write_text
from ...core.settings.fields import accepted_values
from ...core.settings.yaml_text import parse_value
from .recipe import REQUIRED, PlanRecipe

#: Fields of which it has to be said what they take, beside what they are.
_TOLD = ("link",)
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
        takes = f" ({accepted_values(PlanRecipe, (name,))})" if name in _TOLD else ""
        lines.append(f"# {field.description}{takes}")
        lines.append(f"{'' if stands else '# '}{name}: {_yaml(value)}")
    return "\n".join(lines) + "\n"


def _yaml(value: Any) -> str:
    if isinstance(value, str) and parse_plain(value) == value:
        return value
    # JSON is YAML, whatever signs are in a path
    return json.dumps(value, ensure_ascii=False)


def parse_plain(text: str) -> Any:
    """What a text is in YAML without quotes; None where it is nothing there."""
    try:
        return parse_value(text, "").values
    except UsageError:
        return None
