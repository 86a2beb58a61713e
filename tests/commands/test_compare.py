from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from temper.cli import temper
from temper.core.errors import UsageError

THIN = "{depth: 18, width: 0.125, neck_channels: 16, head_convs: 1, head_norm: level_batch, strides: [8, 16, 32]}"
RECIPE = f"""
name: tiny
data: {{synthetic: {{train: 10, val: 4}}}}
input: {{width: 64, height: 64}}
teacher: {THIN}
student: {THIN}
training: {{epochs: 1, batch_size: 4, workers: 0}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yml"
    path.write_text(RECIPE)
    return str(path)


def compare(recipe: str, *words: str) -> str:
    runs = str(Path(recipe).parent / "runs")
    done = CliRunner().invoke(temper, ["distill", "compare", recipe, "--runs", runs, *words], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--way", "cwd:distillation.cdw={}"], "no field 'cdw' in 'distillation'. Did you mean 'cwd'"),
        (["--way", "cwd"], "write it as NAME:FIELD=VALUE"),
        (["--way", "long:training.epochs=9"], "also changes the teacher and the student"),
        (["--set", "training.epochs=0"], "training.epochs is 0"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(recipe: str, words: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)):
        compare(recipe, *words)
    assert not (Path(recipe).parent / "runs").exists()


def test_a_table_and_its_path(recipe: str) -> None:
    pytest.importorskip("paddle", reason="training needs PaddlePaddle")
    told = compare(recipe, "--seeds", "1", "--set", "seed=5")
    page = Path(told.splitlines()[-1])
    assert page == Path(recipe).parent / "runs/tiny-compare/result.md"
    assert "1 of 1 seeds (5)" in page.read_text()
    assert "Student alone" in told and "MGD student" in told
    assert (page.parent / "seed-5/distilled/weights.safetensors").is_file()
