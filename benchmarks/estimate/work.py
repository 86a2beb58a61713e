"""What a graph has to do, layer by layer: operations and elements moved, apart from any device.

A layer here is what a runtime for GPUs makes one kernel of: a convolution with the activation, the normalisation and
the addition behind it; quantisation is part of the layers around it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any, Literal

from ...bundle.graph_file import OnnxFile
from ...core.errors import MissingDependencyError, TemperError, install_hint
from .operators import FREE, Kind, kind_of

if TYPE_CHECKING:
    import onnx

LayerPrecision = Literal["int8", "fp16", "fp32"]
#: Bytes of an element.
ELEMENT_BYTES = {"int8": 1, "fp16": 2, "fp32": 4}


@dataclass(frozen=True)
class LayerWork:
    """One layer.

    Attributes:
        name: of the node it is named after.
        kind: what bounds it; see ``operators.py``.
        precision: of its arithmetic and its elements.
        operations: a multiplication and an addition count as two.
        weights: elements of constants.
        read: elements of other layers' results that it reads.
        written: elements that it writes.
        rows: of a matrix multiplication, positions of the result times pictures.
        columns: of it, channels of the result in each group.
        depth: of it, products that are added up for each element.
        groups: matrix multiplications side by side.
        operators: ONNX operators that went into it.
    """

    name: str
    kind: Kind
    precision: LayerPrecision
    operations: float = 0.0
    weights: int = 0
    read: int = 0
    written: int = 0
    rows: int = 0
    columns: int = 0
    depth: int = 0
    groups: int = 1
    operators: tuple[str, ...] = ()

    @property
    def moved_bytes(self) -> float:
        """Bytes read and written, weights included."""
        return float((self.weights + self.read + self.written) * ELEMENT_BYTES[self.precision])


@dataclass(frozen=True)
class GraphWork:
    """All layers of a graph for one number of pictures.

    Attributes:
        layers: in the order of the graph.
        weight_bytes: of all constants.
        peak_activation_bytes: most bytes of results that are needed at one moment.
        input_bytes: copied to the device.
        output_bytes: copied back.
        unknown: operators that are counted as passes over memory for want of better knowledge.
    """

    layers: tuple[LayerWork, ...]
    weight_bytes: float
    peak_activation_bytes: float
    input_bytes: float
    output_bytes: float
    unknown: tuple[str, ...] = ()

    @property
    def operations(self) -> float:
        """All of them together."""
        return sum(layer.operations for layer in self.layers)

    def in_precision(self, precision: LayerPrecision) -> GraphWork:
        """The same layers with every one in this precision, as a runtime with the choice would have them."""
        share = ELEMENT_BYTES[precision] / 4
        return replace(
            self,
            layers=tuple(replace(layer, precision=precision) for layer in self.layers),
            weight_bytes=self.weight_bytes * share,
            peak_activation_bytes=self.peak_activation_bytes * share,
        )


def graph_work(graph: OnnxFile, batch: int) -> GraphWork:
    """Read the work off an ONNX file.

    Args:
        graph: the file; its batch dimension may be open.
        batch: pictures per call.

    Raises:
        MissingDependencyError: if the ``onnx`` package is not installed.
        TemperError: if the file is no ONNX graph, or its input has other open dimensions.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingDependencyError(
            "Estimates read ONNX graphs with the package onnx, which is not installed. " + install_hint("plan")
        ) from error
    try:
        model = onnx.load_from_string(graph.content)
    except Exception as error:  # protobuf's own classes
        raise TemperError(f"{graph.title} is no ONNX graph: {error}.") from error
    return _Reader(model, batch, graph.title).work()


@dataclass
class _Group:
    """Nodes that become one layer."""

    head: onnx.NodeProto
    kind: Kind
    nodes: list[onnx.NodeProto] = field(default_factory=list)


