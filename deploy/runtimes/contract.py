"""The one place where a runtime is held to the graph's contract, whatever library is behind it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...bundle.manifest import Manifest
from ...core.errors import TemperError
from ..stages import StageTimes
from .base import Backend, RawOutput, TensorInfo, infer_timed


class CheckedRuntime:
    """A backend whose graph fits the manifest, with every call's pictures and answer checked.

    Raises:
        TemperError: with one sentence for every tensor that is not what the contract says.
    """

    def __init__(self, backend: Backend, manifest: Manifest, graph: str) -> None:
        mismatches = contract_mismatches(backend.inputs, backend.outputs, manifest)
        if mismatches:
            raise TemperError(f"{graph} is not a graph Temper can run. " + " ".join(mismatches))
        self._backend = backend
        self._graph = graph
        self._image_shape = image_shape(manifest)
        self._rows = manifest.max_detections
        self._classes = len(manifest.labels)

    @property
    def name(self) -> str:
        """The runtime's name in the registry."""
        return self._backend.name

    @property
    def version(self) -> str:
        """The version of the library behind it."""
        return self._backend.version

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing of how it runs here, a sentence each."""
        return self._backend.notes

    def infer(self, images: NDArray[np.uint8]) -> RawOutput:
        """Run the graph; see :class:`~.base.Runtime`.

        Raises:
            ValueError: if the pictures are not uint8 at the graph's size.
            TemperError: if the runtime fails, or its answer breaks the contract.
        """
        return self.infer_staged(images, {})

    def infer_staged(self, images: NDArray[np.uint8], times: StageTimes) -> RawOutput:
        """Run the graph, timed; see :class:`~.base.Staged`.

        Raises:
            ValueError: if the pictures are not uint8 at the graph's size.
            TemperError: if the runtime fails, or its answer breaks the contract.
        """
        if images.dtype != np.uint8 or images.shape[1:] != self._image_shape or not len(images):
            raise ValueError(
                f"the graph takes uint8 [B, {', '.join(map(str, self._image_shape))}]; "
                f"it was given {images.dtype} {list(images.shape)}"
            )
        answer = infer_timed(self._backend, images, times)
        fault = answer_fault(answer, len(images), self._rows, self._classes)
        if fault:
            raise TemperError(
                f"{self.name} {self.version} gave an answer for {self._graph} that cannot be used: {fault}."
            )
        return answer

    def close(self) -> None:
        """Free what the runtime holds."""
        self._backend.close()


def image_shape(manifest: Manifest) -> tuple[int, ...]:
    """The shape of one picture at the graph's size: (H, W) for grey, (H, W, 3) for RGB."""
    size = (manifest.input.height, manifest.input.width)
    return size if manifest.input.channels == "grey" else (*size, 3)


def contract_mismatches(inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo], manifest: Manifest) -> list[str]:
    """What of a graph's inputs and outputs is not as the contract says, one sentence each; empty if all is well."""
    rows = manifest.max_detections
    sentences = _compare("input", inputs, [TensorInfo("image", "uint8", (None, *image_shape(manifest)))])
    return sentences + _compare(
        "output",
        outputs,
        [
            TensorInfo("boxes", "float32", (None, rows, 4)),
            TensorInfo("scores", "float32", (None, rows)),
            TensorInfo("labels", "int32", (None, rows)),
            TensorInfo("count", "int32", (None,)),
        ],
    )


def answer_fault(answer: RawOutput, batch: int, rows: int, classes: int) -> str | None:
    """Why an answer cannot be trusted, in a few words; None if it can.

    Shapes and dtypes are checked, and of the rows up to ``count`` that numbers are finite and labels known: a
    broken answer must never pass for "no defect".
    """
    for name, array, dtype, shape in (
        ("boxes", answer.boxes, np.float32, (batch, rows, 4)),
        ("scores", answer.scores, np.float32, (batch, rows)),
        ("labels", answer.labels, np.int32, (batch, rows)),
        ("count", answer.count, np.int32, (batch,)),
    ):
        if array.dtype != dtype or array.shape != shape:
            return f"{name} is {array.dtype} {list(array.shape)}, not {np.dtype(dtype)} {list(shape)}"
    if answer.count.min() < 0 or answer.count.max() > rows:
        return f"count is {answer.count.tolist()}, outside 0 to {rows}"
    for index, count in enumerate(answer.count.tolist()):
        scores, labels = answer.scores[index, :count], answer.labels[index, :count]
        if not (np.isfinite(answer.boxes[index, :count]).all() and np.isfinite(scores).all()):
            return "boxes or scores are not finite numbers"
        if count and (labels.min() < 0 or labels.max() >= classes):
            return f"labels go from {labels.min()} to {labels.max()}, outside 0 to {classes - 1}"
    return None


def _compare(role: str, found: Sequence[TensorInfo], expected: Sequence[TensorInfo]) -> list[str]:
    by_name = {tensor.name: tensor for tensor in found}
    sentences = []
    for tensor in expected:
        there = by_name.pop(tensor.name, None)
        if there is None:
            sentences.append(f"It has no {role} '{tensor.name}' ({tensor.dtype} {_shape(tensor)}).")
        elif there.dtype != tensor.dtype or not _fits(there.shape, tensor.shape):
            sentences.append(
                f"Its {role} '{tensor.name}' is {there.dtype} {_shape(there)}; "
                f"by the manifest it should be {tensor.dtype} {_shape(tensor)}."
            )
    sentences += [f"It has an {role} '{name}' that the contract does not know." for name in by_name]
    return sentences


def _fits(found: tuple[int | None, ...], expected: tuple[int | None, ...]) -> bool:
    """Whether a declared shape leaves the batch open and elsewhere is the expected one, or open itself."""
    if len(found) != len(expected) or found[0] is not None:
        return False
    return all(have is None or have == want for have, want in zip(found[1:], expected[1:], strict=True))


def _shape(tensor: TensorInfo) -> str:
    return (
        "["
        + ", ".join(
            "B" if axis == 0 and n is None else "?" if n is None else str(n) for axis, n in enumerate(tensor.shape)
        )
        + "]"
    )
