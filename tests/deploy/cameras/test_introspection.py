"""Aravis from the system's packages, and what is said where it is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from gige import require_aravis
from temper.core.errors import MissingDependencyError
from temper.deploy.cameras import introspection


def test_nothing_else_of_the_system_comes_with_it() -> None:
    require_aravis()
    code = (
        "import sys; before = list(sys.path); from temper.deploy.cameras.introspection import aravis; "
        "Aravis, GLib = aravis(); assert sys.path == before, sys.path; print(Aravis.Camera.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "Camera\n"), done.stderr


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "Aravis and PyGObject, which are not installed: sudo apt-get install gir1.2-aravis-0.8 python3-gi"),
        (
            ("gi/__init__.py", "gi/_gi.cpython-26-x86_64-linux-gnu.so"),
            "was built for another Python than 3.*Use the system's Python for Temper",
        ),
    ],
)
def test_what_is_missing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, ...], message: str
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(introspection, "SYSTEM_PACKAGES", tmp_path)
    monkeypatch.setitem(sys.modules, "gi", None)
    introspection.aravis.cache_clear()
    with pytest.raises(MissingDependencyError, match=message):
        introspection.aravis()


def test_introspection_without_aravis(monkeypatch: pytest.MonkeyPatch) -> None:
    class Without:
        @staticmethod
        def require_version(name: str, version: str) -> None:
            raise ValueError(f"Namespace {name} not available")

    monkeypatch.setattr(introspection, "_introspection", Without)
    introspection.aravis.cache_clear()
    with pytest.raises(MissingDependencyError, match="need Aravis 0.8, which is not installed: sudo apt-get install"):
        introspection.aravis()