class _Reader:
    def __init__(self, model: onnx.ModelProto, batch: int, name: str) -> None:
        import onnx

        for value in model.graph.input:
            first, *others = value.type.tensor_type.shape.dim
            if any(not one.dim_value for one in others):
                raise TemperError(f"The input {value.name} of {name} is of no fixed size, so its work is not known.")
            first.Clear()
            first.dim_value = batch
        self.graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        self.constants = {one.name: tuple(one.dims) for one in self.graph.initializer}
        self.stored = frozenset(self.constants)
        self.floats = {one.name: one.data_type for one in self.graph.initializer}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.types: dict[str, int] = {}
        for value in (*self.graph.input, *self.graph.value_info, *self.graph.output):
            kind = value.type.tensor_type
            self.shapes[value.name] = tuple(one.dim_value for one in kind.shape.dim)  # 0 where it is not known
            self.types[value.name] = kind.elem_type
        self.makers = {output: node for node in self.graph.node for output in node.output}
        self.readers = Counter(name for node in self.graph.node for name in node.input)
        self.same = self._same_bytes()
        self._fold_constants()

    def work(self) -> GraphWork:
        groups = self._groups()
        owner = {output: group for group in groups for node in group.nodes for output in node.output}
        layers = [self._layer(group, owner) for group in groups]
        unknown = sorted({group.head.op_type for group in groups if group.kind == "unknown"})
        held: dict[str, float] = {}  # a constant that several layers read is held once
        for group, layer in zip(groups, layers, strict=True):
            for name in {self._origin(name) for node in group.nodes for name in node.input}:
                if name in self.stored:
                    held[name] = prod(self.constants[name]) * ELEMENT_BYTES[layer.precision]
        return GraphWork(
            tuple(layers),
            float(sum(held.values())),
            max((float(layer.read + layer.written) * ELEMENT_BYTES[layer.precision] for layer in layers), default=0.0),
            float(sum(self._elements(one.name) * _type_bytes(self.types[one.name]) for one in self.graph.input)),
            float(sum(self._elements(one.name) * _type_bytes(self.types[one.name]) for one in self.graph.output)),
            tuple(unknown),
        )

    def _same_bytes(self) -> dict[str, str]:
        """From a result of an operator that costs nothing to what it stands for."""
        same: dict[str, str] = {}
        for node in self.graph.node:
            if node.op_type in FREE and node.input:
                origin = node.input[0]
                for output in node.output:
                    same[output] = same.get(origin, origin)
        return same

    def _fold_constants(self) -> None:
        """What rests on constants alone is a constant."""
        for node in self.graph.node:
            inputs = [name for name in node.input if name]
            if node.op_type in ("Constant", "Shape", "Size") or all(name in self.constants for name in inputs):
                for output in node.output:
                    self.constants[output] = self.shapes.get(output, ())

    def _groups(self) -> list[_Group]:
        """Nodes by layer: a pointwise one joins the layer before it, where nothing else reads what that layer gives."""
        groups: list[_Group] = []
        of: dict[str, _Group] = {}
        alone = self._sole_readers()
        for node in self.graph.node:
            kind = kind_of(node.op_type)
            if kind is None or all(output in self.constants for output in node.output):
                continue
            joined = None
            if kind == "pointwise":
                origins = [self._origin(name) for name in node.input if name and name not in self.constants]
                joined = next((of[name] for name in reversed(origins) if name in of and alone[name] == 1), None)
            group = joined or _Group(node, kind)
            if joined is None:
                groups.append(group)
            group.nodes.append(node)
            of.update(dict.fromkeys(node.output, group))
        return groups

    def _sole_readers(self) -> Counter[str]:
        """How many nodes that cost something read each result."""
        counts: Counter[str] = Counter()
        for node in self.graph.node:
            if node.op_type not in FREE:
                counts.update({self._origin(name) for name in node.input if name})
        counts.update({self._origin(one.name) for one in self.graph.output})
        return counts

    def _origin(self, name: str) -> str:
        return self.same.get(name, name)

    def _layer(self, group: _Group, owner: dict[str, _Group]) -> LayerWork:
        inside = {output for node in group.nodes for output in node.output}
        weights = read = 0
        for name in {self._origin(name) for node in group.nodes for name in node.input if name}:
            if name in self.constants:
                weights += prod(self.constants[name])
            elif name not in inside:
                read += self._elements(name)
        read = self._really_read(group, read)
        written = sum(self._elements(output) for output in group.nodes[-1].output)
        layer = LayerWork(
            group.head.name or group.head.output[0],
            group.kind,
            self._precision(group.head),
            operations=float(written),
            weights=weights,
            read=read,
            written=written,
            operators=tuple(node.op_type for node in group.nodes),
        )
        return self._as_matrix(group.head, layer) if group.kind in ("conv", "matmul") else layer

    def _really_read(self, group: _Group, read: int) -> int:
        """Of what is gathered or cut out, only that is read."""
        if group.head.op_type in ("Gather", "GatherND", "GatherElements", "Slice", "Resize"):
            return min(read, 4 * sum(self._elements(output) for output in group.head.output)) or read
        return read

    def _as_matrix(self, node: onnx.NodeProto, layer: LayerWork) -> LayerWork:
        """A convolution or a product of matrices as one matrix multiplication for each group."""
        result = self.shapes.get(node.output[0], ())
        weights = self.constants.get(self._origin(node.input[1])) or self.shapes.get(self._origin(node.input[1]), ())
        if not result or not weights:
            return replace(layer, kind="unknown")
        groups = int(_attribute(node, "group", 1))
        if node.op_type == "Conv":
            rows, columns, depth = result[0] * prod(result[2:]), weights[0] // groups, prod(weights[1:])
        elif node.op_type == "ConvTranspose":
            rows, columns = result[0] * prod(result[2:]), weights[1]
            strides = prod(_attribute(node, "strides", [1]))
            depth = max(1, weights[0] // groups * prod(weights[2:]) // strides)
        else:
            transposed = node.op_type == "Gemm" and bool(_attribute(node, "transB", 0))
            rows, columns, depth = prod(result[:-1]), result[-1], weights[-1] if transposed else weights[-2]
        kind: Kind = "depthwise" if groups > 1 and columns == 1 else layer.kind
        return replace(
            layer,
            kind=kind,
            operations=2.0 * rows * columns * depth * groups,
            rows=rows,
            columns=columns,
            depth=depth,
            groups=groups,
        )

    def _precision(self, node: onnx.NodeProto) -> LayerPrecision:
        """What the graph says: quantised where data and weights are dequantised for the node, else by its elements."""
        makers = [self.makers[name].op_type for name in node.input if name in self.makers]
        if makers and makers[0] == "DequantizeLinear":
            return "int8"
        kinds = [self.types.get(name, self.floats.get(name, 0)) for name in (*node.input[:1], *node.output[:1])]
        return "fp16" if 10 in kinds else "fp32"

    def _elements(self, name: str) -> int:
        return prod(self.shapes.get(name, (0,)))


def _attribute(node: onnx.NodeProto, name: str, otherwise: Any) -> Any:
    import onnx

    found = next((one for one in node.attribute if one.name == name), None)
    return otherwise if found is None else onnx.helper.get_attribute_value(found)


def _type_bytes(element: int) -> int:
    """Bytes of an element of an ONNX type."""
    return {2: 1, 3: 1, 9: 1, 10: 2, 5: 2, 4: 2, 16: 2, 7: 8, 11: 8}.get(element, 4)
