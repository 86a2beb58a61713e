"""ONNX Runtime's execution providers by the names of Temper's runtimes, and how each is asked to compute.

Precision is in the graph, so nothing here lowers it: TF32 is off, and TensorRT is allowed fp16 or int8 only where the
graph has them.
"""

from __future__ import annotations

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
