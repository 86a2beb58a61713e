"""How long a GPU takes for a graph: a roofline for each layer, with what keeps small layers from reaching it.

After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model", CACM 2009, with three things
added that decide on the small networks of an inspection line: every layer starts a kernel; a layer with few blocks of
results leaves multiprocessors idle, and cannot use all of the memory's bandwidth; and a device whose power limit is
low for its matrix units does not hold its clock. ``docs/reference/estimates.md`` has the arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..devices.table import Device, PowerMode
from .work import ELEMENT_BYTES, GraphWork, LayerPrecision

Floats = NDArray[np.float64]
Bound = Literal["compute", "bandwidth", "launch"]

#: Results that one block works out, in rows and columns; a runtime has kernels for each and takes the fastest.
_TILES = ((256, 128), (128, 128), (128, 64), (64, 64), (64, 32), (32, 32))
#: Parts that the products of one result may be split into, to keep more multiprocessors at work.
_SPLITS = (1, 2, 4, 8)
#: Products that a block takes in at a time.
_STEP_DEPTH = 64
#: Products that a matrix unit takes in at once, by precision; fewer are padded.
_UNIT_DEPTH = {"int8": 32, "fp16": 16, "fp32": 8}
_UNIT_COLUMNS = 16
#: Elements of a pass over memory that one block moves.
_BLOCK_ELEMENTS = 4096
#: Copies to and from the device, bytes per second.
_COPY_BYTES = 10e9
#: Passes over the scores, and kernels, that suppression and sorting take.
_SORT_KERNELS = 3
_OLDER = ("volta", "turing")


@dataclass(frozen=True)
class Parameters:
    """What the maker does not say, fitted to public measurements (``calibration.json``).

    Attributes:
        compute_efficiency: share of the dense TOPS that large layers reach.
        bandwidth_efficiency: share of the memory's bandwidth that large passes reach.
        kernel_us: from one kernel to the next, microseconds at 1 GHz.
        call_us: of a call beside its kernels, microseconds.
        suppression_us: of non-maximum suppression beside its passes over the scores, microseconds at 1 GHz.
        suppression_passes: of it over the scores.
        overlap: how well arithmetic and memory overlap: the exponent of their sum; infinite is the roofline.
        watts_per_tops: int8 TOPS that a watt keeps at full clock are one by this.
        power_exponent: how much of the clock a lower power limit costs.
        multiprocessor_gb_s: bandwidth that one multiprocessor can use, GB/s at 1 GHz.
        split_us: to add up the parts of split products, microseconds at 1 GHz.
        tile_exponent: how much smaller tiles lose.
        older_factor: by which Volta and Turing take longer from kernel to kernel and step to step.
        step_us: that a step of a block takes at least, microseconds at 1 GHz.
        grouped_factor: by which grouped convolutions take longer.
    """

    compute_efficiency: float = 0.9
    bandwidth_efficiency: float = 0.75
    kernel_us: float = 2.0
    call_us: float = 60.0
    suppression_us: float = 60.0
    suppression_passes: float = 2.0
    overlap: float = 2.0
    watts_per_tops: float = 0.8
    power_exponent: float = 0.5
    multiprocessor_gb_s: float = 25.0
    split_us: float = 1.5
    tile_exponent: float = 0.3
    older_factor: float = 1.5
    step_us: float = 0.05
    grouped_factor: float = 1.3


@dataclass(frozen=True)
class Reckoned:
    """A graph's time.

    Attributes:
        latency_ms: of one call.
        bound: where most of it goes.
        layers_ms: of each layer, in the graph's order.
    """

    latency_ms: float
    bound: Bound
    layers_ms: tuple[float, ...]


class Graph:
    """A graph's layers as arrays, so that many devices are reckoned quickly.

    Args:
        work: of the graph.
    """

    def __init__(self, work: GraphWork) -> None:
        self.work = work
        layers = work.layers

        def numbers(values: list[float]) -> Floats:
            return np.array(values, np.float64)

        self.rows = numbers([layer.rows for layer in layers])
        self.columns = numbers([layer.columns for layer in layers])
        self.depth = numbers([layer.depth for layer in layers])
        self.groups = numbers([layer.groups for layer in layers])
        self.elements = numbers([layer.weights + layer.read + layer.written for layer in layers])
        self.is_matrix = np.array([layer.kind in ("conv", "matmul") for layer in layers])
        self.is_grouped = np.array([layer.kind == "conv" and layer.groups > 1 for layer in layers])
        self.kernels = numbers([_SORT_KERNELS if layer.kind == "sort" else 1 for layer in layers])
        self.suppresses = np.array([layer.kind == "nms" for layer in layers])
        self.precision: list[LayerPrecision] = [layer.precision for layer in layers]
        self.element_bytes = numbers([ELEMENT_BYTES[one] for one in self.precision])
        self.unit_depth = numbers([_UNIT_DEPTH[one] for one in self.precision])


def reckon(graph: Graph, device: Device, mode: PowerMode, parameters: Parameters) -> Reckoned:
    """How long one call takes.

    Args:
        graph: what is to be done; every layer in the precision that it runs in.
        device: that does it.
        mode: its power mode.
        parameters: what the maker does not say.
    """
    clock = device.clock_mhz / 1000 * mode.clock_share
    older = parameters.older_factor if device.architecture in _OLDER else 1.0
    bandwidth = 1e9 * device.bandwidth_gb_s * mode.bandwidth_share * parameters.bandwidth_efficiency
    compute, blocks = _arithmetic(graph, device, mode, parameters, clock, older)
    multiprocessors = device.multiprocessors * mode.multiprocessor_share
    usable = np.minimum(blocks, multiprocessors) * parameters.multiprocessor_gb_s * 1e9 * clock
    memory = graph.elements * graph.element_bytes / np.minimum(bandwidth, usable)
    memory = np.where(graph.suppresses, memory * parameters.suppression_passes, memory)
    launch = graph.kernels * parameters.kernel_us * 1e-6 * older / clock
    launch = launch + graph.suppresses * parameters.suppression_us * 1e-6 / clock
    layers = (compute**parameters.overlap + memory**parameters.overlap) ** (1 / parameters.overlap) + launch
    copies = (graph.work.input_bytes + graph.work.output_bytes) / _COPY_BYTES
    call = parameters.call_us * 1e-6 + copies
    parts: dict[Bound, float] = {
        "compute": float(compute.sum()),
        "bandwidth": float(memory.sum()),
        "launch": float(launch.sum()) + call,
    }
    return Reckoned(1000 * (float(layers.sum()) + call), max(parts, key=lambda one: parts[one]), tuple(1000 * layers))


def _arithmetic(
    graph: Graph, device: Device, mode: PowerMode, parameters: Parameters, clock: float, older: float
) -> tuple[Floats, Floats]:
    """Seconds of each layer's arithmetic with the fastest kernel for it, and the blocks of that."""
    multiprocessors = device.multiprocessors * mode.multiprocessor_share
    per_multiprocessor = _rates(graph, device, mode, parameters) / device.multiprocessors
    depth = np.ceil(graph.depth / graph.unit_depth) * graph.unit_depth
    columns = np.ceil(graph.columns / _UNIT_COLUMNS) * _UNIT_COLUMNS
    seconds = np.full(len(depth), np.inf)
    blocks = np.ones(len(depth))
    largest = _TILES[0][0] * _TILES[0][1]
    for rows_each, columns_each in _TILES:
        efficiency = (rows_each * columns_each / largest) ** parameters.tile_exponent
        whole = np.ceil(graph.rows / rows_each) * np.ceil(columns / columns_each) * graph.groups
        whole = np.maximum(1, whole)
        for parts in _SPLITS:
            steps = np.ceil(depth / parts / _STEP_DEPTH)
            waves = whole * parts / multiprocessors
            # between the whole number of turns and the share of one that the last takes: blocks do not end together
            turns = np.where(waves < 1, 1, np.sqrt(np.ceil(waves) * waves))
            one = 2 * rows_each * columns_each * steps * _STEP_DEPTH / (per_multiprocessor * efficiency)
            taken = turns * one + steps * parameters.step_us * 1e-6 * older / clock
            if parts > 1:
                taken = taken + parameters.split_us * 1e-6 / clock
            blocks = np.where(taken < seconds, whole * parts, blocks)
            seconds = np.minimum(seconds, taken)
    seconds = np.where(graph.is_grouped, seconds * parameters.grouped_factor, seconds)
    passes = np.maximum(1, graph.elements / _BLOCK_ELEMENTS)
    return np.where(graph.is_matrix, seconds, 0.0), np.where(graph.is_matrix, blocks, passes)


def _rates(graph: Graph, device: Device, mode: PowerMode, parameters: Parameters) -> Floats:
    """Operations per second of the whole device, by layer."""
    held = 1.0
    if mode.watts is not None:
        wanted = device.tops["int8"] * mode.clock_share * mode.multiprocessor_share
        held = min(1.0, mode.watts / wanted / parameters.watts_per_tops) ** parameters.power_exponent
    share = parameters.compute_efficiency * mode.clock_share * held
    return np.array([1e12 * device.tops[one] * share for one in graph.precision])
