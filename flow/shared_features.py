"""One place for the teacher's features, where several trainings learn from one teacher.

A training by itself keeps them in its own folder and removes them at its end; then the next would compute them anew.
"""

from __future__ import annotations

from pathlib import Path

from ..core.files import remove_tree
from ..distill.recipe import Recipe

#: Inside the folder of a comparison or a sweep, while it is at work.
FEATURES_NAME = "features"


def share_features(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the teacher's features below ``folder``; as it is where it names a place of its own."""
    section = recipe.distillation
    if section.cache is not None:
        return recipe
    shared = section.model_copy(update={"cache": str(folder / FEATURES_NAME)})
    return recipe.model_copy(update={"distillation": shared})


def remove_shared_features(folder: Path) -> None:
    """Remove the shared place; a recipe's own ``distillation.cache`` is never below it."""
    remove_tree(folder / FEATURES_NAME)
