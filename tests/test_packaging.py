"""What lands in site-packages, what a device needs for it, and that the README speaks of what is there."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from temper.detection.dataset import save_split
from tiny_bundle import LABELS, make_tiny_bundle
from toy_data import toy_data

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKED = sorted((ROOT / "requirements").glob("py3*.txt"))
# the parts of distill/ that need no Paddle; export/ needs the `distill` extra throughout
BASE_OF_DISTILL = ("temper.distill.data", "temper.distill.synthetic", "temper.distill.recipe")
NOT_IMPORTED_HERE = ("temper.distill.", "temper.export.", "temper.__main__")


def package_folders() -> list[Path]:
    """The folders of the tree that are packages, but for the root."""
    found = (path.parent for path in ROOT.glob("*/**/__init__.py"))
    outside = {"tests", ".venv", "build", "runs"}
    return sorted(folder for folder in found if folder.relative_to(ROOT).parts[0] not in outside)


def dotted(folder: Path) -> str:
    return ".".join(("temper", *folder.relative_to(ROOT).parts))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that no build folder is left in the checkout."""
    source = tmp_path_factory.mktemp("source")
    for path in [*ROOT.glob("*.py"), *(ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE", "py.typed"))]:
        shutil.copy(path, source)
    for top in ["recipes", *{folder.relative_to(ROOT).parts[0] for folder in package_folders()}]:
        shutil.copytree(ROOT / top, source / top, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("wheel")
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(target)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return next(target.glob("*.whl"))


@pytest.fixture(scope="module")
def contents(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def closure(names: list[str]) -> Iterator[metadata.Distribution]:
    """The installed distributions that these need, and what those need, as pip would take them."""
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        distribution = metadata.distribution(name)
        assert requirement.specifier.contains(distribution.version, prereleases=True), requirement
        yield distribution
        waiting.extend(distribution.requires or [])


@pytest.fixture(scope="module")
def device(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel and its base dependencies, and nothing else."""
    folder = tmp_path_factory.mktemp("device")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel)], check=True, timeout=120)
    site_packages = next((folder / "lib").glob("python3*")) / "site-packages"
    for distribution in closure(PROJECT["project"]["dependencies"]):
        for top in {Path(file).parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
            link = site_packages / top
            if not link.exists():
                link.symlink_to(Path(str(distribution.locate_file(top))))
    return python


def on_device(device: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(device), *command], cwd=device.parent, capture_output=True, text=True, timeout=120)


def test_the_package_list_is_the_tree() -> None:
    assert PROJECT["tool"]["setuptools"]["packages"] == ["temper", *(dotted(folder) for folder in package_folders())]


def test_every_folder_with_code_is_a_package() -> None:
    tops = {folder.relative_to(ROOT).parts[0] for folder in package_folders()}
    with_code = {path.parent for top in tops for path in (ROOT / top).rglob("*.py")}
    assert with_code == set(package_folders())


def test_the_wheel_holds_temper_alone(contents: list[str]) -> None:
    tops = {name.split("/")[0] for name in contents}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"temper"}
    assert not [name for name in contents if name.startswith(("temper/tests", "temper/scripts", "temper/docs"))]


def test_the_wheel_holds_everything(contents: list[str]) -> None:
    wanted = {f"temper/{path.name}" for path in ROOT.glob("*.py")} | {"temper/py.typed"}
    wanted |= {f"temper/recipes/{path.name}" for path in (ROOT / "recipes").glob("*.yml")}
    for folder in package_folders():
        wanted |= {f"temper/{path.relative_to(ROOT).as_posix()}" for path in folder.glob("*.py")}
    for templates in (ROOT / "benchmarks" / "report" / "templates", ROOT / "deploy" / "results" / "templates"):
        wanted |= {f"temper/{path.relative_to(ROOT).as_posix()}" for path in templates.glob("*") if path.is_file()}
    wanted |= {"temper/benchmarks/devices/devices.yml", "temper/benchmarks/estimate/calibration.json"}
    assert {name for name in contents if name.startswith("temper/")} == wanted


def test_the_wheel_says_what_it_is(wheel: Path, contents: list[str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(next(name for name in contents if name.endswith(".dist-info/METADATA"))).decode()
        entry_points = archive.read(next(name for name in contents if name.endswith("entry_points.txt"))).decode()
    fields = Parser().parsestr(text)
    assert fields["License-Expression"] == "Apache-2.0"
    assert fields["Requires-Python"] == "<3.14,>=3.10"
    assert "temper = temper.__main__:run" in entry_points
    base = [line for line in fields.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert not [line for line in base if line.lower().startswith(("paddle", "onnx>", "onnx ", "scipy"))]


def test_help_and_version_on_a_device(device: Path, wheel: Path) -> None:
    version = wheel.name.split("-")[1]
    done = on_device(device, str(device.parent / "temper"), "--help")
    assert done.returncode == 0, done.stderr
    assert "deploy" in done.stdout
    assert version in on_device(device, str(device.parent / "temper"), "--version").stdout


def test_every_base_module_loads_on_a_device(device: Path, contents: list[str]) -> None:
    files = (name.removesuffix(".py").removesuffix("/__init__") for name in contents if name.endswith(".py"))
    base = [
        name
        for name in sorted(file.replace("/", ".") for file in files)
        if name.startswith(BASE_OF_DISTILL) or not name.startswith(NOT_IMPORTED_HERE)
    ]
    code = f"import importlib\nfor name in {base!r}: importlib.import_module(name)"
    done = on_device(device, "-c", code)
    assert done.returncode == 0, done.stderr


def test_a_device_runs_checks_and_measures_a_bundle(device: Path, tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path, name="small")
    save_split(replace(toy_data(tmp_path / "data" / "images", 4), labels=LABELS), tmp_path / "data", "val")
    temper, bundle = str(device.parent / "temper"), str(tmp_path / "small.temper")
    pictures, out = str(tmp_path / "data" / "images"), str(tmp_path / "out")
    quick = ["--seconds", "0.1", "--samples", "11", "--time-box", "1", "--threads", "1"]
    for words in (
        ["bundle", "check", bundle],
        ["deploy", "run", bundle, "--source", pictures, "--out", out],
        ["bench", "run", bundle, "--data", str(tmp_path / "data"), "--out", out, *quick],
        ["bench", "report", out],
    ):
        done = on_device(device, temper, *words)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").exists()


def test_a_device_finds_what_the_full_environment_finds(device: Path, tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "made", name="small", golden=True)
    copied = tmp_path / "device" / "small.temper"
    shutil.copytree(bundle, copied)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        spots = np.random.default_rng(number).choice(np.array([0, 255], np.uint8), (10, 14))
        picture = cv2.resize(spots, (200, 150), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(pictures / f"{number}.png"), picture)
        cv2.imwrite(str(tmp_path / f"{number}.pgm"), picture)  # the one form that the example reads
    program = [str(device.parent / "temper"), str(copied)]
    example = str(ROOT / "examples" / "run_bundle.py")
    checked = on_device(device, program[0], "bundle", "check", program[1])
    assert checked.returncode == 0 and "fp32 on onnxruntime  ok" in checked.stdout, checked.stderr
    answers = []
    for python, temper, path in (
        (device, program[0], copied),
        (Path(sys.executable), str(Path(sys.executable).parent / "temper"), bundle),
    ):
        out = tmp_path / f"out-{len(answers)}"
        done = on_device(python, temper, "deploy", "run", str(path), "--source", str(pictures), "--out", str(out))
        assert done.returncode == 0, done.stderr
        told = [on_device(python, example, str(path), str(one)) for one in sorted(tmp_path.glob("*.pgm"))]
        assert all(one.returncode == 0 for one in told), told
        answers.append((_stored(out), [one.stdout for one in told]))
    assert answers[0] == answers[1]
    assert answers[0][0] and any(answers[0][1])


def test_a_device_that_is_asked_to_train_says_what_is_missing(device: Path, tmp_path: Path) -> None:
    recipe = str(ROOT / "recipes" / "demo.yml")
    done = on_device(device, str(device.parent / "temper"), "run", recipe, "--runs", str(tmp_path / "runs"))
    assert done.returncode == 1
    assert "paddlepaddle" in done.stderr
    assert "Traceback" not in done.stderr


def _stored(out: Path) -> list[tuple[object, ...]]:
    """What a run has found, picture by picture."""
    with contextlib.closing(sqlite3.connect(out / "results.sqlite")) as store:
        return store.execute(
            "select frame.source, frame.verdict, detection.label, detection.score, x1, y1, x2, y2 from frame "
            "left join detection on detection.run_id = frame.run_id and detection.frame_number = frame.number "
            "order by frame.number, detection.number"
        ).fetchall()


@pytest.mark.parametrize("locked", LOCKED, ids=lambda path: path.stem)
def test_what_is_locked_is_pinned_and_hashed(locked: Path) -> None:
    entries = re.split(r"\n(?=[A-Za-z])", re.sub(r"(?m)^ *#.*\n?", "", locked.read_text(encoding="utf-8")).strip())
    pinned = {}
    for entry in entries:
        requirement = Requirement(entry.split(" \\")[0])
        assert "--hash=sha256:" in entry, requirement
        pinned[canonicalize_name(requirement.name)] = next(iter(requirement.specifier)).version
        assert str(requirement.specifier).startswith("=="), requirement
    wanted = list(PROJECT["project"]["dependencies"])
    if not locked.stem.endswith("-base"):
        extras = PROJECT["project"]["optional-dependencies"]
        wanted += [*extras["distill"], *extras["openvino"], *extras["loadgen"], *extras["dev"], "paddledet==2.6.0"]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_every_python_that_trains_has_its_file() -> None:
    assert [path.name for path in LOCKED] == ["py310.txt", "py311.txt", "py312.txt", "py313-base.txt"]


def readme_commands(program: str) -> list[list[str]]:
    """The commands of a program in the README's code, as lists of words."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```(?:bash|sh|console)?\n(.*?)```", text, flags=re.DOTALL))
    lines = [line.strip() for line in blocks.replace("\\\n", " ").splitlines()] + re.findall(r"`([^`\n]+)`", text)
    found = [shlex.split(line, comments=True) for line in lines if line.split(" ")[0].split("/")[-1] == program]
    assert found, f"no {program} command in the README"
    return found


@pytest.mark.parametrize("words", readme_commands("temper"), ids=" ".join)
def test_the_readme_names_commands_that_exist(words: list[str]) -> None:
    from temper.cli import temper

    command: click.Command = temper
    context = click.Context(temper, info_name="temper")
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith(("-", "…")):
        found = command.get_command(context, rest[0])
        assert found is not None, f"no such command: {rest[0]}"
        context = click.Context(found, parent=context, info_name=rest[0])
        command, rest = found, rest[1:]
    known = {name for parameter in command.get_params(context) for name in parameter.opts}
    assert {word.split("=")[0] for word in rest if word.startswith("--")} <= known


def test_the_readme_names_make_targets_that_exist() -> None:
    targets = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    assert {words[1] for words in readme_commands("make") if len(words) > 1 and "=" not in words[1]} <= targets


def test_the_readme_points_at_files_that_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert not [link for link in links if "://" not in link and not (ROOT / link).exists()]
