"""ONNX Runtime's execution providers by the names of Temper's runtimes, and how each is asked to compute.

Precision is in the graph, so nothing here lowers it: TF32 is off, and TensorRT is allowed fp16 or int8 only where the
graph has them.
"""

from __future__ import annotations

import ctypes
import mmap
import re
from pathlib import Path
from typing import Any

from ...bundle.manifest import Precision
from ...core.errors import MissingDependencyError

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
#: Runtime -> the providers that take the graph's nodes, first come first served.
PROVIDERS: dict[str, tuple[str, ...]] = {
    "onnxruntime": (CPU,),
    "onnxruntime-cuda": (CUDA, CPU),
    "onnxruntime-tensorrt": (TENSORRT, CUDA, CPU),
}

#: Provider -> the file of ONNX Runtime's that holds it, and what to look for in there: the library of NVIDIA's that it
#: is linked against, with its version.
_LINKED = {
    CUDA: ("libonnxruntime_providers_cuda.so", rb"libcudart\.so\.\d+"),
    TENSORRT: ("libonnxruntime_providers_tensorrt.so", rb"libnvinfer\.so\.\d+"),
}

Provider = tuple[str, dict[str, str]]


def provider_fault(name: str, available: list[str]) -> str | None:
    """Why this ONNX Runtime cannot be the runtime ``name``, in a sentence; None if it can.

    Args:
        name: a key of :data:`PROVIDERS`.
        available: the providers of the build that is installed.
    """
    wanted = PROVIDERS[name][0]
    if wanted in available:
        return None
    return (
        f"The ONNX Runtime installed here has no {wanted}, which '{name}' needs (it has: {', '.join(available)}). "
        "On an NVIDIA GPU: pip uninstall onnxruntime, then pip install onnxruntime-gpu; on a Jetson NVIDIA's build."
    )


def library_fault(name: str, onnxruntime: Any) -> str | None:
    """Which library the runtime ``name`` lacks, in a sentence; None if it lacks none, or nobody can tell.

    A build lists its providers whether or not their libraries are on this machine.

    Args:
        name: a key of :data:`PROVIDERS`, in whose provider the build has.
        onnxruntime: the module.
    """
    wanted = PROVIDERS[name][0]
    if wanted not in _LINKED:
        return None
    file, pattern = _LINKED[wanted]
    library = _linked_library(Path(onnxruntime.__file__).parent / "capi" / file, pattern)
    if library is None:
        return None
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA's libraries, where pip brought them
    try:
        ctypes.CDLL(library)
    except OSError:
        return (
            f"The ONNX Runtime installed here has {wanted}, but {library}, which it needs, is not found. Install the "
            "version of CUDA and cuDNN (for '-tensorrt' also of TensorRT) that it was built for, or add its folder to "
            "LD_LIBRARY_PATH."
        )
    return None


def _linked_library(file: Path, pattern: bytes) -> str | None:
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = re.search(pattern, content)
            return None if found is None else found.group().decode("ascii")
    except (OSError, ValueError):  # another build keeps it elsewhere
        return None


def require_provider(name: str, available: list[str]) -> None:
    """Refuse a runtime that this build of ONNX Runtime does not have.

    Raises:
        MissingDependencyError: with the sentence of :func:`provider_fault`.
    """
    fault = provider_fault(name, available)
    if fault:
        raise MissingDependencyError(fault)


def providers(name: str, precision: Precision, timing_cache: Path | None = None) -> list[Provider]:
    """The providers of a runtime with their options, as ONNX Runtime takes them.

    Args:
        name: a key of :data:`PROVIDERS`.
        precision: of the graph.
        timing_cache: folder where TensorRT keeps what it measured; None keeps nothing. Engines are not kept: nothing
            vouches for one that ONNX Runtime stored, as a record does for Temper's own.
    """
    options: dict[str, dict[str, Any]] = {
        CPU: {},
        CUDA: {"device_id": 0, "use_tf32": 0},
        TENSORRT: {
            "device_id": 0,
            "trt_fp16_enable": int(precision == "fp16"),
            "trt_int8_enable": int(precision == "int8"),
            **(
                {"trt_timing_cache_enable": 1, "trt_timing_cache_path": str(timing_cache)}
                if timing_cache is not None
                else {}
            ),
        },
    }
    return [(provider, {key: str(value) for key, value in options[provider].items()}) for provider in PROVIDERS[name]]
