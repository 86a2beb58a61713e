from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from paddledet_configs import write_configs
from temper.commands.init import init
from temper.core.errors import UsageError
from temper.distill.recipe_file import read_recipe


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    return write_configs(tmp_path / "configs")


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(init, list(map(str, arguments)))


def test_a_recipe_of_paddledetections_files(configs: Path, tmp_path: Path) -> None:
    file = tmp_path / "steel.yml"
    slim = configs / "slim/mgd.yml"
    done = invoke(file, "--from-paddledet", configs / "retinanet/r50.yml", "--slim", slim, "--data", "neu-det.zip")
    assert done.exit_code == 0, done.output
    assert "Note: num_classes is 6 there; here the classes are those of the data." in done.stderr
    recipe = read_recipe(file)
    assert (recipe.name, recipe.data.path) == ("steel", "neu-det.zip")
    assert (recipe.teacher.depth, recipe.student.depth) == (101, 50)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from", "demo", "--from-paddledet", "r50.yml"], "not both"),
        (["--slim", "mgd.yml"], "belong to --from-paddledet"),
        (["--data", "neu-det.zip"], "belong to --from-paddledet"),
        (["--from-paddledet", "none.yml"], r"none\.yml cannot be read"),
    ],
)
def test_options_that_do_not_go_together(options: list[str], message: str, tmp_path: Path) -> None:
    file = tmp_path / "steel.yml"
    done = invoke(file, *options)
    assert isinstance(done.exception, UsageError)
    with pytest.raises(UsageError, match=message):
        raise done.exception
    assert not file.exists()
