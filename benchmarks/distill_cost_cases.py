"""What ``distill_cost`` trains: a teacher, a student and a loss, in the words of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Names of the cases.
CASES = ("retinanet", "small")
#: The recipe that the small case is.
SMALL_RECIPE = "neu-det-cpu"


@dataclass(frozen=True)
class Case:
    """A teacher, a student and how it is trained, in the words of a recipe."""

    size: int
    channels: str
    teacher: Mapping[str, Any]
    student: Mapping[str, Any]
    training: Mapping[str, Any]
    mgd: Mapping[str, Any]


def case_named(name: str) -> Case:
    """The case of that name, one of :data:`CASES`; the small one is read from the recipe that users have."""
    if name == "small":
        return _of_recipe(SMALL_RECIPE)
    return Case(
        224,
        "rgb",
        {"depth": 101},
        {"depth": 50},
        {"batch_size": 2, "optimizer": "momentum", "learning_rate": 1e-4, "clip_norm": None},
        {"alpha": 2e-5, "alpha_form": "sum"},
    )


def _of_recipe(name: str) -> Case:
    from ..distill.recipe_file import read_recipe, shipped_recipes

    recipe = read_recipe(shipped_recipes()[name], environment={})
    if recipe.distillation.mgd is None or recipe.input.width != recipe.input.height:
        raise ValueError(f"{name} is no recipe for MGD on square pictures")
    teacher, student = (one.model_dump(mode="json") for one in (recipe.teacher, recipe.student))
    training = recipe.training_of(recipe.student).model_dump(mode="json")
    mgd = recipe.distillation.mgd.model_dump(mode="json")
    return Case(recipe.input.width, recipe.input.channels, teacher, student, training, mgd)
