from __future__ import annotations

import base64
import csv
import hashlib
import io
import shlex
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from temper.benchmarks.remote.wheel import (
    base_requirements,
    download_command,
    fits,
    install_words,
    installed_wheel,
    read_wheel,
)
from temper.core.errors import UsageError

REQUIRES = ("numpy>=1.26", "x>=1; extra == 'tensorrt'", 'y>=2; platform_machine == "x86_64" and extra == "tensorrt"')


def test_the_installed_package_becomes_a_wheel_again() -> None:
    wheel = installed_wheel()
    assert wheel == installed_wheel(), "equal files give equal bytes"
    with zipfile.ZipFile(io.BytesIO(wheel.content)) as archive:
        names = archive.namelist()
        record = next(name for name in names if name.endswith(".dist-info/RECORD"))
        rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(archive.read(record).decode()))}
        assert set(rows) == set(names) and rows.pop(record) == ["", ""]
        for name, (digest, size) in rows.items():
            content = archive.read(name)
            sha256 = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={sha256}", str(len(content)))
    assert {"temper/__init__.py", "temper/py.typed", "temper/recipes/demo.yml"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.startswith(("..", "/", "temper/tests"))]


def test_pip_takes_it_and_the_command_is_there(tmp_path: Path) -> None:
    wheel = installed_wheel()
    (tmp_path / wheel.name).write_bytes(wheel.content)
    venv.create(tmp_path / "env", symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    words = [
        "--disable-pip-version-check",
        "--python",
        str(python),
        "install",
        "--no-index",
        "--no-deps",
        "--no-compile",
        "--quiet",
    ]
    subprocess.run([sys.executable, "-m", "pip", *words, str(tmp_path / wheel.name)], check=True, timeout=120)
    assert (tmp_path / "env" / "bin" / "temper").exists()
    assert read_wheel(tmp_path / wheel.name) == wheel


def test_what_is_no_wheel_of_temper(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no wheel .*none.whl"):
        read_wheel(tmp_path / "none.whl")
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as archive:
        archive.writestr("other-1.dist-info/METADATA", "Name: other\n")
    with pytest.raises(UsageError, match=r"other.whl is no wheel of Temper. Build one with 'pip wheel"):
        read_wheel(tmp_path / "other.whl")


def test_requirements_of_extras() -> None:
    assert base_requirements(REQUIRES) == ["numpy>=1.26"]
    assert base_requirements(REQUIRES, ["tensorrt"]) == ["numpy>=1.26", "x>=1", 'y>=2; platform_machine == "x86_64"']


def test_the_command_that_fetches_wheels() -> None:
    def words(machine: str, python: str) -> list[str]:
        return shlex.split(
            download_command(
                REQUIRES, ["tensorrt"], python=python, machine=machine, glibc="2.35", folder=Path("my wheels")
            )
        )

    jetson = words("aarch64", "3.10.12")
    assert jetson[:4] == ["pip", "download", "--dest", "my wheels"]
    assert "manylinux_2_35_aarch64" in jetson and "manylinux_2_39_aarch64" not in jetson
    assert jetson[jetson.index("--python-version") + 1] == "3.10"
    assert jetson[-3:] == ["numpy>=1.26", "x>=1", "tomli>=2"], "what is for other machines is not asked for"
    assert words("x86_64", "3.11.2")[-3:] == ["numpy>=1.26", "x>=1", "y>=2"]


def test_onnxruntime_for_gpus_takes_the_place_of_its_twin() -> None:
    words = install_words({"path": "wheel/t.whl"}, {"path": "wheels"}, ["onnxruntime-cuda", "openvino"])
    links = ["--no-index", "--find-links", {"path": "wheels"}]
    assert words == [
        ["-m", "pip", "install", *links, {"path": "wheel/t.whl", "more": "[openvino]"}],
        ["-m", "pip", "uninstall", "--yes", "onnxruntime"],
        ["-m", "pip", "install", *links, "--no-deps", "onnxruntime-gpu>=1.18"],
    ]


def test_wheels_by_architecture() -> None:
    arm = "numpy-2.2.6-cp310-cp310-manylinux_2_17_aarch64.manylinux2014_aarch64.whl"
    assert fits(arm, "aarch64") and not fits(arm, "x86_64")
    assert fits("rich-15.0.0-py3-none-any.whl", "aarch64")
