from __future__ import annotations

from pathlib import Path

import pytest
from temper.commands.options import with_cache
from temper.distill.recipe_file import read_recipe, shipped_recipes


@pytest.mark.parametrize("place", ["features", "a folder/b: c", 'quote"d', "ünicode # not a comment"])
def test_cache_is_a_field_of_the_recipe_whatever_the_path(place: str) -> None:
    recipe = read_recipe(shipped_recipes()["demo"], with_cache(("training.epochs=2",), Path(place)))
    assert recipe.distillation.cache == place and recipe.training.epochs == 2


def test_without_the_option_the_recipe_says_where() -> None:
    assert with_cache(("training.epochs=2",), None) == ("training.epochs=2",)
