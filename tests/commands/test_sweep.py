from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from temper.cli import temper
from temper.core.errors import UsageError

RECIPE = """
name: tiny
data: {synthetic: {}}
teacher: {depth: 34}
student: {depth: 18}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yml"
    path.write_text(RECIPE)
    return str(path)


def sweep(recipe: str, *words: str, runs: Path | None = None) -> str:
    options = [] if runs is None else ["--runs", str(runs)]
    done = CliRunner().invoke(temper, ["distill", "sweep", recipe, *words, *options], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--set-range", "distillation.mgd.alhpa=1:2"], "Did you mean 'distillation.mgd.alpha'"),
        (["--set-range", "distillation.mgd.mask_ratio=0.1:2"], "takes a number from 0 to 1"),
        (["--choices", "training.schedule=cosine,linear"], "takes cosine, step or constant"),
        ([], "needs a field to vary"),
        (["--set", "training.epochs=0", "--choices", "distillation.inherit=true,false"], "training.epochs is 0"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(recipe: str, tmp_path: Path, words: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        sweep(recipe, *words, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no recipe .*none\.yml"):
        sweep(str(tmp_path / "none.yml"), "--set-range", "distillation.mgd.alpha=1:2")
