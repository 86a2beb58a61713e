"""A folder of wheels for tests: every package Temper needs, as an empty wheel of the installed version.

One of them leads Python to the packages of this environment, so that what is installed from them works, in a second.
"""

from __future__ import annotations

import sysconfig
import zipfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

_WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def make_stub_wheels(folder: Path) -> Path:
    """Write the wheels; gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [Requirement(text) for text in metadata.requires("temper") or ()]
    for requirement in names:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            _write(folder, requirement.name, metadata.version(requirement.name))
    return folder


def _write(folder: Path, name: str, version: str) -> None:
    plain = name.replace("-", "_")
    info = f"{plain}-{version}.dist-info"
    contents = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": _WHEEL,
    }
    if name == "numpy":
        contents["zz_packages_of_the_tests.pth"] = sysconfig.get_paths()["purelib"] + "\n"
    contents[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*contents, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{plain}-{version}-py3-none-any.whl", "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
