"""What memory a graph needs on a device, and whether it has that."""

from __future__ import annotations

from ..devices.table import Device
from .work import GraphWork

#: A GPU's runtime before it holds any graph: CUDA's context, libraries and kernels, in MiB.
RUNTIME_MIB = 600.0
#: Where the processor shares the memory, so much of it is the system's, the cameras' and the line's.
_OTHERS_SHARE = 0.4
#: A runtime keeps more results than the largest layer's own, and a workspace beside them.
_RESULTS_FACTOR = 3.0
_MIB = 2**20


def needed_mib(work: GraphWork) -> float:
    """Memory of the weights, the results between layers, and the runtime itself, in MiB."""
    return RUNTIME_MIB + (work.weight_bytes + _RESULTS_FACTOR * work.peak_activation_bytes) / _MIB


def usable_mib(device: Device) -> float:
    """Memory of a device that a graph may have, in MiB."""
    whole = device.memory_gb * 1e9 / _MIB
    return whole * (1 - _OTHERS_SHARE) if device.shared_memory else whole
