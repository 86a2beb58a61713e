"""Puts the stand-ins for TensorRT and CUDA in the place of the real ones, for one test."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from temper.deploy.engines.gpu import Gpu

STANDINS = Path(__file__).parent / "standins"
VERSIONS = ("8.6.1", "10.8", "10.16", "11.4")
ORIN = Gpu("Orin", "8.7", 16, 30697)


def use_tensorrt(monkeypatch: pytest.MonkeyPatch, version: str, gpu: Gpu = ORIN) -> ModuleType:
    """TensorRT of a version on a GPU, here and in processes started from here; gives the stand-in for CUDA.

    What the test imported of an earlier one is forgotten.
    """
    monkeypatch.setenv("STANDIN_TENSORRT", version)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(STANDINS), os.environ.get("PYTHONPATH", "")]).rstrip(":"))
    monkeypatch.syspath_prepend(str(STANDINS))
    for name in [name for name in sys.modules if name.split(".")[0] in ("tensorrt", "cuda")]:
        monkeypatch.delitem(sys.modules, name)
    for place in ("temper.deploy.engines.build", "temper.deploy.runtimes.load"):
        monkeypatch.setattr(f"{place}.current_gpu", lambda: gpu)
    importlib.invalidate_caches()
    importlib.import_module("tensorrt")
    runtime = importlib.import_module("cuda.bindings.runtime")
    for name in [name for name in sys.modules if name.split(".")[0] in ("tensorrt", "cuda")]:
        module = sys.modules.pop(name)
        monkeypatch.setitem(sys.modules, name, module)  # so that the end of the test takes it away
    return runtime


DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return %(init)d; }
int cuDeviceGetCount(int *count) { *count = %(count)d; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = 7 + ordinal; return 0; }
int cuDeviceGetName(char *name, int length, int device) {
    if (device != 7) return 101;
    strncpy(name, "NVIDIA H100 80GB HBM3", length);
    return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    if (device != 7) return 101;
    *value = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 16 ? 132 : -1;
    return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    if (device != 7) return 101;
    *bytes = (size_t)81559 << 20;
    return 0;
}
"""


def make_driver(folder: Path, init: int = 0, count: int = 1) -> str:
    """A library with the six functions of NVIDIA's driver that are asked."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    source, library = folder / "driver.c", folder / "libcuda.so.1"
    source.write_text(DRIVER % {"init": init, "count": count}, encoding="utf-8")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return str(library)
