from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from temper.core.settings.fields import field_schema, walk_fields
from temper.core.settings.yaml_text import parse_yaml
from temper.distill.recipe import Recipe
from temper.distill.recipe_detectors import RetinaNetSection
from temper.distill.recipe_file import read_recipe, shipped_recipes
from temper.distill.recipe_template import starter_recipe, write_recipe


@pytest.mark.parametrize("name", ["starter", "demo", "neu-det-cpu", "neu-det"])
def test_what_is_written_reads_back_as_the_same_recipe(tmp_path: Path, name: str) -> None:
    recipe = starter_recipe("mine") if name == "starter" else read_recipe(shipped_recipes()[name], environment={})
    (tmp_path / "r.yml").write_text(write_recipe(recipe, "r.yml"), encoding="utf-8")
    assert read_recipe(tmp_path / "r.yml", environment={}) == recipe


def test_every_field_stands_in_it_with_a_comment() -> None:
    text = write_recipe(starter_recipe("mine"), "mine.yml")
    assert "temper run mine.yml" in text
    rows = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [row for row in rows if not re.match(r" *\w+:.* # [\w'.]", row)] == []
    written = yaml.safe_load(text)
    for path in walk_fields(Recipe):
        around = written
        for part in path[:-1]:
            around = around[part]
            if around is None:  # a section that is left out says in its comment what it takes
                break
        # of a model only the fields of its own kind
        of_a_model = len(path) == 2 and path[0] in ("teacher", "student")
        assert of_a_model or around is None or path[-1] in around, path
    for model in ("teacher", "student"):
        assert set(written[model]) == set(RetinaNetSection.model_fields)


def test_other_readers_of_yaml_see_the_same_numbers() -> None:
    """Some read 2e-05 as a text; so it is written with a point."""
    recipe = starter_recipe("mine").model_copy(deep=True)
    small = recipe.training.model_copy(update={"learning_rate": 2e-5, "weight_decay": 1.5e-7})
    text = write_recipe(recipe.model_copy(update={"training": small}), "r.yml")
    read = yaml.safe_load(text)["training"]
    assert (read["learning_rate"], read["weight_decay"]) == (2e-5, 1.5e-7)


@given(st.text(min_size=1, max_size=30).filter(str.isprintable))
def test_any_path_survives_being_written(path: str) -> None:
    recipe = starter_recipe("mine")
    data = recipe.data.model_copy(update={"synthetic": None, "path": path})
    text = write_recipe(recipe.model_copy(update={"data": data}), "r.yml")
    assert parse_yaml(text, "r.yml").values["data"]["path"] == path


def test_a_section_that_is_null_at_first_can_be_written_too(tmp_path: Path) -> None:
    recipe = starter_recipe("mine")
    (tmp_path / "r.yml").write_text(write_recipe(recipe, "r.yml"), encoding="utf-8")
    given = [
        f"{'.'.join(path)}={{}}"
        for path in walk_fields(Recipe)
        if (entry := field_schema(Recipe, path) or {}).get("nullable")
        and entry.get("type") == "object"
        and path != ("data", "synthetic")
    ]
    assert given
    full = read_recipe(tmp_path / "r.yml", given)
    (tmp_path / "full.yml").write_text(write_recipe(full, "full.yml"), encoding="utf-8")
    assert read_recipe(tmp_path / "full.yml") == full != recipe
