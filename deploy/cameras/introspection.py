"""Aravis, the library for GigE Vision and USB3 Vision cameras, through GObject introspection."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import Any

from ...core.errors import MissingDependencyError

#: Where Debian and Ubuntu, and so JetPack, put what belongs to the system's own Python.
SYSTEM_PACKAGES = Path("/usr/lib/python3/dist-packages")
_INSTALL = "sudo apt-get install gir1.2-aravis-0.8 python3-gi"


@cache
def aravis() -> tuple[Any, Any]:
    """The modules ``Aravis`` and ``GLib``.

    A virtual environment does not see the system's ``gi``. It is loaded from there by itself, alone, where it was
    built for this version of Python: nothing else of the system's packages comes with it.

    Raises:
        MissingDependencyError: if either is missing, with the command that installs it.
    """
    gi = _introspection()
    try:
        gi.require_version("Aravis", "0.8")
        return importlib.import_module("gi.repository.Aravis"), importlib.import_module("gi.repository.GLib")
    except (ValueError, ImportError, AttributeError) as error:
        raise MissingDependencyError(
            f"GigE Vision and USB3 Vision cameras need Aravis 0.8, which is not installed: {_INSTALL}."
        ) from error


def typelib(name: str, version: str) -> Any:
    """Any other introspected module, such as ``Gst``; see :func:`aravis`.

    Raises:
        MissingDependencyError: if it is missing.
    """
    try:
        _introspection().require_version(name, version)
        return importlib.import_module(f"gi.repository.{name}")
    except (ValueError, ImportError, AttributeError) as error:
        package = f"gir1.2-{name.lower()}-{version}"
        raise MissingDependencyError(f"{name} {version} is not installed ({package} or the like).") from error


def _introspection() -> Any:
    try:
        return importlib.import_module("gi")
    except ImportError:
        pass
    folder = SYSTEM_PACKAGES / "gi"
    version = f"{sys.version_info.major}{sys.version_info.minor}"
    if not folder.is_dir():
        raise MissingDependencyError(
            f"GigE Vision and USB3 Vision cameras need Aravis and PyGObject, which are not installed: {_INSTALL}."
        )
    if not list(folder.glob(f"_gi.cpython-{version}-*.so")):
        raise MissingDependencyError(
            f"The system's PyGObject was built for another Python than {sys.version_info.major}."
            f"{sys.version_info.minor}. Use the system's Python for Temper, or build it for this one: pip install "
            "'PyGObject<3.51'."
        )
    spec = importlib.util.spec_from_file_location(
        "gi", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gi"] = module
    try:
        spec.loader.exec_module(module)
    except ImportError:
        del sys.modules["gi"]
        raise
    return module
