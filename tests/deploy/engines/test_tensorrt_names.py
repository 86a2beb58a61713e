"""Every name of TensorRT and CUDA that the code uses exists in the bindings of each version it is used with.

The tables in ``names/`` are what the real bindings have (``scripts/tensorrt_names.py`` makes them). The code calls
TensorRT's objects by fixed names, so that reading it is enough to know which class an attribute is asked of.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from temper.deploy.engines import python_api
from temper.deploy.runtimes import cuda, tensorrt, tensorrt_engine

NAMES = Path(__file__).parent / "names"
ALL = ("8.6.1", "10.8", "10.16", "11.4")
CUDA_VERSIONS = ("12.6", "12.9", "13.5")

#: What an object of TensorRT is called in each file -> its class; the module itself is "".
BUILDING = {
    "trt": "",
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "image": "ITensor",
}
RUNNING = {"trt": "", "runtime": "Runtime", "engine": "ICudaEngine", "context": "IExecutionContext"}
SOURCES = [(python_api, BUILDING), (tensorrt_engine, RUNNING), (tensorrt, RUNNING)]
#: What a call gives, where something is asked of it at once.
GIVES = {"OnnxParser.get_error": "ParserError", "ITimingCache.serialize": "IHostMemory"}
#: Methods of subclasses of TensorRT's classes that override nothing.
OWN = ("__init__", "take_error")
#: Functions that only some versions reach; all reach the others.
BRANCHES = {
    "_explicit_batch": ("8.6.1",),
    "_strongly_typed": ("10.8", "10.16"),
    "_allow_precision": ("8.6.1", "10.8", "10.16"),
    "_watch": ("10.8", "10.16", "11.4"),
    "_make_monitor": ("10.8", "10.16", "11.4"),
}


@dataclass(frozen=True)
class Use:
    """One name that is used, with the function it is used in."""

    function: str
    name: str
    optional: bool = False  # asked for with getattr and a default


def table(library: str, version: str) -> set[str]:
    return set((NAMES / f"{library}-{version}.txt").read_text(encoding="utf-8").split())


def owner(node: ast.expr, objects: Mapping[str, str]) -> str | None:
    """The class, or the dotted name in the module, that an expression is; None if it is not TensorRT's."""
    if isinstance(node, ast.Name):
        return objects.get(node.id)
    if isinstance(node, ast.Attribute):
        above = owner(node.value, objects)
        # what is asked of an instance gives who knows what; what is asked of the module is a class or a member
        known = above is not None and (above == "" or isinstance(node.value, ast.Attribute))
        return ".".join(filter(None, (above, node.attr))) if known else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        above = owner(node.func.value, objects)
        return GIVES.get(f"{above}.{node.func.attr}") if above else None
    return None


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Functions and methods, but not those inside functions: these belong to the outer one."""
    for node in tree.body:
        for inner in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(inner, ast.FunctionDef):
                yield inner


def uses(source: str, objects: Mapping[str, str]) -> Iterator[Use]:
    for function in functions(ast.parse(source)):
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute):
                above = owner(node.value, objects)
                if above is not None and node.attr != "__init__":
                    yield Use(function.name, ".".join(filter(None, (above, node.attr))))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
                above = owner(node.args[0], objects)
                name = node.args[1]
                if above is not None:
                    assert isinstance(name, ast.Constant), (
                        f"{function.name} asks {above} for a name made up at run time"
                    )
                    yield Use(function.name, ".".join(filter(None, (above, name.value))), optional=len(node.args) > 2)
            elif isinstance(node, ast.ClassDef) and (base := owner(node.bases[0], objects)) is not None:
                methods = [inner.name for inner in node.body if isinstance(inner, ast.FunctionDef)]
                yield from (Use(function.name, f"{base}.{method}") for method in methods if method not in OWN)


def read(module: object) -> str:
    return Path(str(module.__file__)).read_text(encoding="utf-8")  # type: ignore[attr-defined]


def all_uses() -> list[Use]:
    return [use for module, objects in SOURCES for use in uses(read(module), objects)]


def missing(branches: Mapping[str, tuple[str, ...]]) -> set[tuple[str, str]]:
    """(version, name) of what is used with a version and not there."""
    tables = {version: table("tensorrt", version) for version in ALL}
    found = set()
    for use in all_uses():
        if use.optional:
            assert any(use.name in names for names in tables.values()), f"no version has {use.name}"
            continue
        found |= {(version, use.name) for version in branches.get(use.function, ALL) if use.name not in tables[version]}
    return found


def test_every_name_exists_in_every_version_that_reaches_it() -> None:
    assert len({use.name for use in all_uses()}) > 50, "the names are no longer found"
    assert missing(BRANCHES) == set()


def test_without_the_branches_the_names_that_came_and_went_would_be_missed() -> None:
    assert missing({}) == {
        ("11.4", "NetworkDefinitionCreationFlag.EXPLICIT_BATCH"),
        ("11.4", "BuilderFlag.FP16"),
        ("11.4", "BuilderFlag.INT8"),
        ("8.6.1", "NetworkDefinitionCreationFlag.STRONGLY_TYPED"),
        ("8.6.1", "IBuilderConfig.progress_monitor"),
        ("8.6.1", "IProgressMonitor"),
        ("8.6.1", "IProgressMonitor.phase_start"),
        ("8.6.1", "IProgressMonitor.step_complete"),
        ("8.6.1", "IProgressMonitor.phase_finish"),
    }


def test_every_branch_is_a_function_that_uses_something() -> None:
    assert set(BRANCHES) <= {use.function for use in all_uses()}


@pytest.mark.parametrize(("module", "objects"), SOURCES, ids=lambda value: getattr(value, "__name__", ""))
def test_what_tensorrt_gives_goes_by_its_name(module: object, objects: Mapping[str, str]) -> None:
    """Otherwise the test above would not see what is asked of it."""
    for function in functions(ast.parse(read(module))):
        strangers = set()
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                called = node.value.func
                if isinstance(called, ast.Attribute) and owner(called.value, objects) is not None:
                    strangers |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        asked = {
            node.value.id
            for node in ast.walk(function)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        }
        assert not (strangers - set(objects)) & asked, f"{function.name} gives TensorRT's objects other names"


def test_every_name_of_cuda_exists_in_12_and_13() -> None:
    used = {use.name for use in uses(read(cuda).replace("self._cuda", "cuda"), {"cuda": ""})}
    assert {"cudaMallocHost", "cudaMemcpyAsync", "cudaMemcpyKind.cudaMemcpyHostToDevice", "cudaGraphDestroy"} <= used
    for version in CUDA_VERSIONS:
        assert used - table("cuda", version) == set(), version
