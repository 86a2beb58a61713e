from __future__ import annotations

import re
from typing import Any

import pytest
from temper.core.errors import UsageError
from temper.distill.recipe import Recipe
from temper.flow.keys import Sources
from temper.flow.sweep.space import Choices, Range, check_space, parse_space, with_values

BASE: dict[str, Any] = {
    "name": "steel",
    "data": {"synthetic": {}},
    "teacher": {"depth": 34, "weights": "teacher.pdparams"},
    "student": {"depth": 18},
}


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.model_validate(BASE)


def test_a_range_and_choices_are_read() -> None:
    alpha, ratio, epochs, norm, strides = parse_space(
        ["distillation.mgd.alpha=1e-2:10:log", "distillation.mgd.mask_ratio=0:1", "student.training.epochs=2:8"],
        ["student.head_norm=group,level_batch", "student.strides=[8, 16, 32],[8, 16, 32, 64]"],
    )
    assert isinstance(alpha, Range) and (alpha.low, alpha.high, alpha.log, alpha.step) == (0.01, 10, True, None)
    assert isinstance(ratio, Range) and not ratio.log
    assert isinstance(epochs, Range) and (epochs.low, epochs.high, epochs.step) == (2, 8, 1)
    assert isinstance(norm, Choices) and norm.values == ("group", "level_batch")
    assert isinstance(strides, Choices) and strides.values == ([8, 16, 32], [8, 16, 32, 64])
    assert str(alpha) == "0.01 to 10, by order of magnitude"


@pytest.mark.parametrize(
    ("ranges", "choices", "words"),
    [
        ([], [], "needs a field to vary"),
        (["distillation.mgd.alpha"], [], "write it as field=low:high"),
        (["distillation.mgd.alpha=1"], [], "write it as field=low:high"),
        (["distillation.mgd.alpha=1:2:3"], [], "write it as field=low:high"),
        (["distillation.mgd.alpha=a:2"], [], "both ends must be numbers"),
        (["distillation.mgd.alpha=2:1"], [], "low end 2 is not below the high end 1"),
        (["distillation.mgd.mask_ratio=0:1:log"], [], "must begin above 0"),
        (
            ["distillation.mgd.alhpa=1:2"],
            [],
            "no field 'distillation.mgd.alhpa'. Did you mean 'distillation.mgd.alpha'",
        ),
        (["distillation.mdg.alpha=1:2"], [], "Did you mean 'distillation.mgd.alpha'"),
        (["alpha=1:2"], [], "Did you mean 'distillation.mgd.alpha'"),
        (["distillation.mgd.foo=1:2"], [], "distillation.mgd has mask_ratio, alpha, alpha_form"),
        (["foo=1:2"], [], "A recipe has name, seed"),
        (["training.optimizer=1:2"], [], "takes adamw or momentum, which has no range"),
        (["student.depth=18:50"], [], "takes 18, 34, 50, 101 or 152, which has no range"),
        (["student.training.epochs=1.5:3"], [], "takes a whole number from 0 to 10000"),
        (["input.width=64:100"], [], "a multiple of 32 apart"),
        ([], ["distillation.inherit=true"], "between two values or more"),
        ([], ["distillation.inherit=true,true"], "there twice"),
        (["distillation.mgd.alpha=1:2"], ["distillation.mgd.alpha=1,2"], "varies the same field"),
        (["distillation.mgd.alpha=1:2"], ["distillation.mgd=null,{}"], "varies the same field"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(ranges: list[str], choices: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as told:
        parse_space(ranges, choices)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("ranges", "choices", "model", "words"),
    [
        (["distillation.mgd.mask_ratio=0.2:1.5"], [], "distilled", "mask_ratio is 1.5; it takes a number from 0 to 1"),
        ([], ["training.optimizer=adamw,sgd"], "distilled", "training.optimizer is 'sgd'; it takes adamw or momentum"),
        (["training.learning_rate=1e-4:1e-2"], [], "distilled", "Vary student.training.learning_rate instead"),
        (["input.width=64:128"], [], "distilled", "also changes the teacher, which is made once"),
        (["data.synthetic.train=64:128"], [], "teacher", "also changes the data, which is made once"),
        (["export.nms_iou=0.1:0.5"], [], "distilled", "changes nothing about the training"),
        (["training.workers=0:4"], [], "student", "changes nothing about the training"),
        (["distillation.mgd.alpha=1:2"], [], "student", "changes nothing about the training of the student"),
        ([], ["teacher.weights=a.pdparams,b.pdparams"], "teacher", "names a file"),
    ],
)
def test_what_the_model_cannot_vary_is_refused(
    recipe: Recipe, ranges: list[str], choices: list[str], model: str, words: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as told:
        check_space(recipe, parse_space(ranges, choices), model, Sources())
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("field", "model"),
    [
        ("distillation.mgd.alpha=0.1:10:log", "distilled"),
        ("student.training.learning_rate=1e-4:1e-2:log", "distilled"),
        ("training.learning_rate=1e-4:1e-2:log", "student"),
        ("training.weight_decay=0:0.1", "teacher"),
    ],
)
def test_what_only_the_model_reads_is_fine(recipe: Recipe, field: str, model: str) -> None:
    check_space(recipe, parse_space([field], []), model, Sources())


def test_values_go_into_a_recipe_and_what_is_no_recipe_does_not(recipe: Recipe) -> None:
    changed = with_values(
        recipe, {("distillation", "mgd", "alpha"): 3.0, ("student", "training", "epochs"): 5}, "trial 1"
    )
    assert changed.distillation.mgd is not None
    assert changed.distillation.mgd.alpha == 3.0
    assert changed.training_of(changed.student).epochs == 5
    assert changed.training_of(changed.teacher).epochs == recipe.training.epochs
    with pytest.raises(UsageError, match="trial 2: distillation.mgd.alpha is -1"):
        with_values(recipe, {("distillation", "mgd", "alpha"): -1}, "trial 2")


def test_a_value_outside_has_no_parameter() -> None:
    alpha, epochs, inherit = parse_space(
        ["distillation.mgd.alpha=0.1:10:log", "student.training.epochs=2:8"], ["distillation.inherit=true,false"]
    )
    assert alpha.parameter(0.5) == 0.5
    assert alpha.parameter(2e-5) is None
    assert epochs.parameter(3) == 3
    assert epochs.parameter(None) is None
    assert inherit.parameter(True) == "true"
    assert inherit.parameter(None) is None
