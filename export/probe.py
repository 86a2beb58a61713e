"""Looking into a graph: some of its inner tensors made outputs, on any runtime that takes a file."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..bundle.manifest import Precision, Target
from ..core.errors import MissingDependencyError, TemperError
from ..core.files import PARTIAL_SUFFIX, explain_os_errors
from ..deploy.runtimes.base import FileBackend
from ..deploy.runtimes.load import DEFAULT_RUNTIME, open_graph
from ..deploy.runtimes.onnxruntime_providers import PROVIDERS
from .tail import RAW_READERS

#: Of a graph's picture input.
IMAGE = "image"


@dataclass(frozen=True)
class GraphFile:
    """A graph to be proven.

    Attributes:
        name: of the variant.
        precision: of its numbers.
        target: what it is made for.
        path: of the ONNX file.
    """

    name: str
    precision: Precision
    target: Target
    path: Path


@dataclass(frozen=True)
class GraphOn:
    """An ONNX file, and the runtime it is looked into on.

    Attributes:
        path: of the file.
        precision: of the graph.
        runtime: a name in the runtimes' registry, of one that takes files.
    """

    path: Path
    precision: Precision
    runtime: str = DEFAULT_RUNTIME

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The file's content.

        Raises:
            TemperError: if it is no ONNX file.
        """
        try:
            return onnx.load(str(self.path))
        except Exception as error:  # protobuf has a class of its own, and files may be missing
            raise TemperError(f"{self.path} cannot be read as ONNX ({type(error).__name__}).") from error

    @cached_property
    def producers(self) -> dict[str, onnx.NodeProto]:
        """Each tensor that is computed, and the node that does it."""
        return {name: node for node in self.model.graph.node for name in node.output if name}

    @cached_property
    def readers(self) -> dict[str, list[onnx.NodeProto]]:
        """Each tensor, and the nodes that read it."""
        found: dict[str, list[onnx.NodeProto]] = {}
        for node in self.model.graph.node:
            for name in node.input:
                found.setdefault(name, []).append(node)
        return found

    @property
    def raw_names(self) -> tuple[str, str]:
        """The tensors with the network's scores [B, A, classes] and regressions [B, A, 4], as the tail reads them.

        Raises:
            TemperError: if the graph has no such tail.
        """
        nodes = {node.name: node for node in self.model.graph.node}
        found = [nodes[reader].input[0] for reader in RAW_READERS if reader in nodes]
        if len(found) != len(RAW_READERS):
            raise TemperError(f"{self.path.name} has not the nodes {' and '.join(RAW_READERS)}, so it is not Temper's.")
        return found[0], found[1]


class Probe:
    """A graph, or a part of one, on a runtime with the outputs one asks for."""

    def __init__(self, model: onnx.ModelProto, graph: GraphOn, file: Path) -> None:
        with explain_os_errors(file):
            file.write_bytes(model.SerializeToString())
        self._names = tuple(output.name for output in model.graph.output)
        self._backend = _open(graph, file)

    def run(self, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """The tensors' values for pictures uint8 [B, H, W] or [B, H, W, 3]."""
        return self.run_from({IMAGE: images})

    def run_from(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The tensors' values, by the values of what the graph reads."""
        return dict(zip(self._names, self._backend.tensors(inputs, self._names), strict=True))

    def close(self) -> None:
        """Free the runtime."""
        self._backend.close()


def _open(graph: GraphOn, file: Path) -> FileBackend:
    """The file on the graph's runtime, rewritten as it would be on a device, or less where that does not load.

    ONNX Runtime 1.32 may fuse a node of an int8 graph into others although its output is asked for, and then misses it.
    """
    try:
        return open_graph(graph.runtime, file, graph.precision)
    except MissingDependencyError:
        raise
    except TemperError:
        if graph.runtime not in PROVIDERS:
            raise
    with contextlib.suppress(TemperError):
        return open_graph(graph.runtime, file, graph.precision, rewriting="basic")
    return open_graph(graph.runtime, file, graph.precision, rewriting="none")


@contextlib.contextmanager
def open_probe(graph: GraphOn, names: Sequence[str]) -> Iterator[Probe]:
    """Open a graph so that it gives these tensors.

    Args:
        graph: and its runtime.
        names: of tensors that it computes, or has as outputs.

    Raises:
        TemperError: if the runtime does not load it so.
    """
    # what computes these tensors stays as it is; what they do not need, runtimes drop
    with _opened(_with_outputs(graph.model, names), graph) as probe:
        yield probe


@contextlib.contextmanager
def open_rest(graph: GraphOn, cut: Sequence[str], names: Sequence[str]) -> Iterator[Probe]:
    """Open what a graph does after a cut.

    Args:
        graph: and its runtime.
        cut: tensors, float32 all of them, through which everything flows that the names depend on.
        names: of tensors that it computes after the cut.

    Raises:
        TemperError: if the runtime does not load it so.
    """
    model = _with_outputs(graph.model, names)
    needed, nodes = set(names), []
    for node in reversed(model.graph.node):
        if needed & set(node.output) - set(cut):
            needed.update(node.input)
            nodes.append(node)
    kept = nodes[::-1]
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend(kept)
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in cut if name in needed
    )
    with _opened(model, graph) as probe:
        yield probe


def _with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.output[:]
    changed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return changed


@contextlib.contextmanager
def _opened(model: onnx.ModelProto, graph: GraphOn) -> Iterator[Probe]:
    with tempfile.TemporaryDirectory(prefix="temper-probe-", suffix=PARTIAL_SUFFIX) as folder:
        probe = Probe(model, graph, Path(folder) / graph.path.name)
        try:
            yield probe
        finally:
            probe.close()
