"""Two graphs that should compute the same: which layer is the first that does not?

Both sides are looked into at tensors of the same name, on the same pictures. A set of tensors through which everything
flows that is still to come is a *cut*: where a cut agrees, what lies before it is not to blame for what comes after;
where one differs, something before it is. So the search keeps a cut that agrees and a later one that differs and halves
what lies between, until one layer is left: all it reads agrees, and what it gives does not. That holds even where
differences vanish again on the way (a ReLU swallows them), as nothing in it assumes that they only grow. It takes about
log2 of the number of layers runs, and each shows a few tensors only: no memory for all of them, and fused kernels stay
fused.

It asks that "agrees" means something, so it is for graphs of the same numbers: fp32 against fp32. In a graph of coarser
numbers every layer differs, and there is no place where agreement ends. There the question is what a layer's rounding
does to the network's ends: the graph is run up to a cut, and the reference goes on from what it has there. The error of
the ends is 0 with a cut at the picture and all of it with a cut at the ends, and the same halving finds a layer that
takes it across one half: one that is broken is found, because it alone brings in more than all the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from .probe import IMAGE, GraphOn, open_probe, open_rest

_WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
#: Names of tensors.
Cut = tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """A layer under suspicion.

    Attributes:
        name: of the node.
        operator: what it is.
        tensor: it gives.
        error: relative (see :func:`relative_error`), with this layer as the graph in question computes it.
        error_before: the same just before it.
    """

    name: str
    operator: str
    tensor: str
    error: float
    error_before: float

    def __str__(self) -> str:
        return f"{self.name} ({self.operator})"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: _finite(value) for name, value in asdict(self).items()}


def _finite(value: Any) -> Any:
    return "infinite" if isinstance(value, float) and not np.isfinite(value) else value


def relative_error(reference: NDArray[Any], other: NDArray[Any]) -> float:
    """The length of the difference by the length of the reference, over all values.

    0 where both are the same; infinite where shapes differ, where one has a number that is not finite and the other
    not, where the reference is all 0, and where integers or booleans differ.
    """
    if reference.shape != other.shape:
        return float("inf")
    if not (np.issubdtype(reference.dtype, np.floating) and np.issubdtype(other.dtype, np.floating)):
        return 0.0 if np.array_equal(reference, other) else float("inf")
    ours, theirs = other.astype(np.float64), reference.astype(np.float64)
    odd = ~np.isfinite(theirs)
    if (odd != ~np.isfinite(ours)).any() or not np.array_equal(ours[odd], theirs[odd], equal_nan=True):
        return float("inf")
    ours, theirs = ours[~odd], theirs[~odd]
    length, apart = float(np.linalg.norm(theirs)), float(np.linalg.norm(ours - theirs))
    if not apart:
        return 0.0
    return apart / length if length else float("inf")


def first_difference(
    reference: GraphOn, other: GraphOn, images: Sequence[NDArray[np.uint8]], limit: float
) -> Layer | None:
    """The layer whose inputs agree and whose output does not, for two graphs of the same numbers.

    Args:
        reference: the graph that is right.
        other: the one in doubt; tensors that it does not have by the same name are not looked at, and the layers
            between its neighbours count as one.
        images: pictures, uint8 [H, W] or [H, W, 3].
        limit: relative error up to which tensors agree.

    Returns:
        The layer, by the reference's names, with the errors of what it gives and of what it reads; None if the
        network's ends agree.

    Raises:
        TemperError: if a runtime does not load a graph with inner tensors as outputs.
    """
    search = _Search(reference, other, images)
    if search.worst(search.cuts[-1]) <= limit:
        return None
    low, high = search.crossing(search.worst, limit)
    tensor = max((name for name in high if search.worst([name]) > limit), key=lambda name: search.worst([name]))
    return search.layer(low, tensor, search.worst([tensor]), search.worst(low))


def half_way(reference: GraphOn, other: GraphOn, images: Sequence[NDArray[np.uint8]]) -> tuple[Layer, float] | None:
    """The layer that takes the error of the network's ends across one half, for a graph of coarser numbers.

    Args and errors are those of :func:`first_difference`; the reference goes on from what the other has.

    Returns:
        The layer, by the reference's names, with the errors of the network's ends where the reference goes on after it
        and before it, and their error in all; None if there is no error.
    """
    search = _Search(reference, other, images)
    total = search.worst(search.cuts[-1])
    if not total:
        return None
    half = total / 2 if np.isfinite(total) else np.finfo(np.float64).max
    low, high = search.crossing(search.ends_error, half)
    fresh = [name for name in high if name not in low] or list(high)
    tensor = max(fresh, key=lambda name: search.ends_error_of(high, name)) if len(fresh) > 1 else fresh[0]
    return search.layer(low, tensor, search.ends_error(high), search.ends_error(low)), total


def _as_float32(values: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    return {name: value.astype(np.float32) for name, value in values.items()}


class _Search:
    """The errors of tensors that both sides have, measured when they are asked for."""

    def __init__(self, reference: GraphOn, other: GraphOn, images: Sequence[NDArray[np.uint8]]) -> None:
        self.reference, self.other, self.images = reference, other, images
        self.errors: dict[str, float] = {IMAGE: 0.0}
        self.gone_on: dict[Cut, float] = {}
        # an end may be read through a cast or a dequantisation of the other side's
        self.ends = dict(zip(reference.raw_names, other.raw_names, strict=True))
        self.nodes = self._network()
        self.cuts = self._cuts()

    def crossing(self, error: Callable[[Cut], float], limit: float) -> tuple[Cut, Cut]:
        """Neighbouring cuts of which the first is within the limit and the second beyond, as the last one is."""
        low, high = 0, len(self.cuts) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if error(self.cuts[middle]) > limit:
                high = middle
            else:
                low = middle
        return self.cuts[low], self.cuts[high]

    def worst(self, cut: Sequence[str]) -> float:
        """The largest relative error of these tensors."""
        wanted = [name for name in cut if name not in self.errors]
        if wanted:
            expected, found = self._values(self.reference, wanted), self._values(self.other, wanted)
            for name in wanted:
                pairs = zip(expected, found, strict=True)
                self.errors[name] = max(relative_error(right[name], doubtful[name]) for right, doubtful in pairs)
        return max(self.errors[name] for name in cut)

    def ends_error(self, cut: Cut) -> float:
        """The larger relative error of the network's ends, where the reference goes on from the other's tensors."""
        if cut in (self.cuts[0], self.cuts[-1]):
            return 0.0 if cut == self.cuts[0] else self.worst(cut)
        if cut not in self.gone_on:
            self.gone_on[cut] = self._gone_on(cut, self._values(self.other, cut))
        return self.gone_on[cut]

    def ends_error_of(self, cut: Cut, name: str) -> float:
        """The same where the reference goes on from its own tensors but for one of the other's."""
        if cut == self.cuts[-1]:
            return self.worst([name])
        mixed = [
            right | {name: doubtful[name]}
            for right, doubtful in zip(self._values(self.reference, cut), self._values(self.other, [name]), strict=True)
        ]
        return self._gone_on(cut, mixed)

    def _gone_on(self, cut: Cut, values: Sequence[dict[str, NDArray[Any]]]) -> float:
        """The larger relative error of the ends, where the reference goes on from these tensors of each picture."""
        expected = self._values(self.reference, list(self.ends))
        with open_rest(self.reference, cut, list(self.ends)) as rest:
            ends = [rest.run_from(_as_float32(one)) for one in values]
        pairs = zip(expected, ends, strict=True)
        return max(relative_error(right[name], doubtful[name]) for right, doubtful in pairs for name in self.ends)

    def layer(self, before: Cut, tensor: str, error: float, error_before: float) -> Layer:
        """What makes a tensor of a cut before it, with the errors.

        Where that is several nodes, because the other side has none of the tensors between them (a convolution and its
        ReLU, in a quantised graph), it is the nearest one with weights.
        """
        made_by = self.reference.producers
        waiting, seen = [made_by[tensor]], set[str]()
        while waiting and waiting[0].op_type not in _WITH_WEIGHTS:
            fresh = [name for name in waiting.pop(0).input if name not in seen and name not in before]
            seen.update(fresh)
            waiting += [made_by[name] for name in fresh if name in made_by]
        node = waiting[0] if waiting else made_by[tensor]
        return Layer(node.name, node.op_type, tensor, error, error_before)

    def _values(self, side: GraphOn, names: Sequence[str]) -> list[dict[str, NDArray[Any]]]:
        """Tensors of a side by the reference's names, for each picture."""
        there = {name: self._there(name) if side is self.other else name for name in names}
        with open_probe(side, list(there.values())) as probe:
            shown = [probe.run(image[np.newaxis]) for image in self.images]
        return [{name: values[other] for name, other in there.items()} for values in shown]

    def _there(self, name: str) -> str:
        """What the other side's layers read where the reference's read this tensor.

        A quantised graph leaves it to the rounding to cut off what a ReLU would, so a tensor that is only read to be
        quantised is looked at after that.
        """
        if name in self.ends:
            return self.ends[name]
        readers = self.other.readers.get(name, [])
        while readers and all(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in readers):
            name = readers[0].output[0]
            if readers[0].op_type == "DequantizeLinear":
                break
            readers = self.other.readers.get(name, [])
        return name

    def _cuts(self) -> list[Cut]:
        """Sets of tensors through which everything flows, in order: the picture alone, ..., the network's ends.

        Only those of which both sides have all tensors.
        """
        last_use: dict[str, int] = {}
        for position, node in enumerate(self.nodes):
            last_use.update(dict.fromkeys(node.input, position))
        last_use.update(dict.fromkeys(self.ends, len(self.nodes)))
        alive = [IMAGE]
        cuts: list[Cut] = [(IMAGE,)]
        for position, node in enumerate(self.nodes):
            alive += [name for name in node.output if name in last_use]
            alive = [name for name in alive if last_use[name] > position]
            if all(self._shared(name) for name in alive):
                cuts.append(tuple(alive))
        return cuts

    def _shared(self, name: str) -> bool:
        return name == IMAGE or name in self.ends or (name in self.reference.producers and name in self.other.producers)

    def _network(self) -> list[onnx.NodeProto]:
        """The reference's nodes that the network's ends depend on and that depend on the picture, in order."""
        reached = {IMAGE}
        for node in self.reference.model.graph.node:
            if reached & set(node.input):
                reached.update(node.output)
        needed = set(self.ends)
        nodes = []
        for node in reversed(self.reference.model.graph.node):
            if needed & set(node.output) and reached & set(node.output):
                needed.update(node.input)
                nodes.append(node)
        return nodes[::-1]
