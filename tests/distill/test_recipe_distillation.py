from __future__ import annotations

import re

import pytest
from temper.core.errors import UsageError
from temper.distill.recipe import Recipe, to_plain
from temper.distill.recipe_distillation import CwdSection, DistillationSection, FgdSection
from temper.distill.recipe_file import read_recipe, recipe_from_plain
from temper.distill.recipe_template import starter_recipe, write_recipe


def recipe(distillation: dict, **models: dict) -> Recipe:
    return recipe_from_plain(
        {"name": "a", "data": {"synthetic": {}}, "teacher": {}, "student": {}, **models, "distillation": distillation},
        "r.yml",
    )


def test_a_loss_is_on_with_its_defaults_or_off():
    section = recipe({"cwd": {}, "fgd": {"form": "sum"}}).distillation
    assert list(section.losses()) == ["mgd", "cwd", "fgd"]
    assert section.cwd == CwdSection()
    assert list(recipe({"mgd": None, "response": {}}).distillation.losses()) == ["response"]


def test_none_at_all_is_one_sentence_that_names_them():
    with pytest.raises(
        UsageError, match="every distillation loss is null; give one of mgd, mgd_backbone, cwd, fgd, response"
    ):
        recipe({"mgd": None})


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"mgd": {"mask_focus": 1.5}}, r"distillation.mgd.mask_focus is 1.5; it takes a number from -1 to 1"),
        ({"cwd": {"temperature": 0}}, r"distillation.cwd.temperature is 0; it takes a number above 0"),
        ({"fgd": {"from": "sum"}}, r"there is no field 'from' in 'distillation.fgd'.* Did you mean 'form'"),
        ({"response": {"min_score": 2}}, r"distillation.response.min_score is 2; it takes a number from 0 to 1"),
    ],
)
def test_wrong_values_say_what_is_taken(fields, complaint):
    with pytest.raises(UsageError, match=complaint):
        recipe(fields)


def test_heads_at_other_places_are_known_before_anything_is_trained():
    same = {"response": {}}
    recipe(same, teacher={"depth": 101, "head_convs": 4}, student={"depth": 18, "neck_channels": 96, "head_convs": 1})
    with pytest.raises(UsageError, match=r"the same strides, and these are \[8, 16, 32, 64, 128\] and \[8, 16, 32\];"):
        recipe(same, student={"strides": [8, 16, 32]})
    with pytest.raises(UsageError, match=r"the same anchor_scale, and these are 2.0 and 4.0; make them the same"):
        recipe(same, teacher={"anchor_scale": 2})


def test_template_names_every_loss_and_reads_back(tmp_path):
    text = write_recipe(starter_recipe("mine"), "mine.yml")
    for name in DistillationSection.model_fields:
        assert f"\n  {name}: " in text
    assert "cwd: null # Channel-wise Distillation (arXiv 2011.13256); {} switches it on, null off" in text
    path = tmp_path / "mine.yml"
    path.write_text(text)
    assert read_recipe(path) == starter_recipe("mine")
    # the words in the comment work
    found = read_recipe(path, ["distillation.cwd={}", "distillation.fgd.form=sum"])
    assert found.distillation.cwd == CwdSection() and found.distillation.fgd == FgdSection(form="sum")
    path.write_text(write_recipe(found, "mine.yml"))
    assert to_plain(read_recipe(path)) == to_plain(found)


def test_the_reference_has_every_loss_with_its_fields_and_defaults(root):
    text = (root / "docs/reference/distillation.md").read_text()
    parts = dict(re.findall(r"^## [^\n]*: `(\w+)`\n(.*?)(?=^## )", text, re.M | re.S))
    assert set(parts) == set(DistillationSection.model_fields) - {
        "config",
        "inherit",
        "features",
        "cache",
        "unlabelled_ratio",
    }
    losses = {name: {} for name in parts}
    for name, section in DistillationSection.model_validate(losses).losses().items():
        rows = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]*?)`? \|", parts[name], re.M))
        defaults = dict(section)
        if name == "fgd":
            weights = zip(("foreground", "background", "attention", "relation"), section.weights(), strict=True)
            defaults |= dict(weights)
        if name != "mgd_backbone":  # has the fields of mgd
            assert set(rows) == set(defaults)
        for field, shown in rows.items():
            value = defaults[field]
            assert (float(shown) == value) if isinstance(value, float) else (shown == (value or "null")), field
