from __future__ import annotations

import platform
import sys

import pytest
from temper.core.errors import MissingDependencyError
from temper.flow import requirements
from temper.flow.keys import STAGES
from temper.flow.requirements import is_installed, require_packages, training_install_hint


def test_what_is_installed_is_not_imported_to_be_found() -> None:
    sys.modules.pop("antigravity", None)
    assert is_installed("antigravity")
    assert "antigravity" not in sys.modules
    assert not is_installed("no_such_module")
    assert not is_installed("no_such_package.inner")


def test_a_blocked_module_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert not is_installed("onnx")


@pytest.mark.parametrize(
    ("stages", "packages"),
    [
        (["data"], []),
        (["report"], ["matplotlib", "jinja2"]),
        (["benchmark"], ["onnxruntime"]),
        (["teacher", "distilled"], ["paddlepaddle", "paddledet", "safetensors"]),
        (
            ["student", "export-student"],
            ["paddlepaddle", "paddledet", "safetensors", "paddle2onnx", "onnx", "onnxslim", "onnxruntime"],
        ),
    ],
)
def test_every_stage_names_what_it_needs(
    stages: list[str], packages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "is_installed", lambda _: True)
    require_packages(STAGES)
    monkeypatch.setattr(requirements, "is_installed", lambda _: False)
    if not packages:
        require_packages(stages)
        return
    with pytest.raises(MissingDependencyError, match=f"This needs {', '.join(packages)}, which ") as caught:
        require_packages(stages)
    assert sys.prefix in str(caught.value)


@pytest.mark.parametrize(
    ("machine", "version", "hint"),
    [
        ("x86_64", (3, 11), "'make install' makes .venv"),
        ("x86_64", (3, 13), "need Python 3.10 to 3.12, and this is 3.13: .*'make install PYTHON=python3.12'"),
        ("aarch64", (3, 10), "run on Linux x86_64; this is Linux aarch64, which can run and measure finished bundles"),
    ],
)
def test_the_hint_fits_the_machine(
    machine: str, version: tuple[int, int], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(sys, "version_info", (*version, 0, "final", 0))
    import re

    assert re.search(hint, training_install_hint())
