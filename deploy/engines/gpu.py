"""Which GPU this is, asked of the driver itself: it is there whatever else is installed, on a Jetson too."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass

from ...core.errors import TemperError

#: NVIDIA's driver.
DRIVER_LIBRARY = "libcuda.so.1"
# CUdevice_attribute of cuda.h
_MULTIPROCESSORS, _CAPABILITY_MAJOR, _CAPABILITY_MINOR = 16, 75, 76


@dataclass(frozen=True)
class Gpu:
    """A GPU as an engine's record names it.

    Name and capability are not enough: Jetson AGX Orin, Orin NX and Orin Nano all say "Orin" and 8.7, and have 16, 8
    and 4 to 8 multiprocessors.

    Attributes:
        name: as the driver says it.
        compute_capability: ``"8.7"``, ``"9.0"``, ...
        multiprocessors: how many it has.
        memory_mib: its memory, as the driver says; on a Jetson that of the whole machine.
    """

    name: str
    compute_capability: str
    multiprocessors: int
    memory_mib: int

    @property
    def slug(self) -> str:
        """A folder's name for it."""
        words = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:60] or "gpu"
        return f"{words}-sm{self.compute_capability.replace('.', '')}-{self.multiprocessors}mp"

    @property
    def title(self) -> str:
        """How sentences call it."""
        return f"{self.name} ({self.compute_capability}, {self.multiprocessors} multiprocessors)"


def current_gpu(library: str | None = None) -> Gpu:
    """The first GPU that this process may use (``CUDA_VISIBLE_DEVICES`` chooses).

    Args:
        library: the driver's library; None is :data:`DRIVER_LIBRARY`.

    Raises:
        TemperError: if there is no driver, or it has no GPU to give.
    """
    try:
        driver = ctypes.CDLL(library or DRIVER_LIBRARY)
    except OSError as error:
        raise TemperError(
            f"TensorRT needs an NVIDIA GPU, and this machine has no NVIDIA driver ({library or DRIVER_LIBRARY} does "
            "not load). Run the bundle on ONNX Runtime or OpenVINO here."
        ) from error
    _call(driver, "cuInit", ctypes.c_uint(0))
    count = ctypes.c_int()
    _call(driver, "cuDeviceGetCount", ctypes.byref(count))
    if count.value < 1:
        raise TemperError("The NVIDIA driver gives this process no GPU. Look at CUDA_VISIBLE_DEVICES and nvidia-smi.")
    device = ctypes.c_int()
    _call(driver, "cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
    name = ctypes.create_string_buffer(256)
    _call(driver, "cuDeviceGetName", name, ctypes.c_int(len(name)), device)
    memory = ctypes.c_size_t()
    _call(driver, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    major, minor, multiprocessors = (
        _attribute(driver, device, number) for number in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR, _MULTIPROCESSORS)
    )
    called = name.value.decode("utf-8", errors="replace").strip() or "unnamed"
    return Gpu(called, f"{major}.{minor}", multiprocessors, memory.value >> 20)


def _attribute(driver: ctypes.CDLL, device: ctypes.c_int, number: int) -> int:
    value = ctypes.c_int()
    _call(driver, "cuDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(number), device)
    return value.value


def _call(driver: ctypes.CDLL, function: str, *arguments: object) -> None:
    code = getattr(driver, function)(*arguments)
    if code != 0:
        raise TemperError(
            f"The NVIDIA driver cannot be used here: {function} failed with CUDA error {code}. "
            "Look at nvidia-smi, and whether this process may use the GPU."
        )
