from __future__ import annotations

from pathlib import Path

import pytest
from temper.cli import main
from temper.distill.recipe_file import read_recipe, shipped_recipes


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_written_is_a_recipe_named_after_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "my steel.yml"]) == 0
    assert capsys.readouterr().out == "Wrote my steel.yml. Start it with: temper run 'my steel.yml'\n"
    assert read_recipe(Path("my steel.yml")).name == "my-steel"
    assert "temper run 'my steel.yml'" in Path("my steel.yml").read_text()


def test_without_a_name_it_is_recipe_yml() -> None:
    assert main(["init"]) == 0
    assert read_recipe(Path("recipe.yml")).name == "recipe"


@pytest.mark.parametrize(
    ("file", "name"),
    [("...yml", "steel"), ("-x.yml", "x"), ("ä ö.yml", "steel"), ("a\nb.yml", "a-b"), ("x" * 80, "x" * 61)],
)
def test_any_file_name_gives_a_name_a_run_may_have(file: str, name: str) -> None:
    assert main(["init", "--", file]) == 0
    assert read_recipe(Path(file)).name == name


def test_missing_folders_are_made() -> None:
    assert main(["init", "a/b/mine.yml"]) == 0
    assert Path("a/b/mine.yml").is_file()


@pytest.mark.parametrize("name", ["demo", "neu-det-cpu", "neu-det"])
def test_a_shipped_recipe_is_copied_as_it_is(name: str) -> None:
    assert main(["init", "mine.yml", "--from", name]) == 0
    assert Path("mine.yml").read_bytes() == shipped_recipes()[name].read_bytes()


def test_the_help_names_every_shipped_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "--help"])
    told = "".join(capsys.readouterr().out.split())  # names are broken over lines
    assert all(name in told for name in shipped_recipes())


def test_a_misspelt_recipe_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--from", "neu-dett"]) == 2
    assert capsys.readouterr().err == "Error: No recipe 'neu-dett' comes with Temper. Did you mean 'neu-det'?\n"
    assert not Path("recipe.yml").exists()


def test_a_file_is_replaced_only_with_force(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.yml").write_text("mine")
    assert main(["init", "mine.yml"]) == 2
    assert "mine.yml is there already. Name another file, or replace it with --force." in capsys.readouterr().err
    assert Path("mine.yml").read_text() == "mine"
    assert main(["init", "mine.yml", "--force"]) == 0
    assert read_recipe(Path("mine.yml")).name == "mine"


def test_a_folder_is_no_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(here)]) == 2
    assert "is a directory" in capsys.readouterr().err
