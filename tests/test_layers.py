"""The house holds: which folder may import which, which library lives where, how long a file may grow."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("core", "detection", "bundle", "distill", "deploy", "export", "benchmarks", "flow", "commands")

# what each folder may import, beside itself: docs/architecture.md, "arrows go one way"
MAY_IMPORT = {
    "core": set(),
    "detection": {"core"},
    "bundle": {"core", "detection"},
    "distill": {"core", "detection", "bundle"},
    "deploy": {"core", "detection", "bundle"},
    "export": {"core", "detection", "bundle", "distill", "deploy"},
    "benchmarks": {"core", "detection", "bundle", "deploy"},
    "flow": {"core", "detection", "bundle", "distill", "deploy", "export", "benchmarks"},
    "commands": {"core", "detection", "bundle", "distill", "deploy", "export", "benchmarks", "flow"},
    "cli": {"core", "commands"},
    "__main__": {"cli"},
}

PADDLE = {"paddle", "ppdet", "paddle2onnx"}
# what they measure needs networks: the files of benchmarks that load distill and export, inside functions
NEED_NETWORKS = {
    ROOT / "benchmarks" / name for name in ("distill_cost.py", "int8_speed.py", "paddle_reference.py", "peer_export.py")
}
# import names of the base dependencies in pyproject.toml
BASE_LIBRARIES = {
    "click",
    "cryptography",
    "cv2",
    "faster_coco_eval",
    "jinja2",
    "markupsafe",  # comes with jinja2
    "matplotlib",
    "numpy",
    "onnxruntime",
    "psutil",
    "pydantic",
    "rich",
    "sqlalchemy",
    "yaml",
}
# runs with the base package alone; what an extra brings may be imported there inside a function, never at the top
BASE_PARTS = (
    "cli.py",
    "core/",
    "detection/",
    "bundle/",
    "deploy/",
    "benchmarks/",
    "flow/",
    "commands/",
    "distill/recipe",
    "distill/data/",
    "distill/paddledet/",
    "distill/synthetic/",
)
# loading any of these costs more than all of `temper --help` may take
HEAVY = {"numpy", "cv2", "onnxruntime", "onnx", "pydantic", "sqlalchemy", "cryptography", "jinja2", "yaml"} | PADDLE

MOST_LINES_IN_A_FILE = 400
MOST_LINES_IN_A_FUNCTION = 60
DRAWERS = {"utils.py", "util.py", "helpers.py", "misc.py", "common.py"}


@dataclass(frozen=True)
class Import:
    """One import: of which module (dotted, `temper.` in front for the project's own), where, and when it happens."""

    module: str
    names: tuple[str, ...]
    line: int
    lazy: bool  # inside a function
    typing_only: bool


def package_files() -> list[Path]:
    files = sorted(ROOT.glob("*.py"))
    for folder in FOLDERS:
        files.extend(sorted((ROOT / folder).rglob("*.py")))
    return files


def module_name(path: Path) -> str:
    parts = ("temper", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_typing_guard(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports_of(path: Path) -> Iterator[Import]:
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]

    def walk(node: ast.AST, lazy: bool, typing_only: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, (), child.lineno, lazy, typing_only)
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else []
                module = ".".join([*base, *([child.module] if child.module else [])])
                yield Import(module, tuple(alias.name for alias in child.names), child.lineno, lazy, typing_only)
            else:
                deeper = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from walk(child, deeper, typing_only or is_typing_guard(child))

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), False, False)


def place_of(module: str) -> str:
    """The folder (or `cli`) of one of the project's modules; empty for the root itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


FILES = package_files()
IMPORTS = [(path, found) for path in FILES for found in imports_of(path)]


def where(path: Path, found: Import) -> str:
    return f"{path.relative_to(ROOT)}:{found.line} imports {found.module}"


def own_targets(found: Import, modules: set[str]) -> set[str]:
    """The project's modules that an import loads: `from ..core import errors` loads `temper.core.errors`."""
    inner = {f"{found.module}.{name}" for name in found.names} & modules
    return inner or ({found.module} & modules)


def test_every_folder_of_the_package_is_a_known_one() -> None:
    with_code = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert with_code == set(FOLDERS)


def test_arrows_go_one_way() -> None:
    wrong = []
    for path, found in IMPORTS:
        if found.module.split(".")[0] != "temper":
            continue
        here = place_of(module_name(path))
        # `from .. import bundle` names the folder after the import
        there = (
            {place_of(found.module)} if place_of(found.module) else {name for name in found.names if name in FOLDERS}
        )
        allowed = MAY_IMPORT.get(here, set()) | (
            {"distill", "export"} if path in NEED_NETWORKS and found.lazy else set()
        )
        if there - allowed - {here}:
            wrong.append(where(path, found))
    assert not wrong


def test_inside_the_package_imports_are_relative() -> None:
    assert not [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "temper" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "temper")
    ]


def test_no_circles_between_modules() -> None:
    modules = {module_name(path) for path in FILES}
    graph: dict[str, set[str]] = {}
    for path, found in IMPORTS:
        if not found.typing_only:
            graph.setdefault(module_name(path), set()).update(own_targets(found, modules) - {module_name(path)})
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"these modules import one another in a circle: {' -> '.join(error.args[1])}")


def brings_paddle(found: Import) -> bool:
    """Whether an import is of Paddle, be it by way of the module through which ``distill`` imports it."""
    loaded = {found.module, *(f"{found.module}.{name}" for name in found.names)}
    return found.module.split(".")[0] in PADDLE or "temper.distill.paddle_import" in loaded


def test_paddle_lives_in_distill_and_in_one_file_each_of_export_and_benchmarks() -> None:
    wrong = []
    for path, found in IMPORTS:
        inside = path.is_relative_to(ROOT / "distill") or path == ROOT / "export" / "trace.py"
        if brings_paddle(found) and not inside and not (path in NEED_NETWORKS and found.lazy):
            wrong.append(where(path, found))
    assert not wrong


def test_base_parts_start_with_base_dependencies_alone() -> None:
    allowed = BASE_LIBRARIES | set(sys.stdlib_module_names) | {"temper"}
    wrong = []
    for path, found in IMPORTS:
        in_base = path.relative_to(ROOT).as_posix().startswith(BASE_PARTS)
        if in_base and not found.lazy and not found.typing_only and found.module.split(".")[0] not in allowed:
            wrong.append(where(path, found))
    assert not wrong


def test_the_command_line_loads_nothing_heavy() -> None:
    commands = [module_name(path) for path in FILES if path.parent.name == "commands"]
    code = f"""
import importlib, sys
for name in {["temper.cli", *commands]!r}:
    importlib.import_module(name)
print(sorted(set({sorted(HEAVY)!r}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_files_stay_short() -> None:
    files = [*FILES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert not {name: lines for name, lines in lengths.items() if lines > MOST_LINES_IN_A_FILE}


def lines_without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node, clean=False) is not None:
        docstring = node.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def test_functions_stay_short() -> None:
    wrong = {}
    for path in [*FILES, *(ROOT / "tests").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = lines_without_docstring(node)
                if lines > MOST_LINES_IN_A_FUNCTION:
                    wrong[f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"] = lines
    assert not wrong


def test_no_drawers() -> None:
    assert not [str(path.relative_to(ROOT)) for path in FILES if path.name in DRAWERS]
