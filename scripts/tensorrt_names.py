"""Which names TensorRT's and CUDA's Python bindings really have: makes tests/deploy/engines/names/*.txt anew.

Temper's TensorRT code is written for versions that no single machine has, so a test holds every name it uses against
these tables. The wheels with the bindings are small and come from PyPI; the libraries behind them are not needed:

    pip download --no-deps --dest WHEELS tensorrt-bindings==8.6.1
    pip download --no-deps --dest WHEELS 'tensorrt-cu12-bindings==10.8.*'      # and 10.16.*, 11.4.*, each on its own
    pip download --no-deps --dest WHEELS 'cuda-python==12.6.*' cuda-pathfinder # and cuda-bindings 12.9.*, 13.5.*
    python scripts/tensorrt_names.py WHEELS

It runs the compiled modules' start-up, on libraries that define the few functions they ask for and do nothing; so it
needs a C compiler and binutils. Nothing of NVIDIA's is kept but the names.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

TABLES = Path(__file__).resolve().parents[1] / "tests" / "deploy" / "engines" / "names"

#: Classes of TensorRT whose members are listed; the rest (layers, plugins, calibrators) Temper does not touch.
CLASSES = (
    "Builder",
    "BuilderFlag",
    "DataType",
    "DeviceType",
    "HardwareCompatibilityLevel",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "IProgressMonitor",
    "ITensor",
    "ITimingCache",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "OnnxParser",
    "ParserError",
    "Runtime",
    "TensorIOMode",
)
#: What of CUDA's runtime is listed: its functions, and the members of these.
CUDA_CLASSES = ("cudaMemcpyKind", "cudaStreamCaptureMode")

_PROBE_TENSORRT = """
import sys, types
sys.path.insert(0, sys.argv[1])
import tensorrt_bindings as module
classes = sys.argv[2].split(",")
"""
_PROBE_CUDA = """
import sys, types
sys.path.insert(0, sys.argv[1])
from cuda.bindings import runtime as module
classes = sys.argv[2].split(",")
"""
_WALK = """
is_cuda = module.__name__.startswith("cuda")
names = set()
for name, value in vars(module).items():
    listed = name in classes
    if isinstance(value, types.ModuleType) or name.startswith("_") and name != "__version__":
        continue
    if not is_cuda or listed or name.startswith("cuda") and not isinstance(value, type):
        names.add(name)
    if listed:
        names |= {f"{name}.{member}" for member in dir(value) if not member.startswith("_")}
print("\\n".join(sorted(names)))
"""


def main(arguments: list[str]) -> int:
    """Write a table for every wheel in the folder."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print(f"usage: {Path(__file__).name} FOLDER_WITH_WHEELS", file=sys.stderr)
        return 2
    wheels = sorted(Path(arguments[0]).glob("*.whl"))
    helpers = [wheel for wheel in wheels if wheel.name.startswith("cuda_pathfinder-")]
    TABLES.mkdir(parents=True, exist_ok=True)
    for wheel in wheels:
        found = re.match(r"(tensorrt\w*_bindings|cuda_python|cuda_bindings)-([\d.]+)", wheel.name)
        if not found:
            continue
        library = "tensorrt" if found.group(1).startswith("tensorrt") else "cuda"
        with tempfile.TemporaryDirectory() as folder:
            for one in (wheel, *(helpers if library == "cuda" else ())):
                zipfile.ZipFile(one).extractall(folder)
            names = tensorrt_names(Path(folder)) if library == "tensorrt" else cuda_names(Path(folder))
        table = TABLES / f"{library}-{short_version(found.group(2))}.txt"
        table.write_text(names, encoding="utf-8")
        print(f"{table}: {len(names.splitlines())} names")
    return 0


def short_version(version: str) -> str:
    """Two numbers of a version; three before 10, where the third one matters."""
    numbers = version.split(".")
    return ".".join(numbers[: 3 if int(numbers[0]) < 10 else 2])


def tensorrt_names(folder: Path) -> str:
    """The names of an unpacked wheel with TensorRT's bindings, a line each."""
    (module,) = folder.glob("tensorrt_bindings/tensorrt*.so")
    make_stubs(module, folder / "stubs")
    return run(_PROBE_TENSORRT + _WALK, folder, CLASSES, {"LD_LIBRARY_PATH": str(folder / "stubs")})


def cuda_names(folder: Path) -> str:
    """The names of an unpacked wheel with CUDA's bindings, a line each."""
    return run(_PROBE_CUDA + _WALK, folder, CUDA_CLASSES, {})


def make_stubs(module: Path, folder: Path) -> None:
    """Libraries under the names that a compiled module asks for, with the functions that it asks of them."""
    folder.mkdir()
    needed = re.findall(r"\[(libnv[^\]]+)\]", read_elf("readelf", "-d", str(module)))
    asked = re.findall(r"(?m)^\s+U (\w+)$", read_elf("nm", "-D", "--undefined-only", str(module)))
    own = ctypes.CDLL(None)  # what the interpreter and the C library bring is there
    missing = [name for name in asked if not hasattr(own, name)]
    source = folder / "stubs.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in missing), encoding="utf-8")
    for name in needed:
        command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(folder / name), str(source)]
        subprocess.run(command, check=True)


def read_elf(*command: str) -> str:
    """What a program of binutils says."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def run(code: str, folder: Path, classes: tuple[str, ...], environment: dict[str, str]) -> str:
    """Run a probe in a process of its own."""
    words = [sys.executable, "-c", code, str(folder), ",".join(classes)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env={**os.environ, **environment})
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
