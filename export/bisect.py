"""Two graphs that should compute the same: which layer is the first that does not?

Both sides are looked into at tensors of the same name, on the same pictures. A set of tensors through which everything
flows that is still to come is a *cut*: where a cut agrees, what lies before it is not to blame for what comes after;
where one differs, something before it is. So the search keeps a cut that agrees and a later one that differs and halves
what lies between, until one layer is left: all it reads agrees, and what it gives does not. That holds even where
differences vanish again on the way (a ReLU swallows them), as nothing in it assumes that they only grow. It takes about
log2 of the number of layers runs, and each shows a few tensors only: no memory for all of them, and fused kernels stay
fused.

It asks that "agrees" means something, so it is for graphs of the same numbers: fp32 against fp32. In a graph of coarser
numbers every layer differs, and a little more than the one before: there is no layer at which agreement ends, and the
place where the sum passes a limit says nothing. There all tensors are compared, and the layer is named that adds most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from .probe import IMAGE, GraphOn, open_probe

#: Tensors that one run shows where all are compared; bounds the memory.
_AT_ONCE = 32


@dataclass(frozen=True)
class Layer:
    """A layer under suspicion.

    Attributes:
        name: of the node.
        operator: what it is.
        tensor: it gives.
        error: of that tensor, relative (see :func:`relative_error`).
        error_before: the largest of what the layer reads.
    """

    name: str
    operator: str
    tensor: str
    error: float
    error_before: float

    def __str__(self) -> str:
        return (
            f"{self.name} ({self.operator}): relative error {self.error:.2g} of what it gives, "
            f"{self.error_before:.2g} of what it reads"
        )

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
        The layer, by the reference's names; None if the network's ends agree.

    Raises:
        TemperError: if a runtime does not load a graph with inner tensors as outputs.
    """
    search = _Search(reference, other, images)
    cuts = search.cuts()
    low, high = 0, len(cuts) - 1
    if search.worst(cuts[high]) <= limit:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if search.worst(cuts[middle]) > limit:
            high = middle
        else:
            low = middle
    tensor = max((name for name in cuts[high] if search.error(name) > limit), key=search.error)
    return search.layer(tensor, search.worst(cuts[low]))


def largest_step(reference: GraphOn, other: GraphOn, images: Sequence[NDArray[np.uint8]]) -> Layer | None:
    """The layer that adds most to the relative error, for a graph of coarser numbers than the reference's.

    Args and errors are those of :func:`first_difference`.

    Returns:
        The layer, by the reference's names; None if the graphs have no inner tensor in common.
    """
    search = _Search(reference, other, images)
    names = search.shared_in_order()
    for start in range(0, len(names), _AT_ONCE):
        search.measure(names[start : start + _AT_ONCE])
    layers = [search.layer(name, search.error_before(name)) for name in names]
    if not layers:
        return None
    infinite = [layer for layer in layers if not np.isfinite(layer.error)]
    return infinite[0] if infinite else max(layers, key=lambda layer: layer.error - layer.error_before)


class _Search:
    """The errors of tensors that both sides have, measured when they are asked for."""

    def __init__(self, reference: GraphOn, other: GraphOn, images: Sequence[NDArray[np.uint8]]) -> None:
        self.reference, self.other, self.images = reference, other, images
        self.errors: dict[str, float] = {IMAGE: 0.0}
        # an end may be read through a cast or a dequantisation of the other side's
        self.ends = dict(zip(reference.raw_names, other.raw_names, strict=True))
        self.nodes = self._network()

    def cuts(self) -> list[tuple[str, ...]]:
        """Sets of tensors through which everything flows, in order: the picture alone, ..., the network's ends.

        Only those of which both sides have all tensors.
        """
        last_use: dict[str, int] = {}
        for position, node in enumerate(self.nodes):
            last_use.update(dict.fromkeys(node.input, position))
        last_use.update(dict.fromkeys(self.ends, len(self.nodes)))
        alive = [IMAGE]
        cuts: list[tuple[str, ...]] = [(IMAGE,)]
        for position, node in enumerate(self.nodes):
            alive += [name for name in node.output if name in last_use]
            alive = [name for name in alive if last_use[name] > position]
            if all(self._shared(name) for name in alive):
                cuts.append(tuple(alive))
        return cuts

    def shared_in_order(self) -> list[str]:
        """Every tensor that both sides compute on the way to the network's ends."""
        return [name for node in self.nodes for name in node.output if name and self._shared(name) and name != IMAGE]

    def error(self, name: str) -> float:
        """The relative error of a tensor."""
        self.measure([name])
        return self.errors[name]

    def worst(self, cut: Sequence[str]) -> float:
        """The largest relative error in a cut."""
        self.measure(cut)
        return max(self.errors[name] for name in cut)

    def error_before(self, name: str) -> float:
        """The largest relative error of the nearest tensors before this one that both sides have."""
        waiting, seen, worst = list(self.reference.producers[name].input), set[str](), 0.0
        while waiting:
            before = waiting.pop()
            if before in seen:
                continue
            seen.add(before)
            if self._shared(before):
                worst = max(worst, self.error(before))
            elif before in self.reference.producers:
                waiting += self.reference.producers[before].input
        return worst

    def layer(self, tensor: str, before: float) -> Layer:
        node = self.reference.producers[tensor]
        return Layer(node.name, node.op_type, tensor, self.errors[tensor], before)

    def measure(self, names: Sequence[str]) -> None:
        """Run both sides once, with all of these tensors shown that are not known yet."""
        wanted = [name for name in names if name not in self.errors]
        if not wanted:
            return
        theirs = [self.ends.get(name, name) for name in wanted]
        with open_probe(self.reference, wanted) as right, open_probe(self.other, theirs) as doubtful:
            for image in self.images:
                expected, found = right.run(image[np.newaxis]), doubtful.run(image[np.newaxis])
                for name, there in zip(wanted, theirs, strict=True):
                    error = relative_error(expected[name], found[there])
                    self.errors[name] = max(self.errors.get(name, 0.0), error)

    def _shared(self, name: str) -> bool:
        return (
            name in self.errors
            or name in self.ends
            or (name in self.reference.producers and name in self.other.producers)
        )

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
