"""Looking into a graph: some of its inner tensors made outputs, on any runtime that takes a file."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..bundle.manifest import Precision, Target
from ..core.errors import TemperError
from ..core.files import PARTIAL_SUFFIX, explain_os_errors
from ..deploy.runtimes.load import DEFAULT_RUNTIME, open_graph
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
    """A graph on a runtime with the outputs one asks for."""

    def __init__(self, graph: GraphOn, names: Sequence[str], file: Path) -> None:
        # what computes a tensor that nobody else reads is the same; all else that is not needed, runtimes drop
        model = onnx.ModelProto()
        model.CopyFrom(graph.model)
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        with explain_os_errors(file):
            file.write_bytes(model.SerializeToString())
        self._names = tuple(names)
        self._backend = open_graph(graph.runtime, file, graph.precision)

    def run(self, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """The tensors' values for pictures uint8 [B, H, W] or [B, H, W, 3]."""
        return dict(zip(self._names, self._backend.tensors(images, self._names), strict=True))

    def close(self) -> None:
        """Free the runtime."""
        self._backend.close()


@contextlib.contextmanager
def open_probe(graph: GraphOn, names: Sequence[str]) -> Iterator[Probe]:
    """Open a graph so that it gives these tensors.

    Args:
        graph: and its runtime.
        names: of tensors that it computes, or has as outputs.

    Raises:
        TemperError: if the runtime does not load it so.
    """
    with tempfile.TemporaryDirectory(prefix="temper-probe-", suffix=PARTIAL_SUFFIX) as folder:
        probe = Probe(graph, names, Path(folder) / graph.path.name)
        try:
            yield probe
        finally:
            probe.close()
