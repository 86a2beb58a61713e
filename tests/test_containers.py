"""The container recipes hold together with the package: nothing here builds one."""

from __future__ import annotations

import re
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted((ROOT / "containers").glob("*.Dockerfile"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def allowed() -> list[str]:
    """What ``.dockerignore`` lets into a build, after it has shut out everything."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


def test_a_build_gets_the_whole_package_and_its_pins() -> None:
    patterns = allowed()
    needed = {name.split(".")[1] for name in PROJECT["tool"]["setuptools"]["packages"] if "." in name}
    needed |= {"pyproject.toml", "requirements", "recipes", PROJECT["project"]["readme"], "py.typed"}
    needed |= {*PROJECT["project"]["license-files"], *(path.name for path in ROOT.glob("*.py"))}
    missing = [name for name in sorted(needed) if not any(fnmatch(name, pattern) for pattern in patterns)]
    assert missing == []
    for pattern in patterns:
        assert list(ROOT.glob(pattern)), f"{pattern} lets in nothing"


def test_a_build_gets_no_tests_and_no_runs() -> None:
    for name in (".git", ".venv", "runs", "tests", "docs", ".env"):
        assert not any(fnmatch(name, pattern) for pattern in allowed()), name


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_pins_are_those_of_the_images_python(recipe: Path) -> None:
    text = recipe.read_text()
    pins = set(re.findall(r"requirements/py(\d)(\d+)\.txt", text))
    pythons = set(re.findall(r"/lib/python(\d)\.(\d+)/", text))
    assert len(pins) == 1
    assert pins == pythons
    assert (ROOT / "requirements" / f"py{''.join(next(iter(pins)))}.txt").is_file()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_extras_exist(recipe: Path) -> None:
    (extras,) = re.findall(r'^ARG EXTRAS="(.*)"$', recipe.read_text(), re.MULTILINE)
    assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_base_images_have_a_tag_of_their_own_and_nobody_is_root(recipe: Path) -> None:
    lines = recipe.read_text().splitlines()
    (base,) = [line.removeprefix("ARG BASE=") for line in lines if line.startswith("ARG BASE=")]
    assert re.fullmatch(r"[\w./-]+:[\w.-]*\d{2,}[\w.-]*", base)
    assert {line.split()[1] for line in lines if line.startswith("FROM ")} == {"${BASE}"}
    (user,) = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert int(user) > 0
