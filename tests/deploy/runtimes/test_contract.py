from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from temper.bundle.loader import open_bundle
from temper.bundle.manifest import Manifest
from temper.core.errors import TemperError
from temper.deploy.runtimes.base import RawOutput, TensorInfo
from temper.deploy.runtimes.contract import CheckedRuntime, answer_fault, contract_mismatches

K = 100
INPUTS = (TensorInfo("image", "uint8", (None, 64, 64)),)
OUTPUTS = (
    TensorInfo("boxes", "float32", (None, K, 4)),
    TensorInfo("scores", "float32", (None, K)),
    TensorInfo("labels", "int32", (None, K)),
    TensorInfo("count", "int32", (None,)),
)


@pytest.fixture
def manifest(bundle_path: Path) -> Manifest:
    return open_bundle(bundle_path).manifest


def empty_answer(batch: int = 1) -> RawOutput:
    return RawOutput(
        np.zeros((batch, K, 4), np.float32),
        np.zeros((batch, K), np.float32),
        np.full((batch, K), -1, np.int32),
        np.zeros(batch, np.int32),
    )


class FixedBackend:
    """A backend whose graph and answer are given."""

    name = "fixed"
    version = "1"
    notes = ()
    inputs = INPUTS

    def __init__(self, answer: RawOutput, outputs: tuple[TensorInfo, ...] = OUTPUTS) -> None:
        self.answer = answer
        self.outputs = outputs
        self.closed = False

    def infer(self, images: NDArray[np.uint8]) -> RawOutput:
        return self.answer

    def close(self) -> None:
        self.closed = True


def test_the_graph_of_the_design_fits(manifest: Manifest) -> None:
    assert contract_mismatches(INPUTS, OUTPUTS, manifest) == []


def test_dimensions_a_runtime_does_not_know_are_no_mismatch(manifest: Manifest) -> None:
    open_outputs = tuple(replace(tensor, shape=(None,) * len(tensor.shape)) for tensor in OUTPUTS)
    assert contract_mismatches(INPUTS, open_outputs, manifest) == []


@pytest.mark.parametrize(
    ("inputs", "outputs", "sentence"),
    [
        ((), OUTPUTS, r"It has no input 'image' \(uint8 \[B, 64, 64\]\)\."),
        (
            (TensorInfo("image", "float32", (None, 64, 64)),),
            OUTPUTS,
            r"Its input 'image' is float32 \[B, 64, 64\]; by the manifest it should be uint8 \[B, 64, 64\]\.",
        ),
        ((TensorInfo("image", "uint8", (None, 64, 64, 3)),), OUTPUTS, r"uint8 \[B, 64, 64, 3\]; .* \[B, 64, 64\]"),
        ((TensorInfo("image", "uint8", (1, 64, 64)),), OUTPUTS, r"uint8 \[1, 64, 64\]; .* \[B, 64, 64\]"),
        ((TensorInfo("image", "uint8", (None, 64, 32)),), OUTPUTS, r"uint8 \[B, 64, 32\]; .* \[B, 64, 64\]"),
        (INPUTS, OUTPUTS[:3], r"It has no output 'count' \(int32 \[B\]\)\."),
        (INPUTS, (*OUTPUTS[:3], TensorInfo("count", "int64", (None,))), r"Its output 'count' is int64 \[B\];"),
        (
            INPUTS,
            (*OUTPUTS, TensorInfo("extra", "float32", ())),
            r"It has an output 'extra' that the contract does not know",
        ),
        (INPUTS, (TensorInfo("boxes", "float32", (None, 50, 4)), *OUTPUTS[1:]), r"\[B, 50, 4\]; .* \[B, 100, 4\]"),
    ],
)
def test_every_mismatch_is_one_sentence(
    manifest: Manifest, inputs: tuple[TensorInfo, ...], outputs: tuple[TensorInfo, ...], sentence: str
) -> None:
    (found,) = contract_mismatches(inputs, outputs, manifest)
    with pytest.raises(TemperError, match=sentence):
        raise TemperError(found)


def test_a_graph_that_does_not_fit_is_refused_with_all_its_mismatches(manifest: Manifest) -> None:
    with pytest.raises(TemperError, match=r"^model is not a graph Temper can run\. .*'labels'.*'count'"):
        CheckedRuntime(FixedBackend(empty_answer(), OUTPUTS[:2]), manifest, "model")


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 64, 64), np.float32),
        np.zeros((1, 64, 65), np.uint8),
        np.zeros((64, 64), np.uint8),
        np.zeros((0, 64, 64), np.uint8),
    ],
)
def test_only_pictures_at_the_graphs_size_are_taken(manifest: Manifest, images: NDArray[np.uint8]) -> None:
    runtime = CheckedRuntime(FixedBackend(empty_answer()), manifest, "model")
    with pytest.raises(ValueError, match=r"the graph takes uint8 \[B, 64, 64\]"):
        runtime.infer(images)


def broken_answers() -> list[tuple[RawOutput, str]]:
    one = replace(empty_answer(), count=np.array([1], np.int32))
    labelled = replace(one, labels=np.where(np.arange(K) == 0, 0, -1).astype(np.int32)[None])
    nan = np.zeros((1, K), np.float32)
    nan[0, 0] = np.nan
    return [
        (replace(empty_answer(), boxes=np.zeros((1, K, 5), np.float32)), r"boxes is float32 \[1, 100, 5\], not"),
        (replace(empty_answer(), scores=np.zeros((1, K))), r"scores is float64"),
        (empty_answer(2), r"boxes is float32 \[2, 100, 4\]"),
        (replace(empty_answer(), count=np.array([-1], np.int32)), r"count is \[-1\], outside 0 to 100"),
        (replace(empty_answer(), count=np.array([101], np.int32)), r"count is \[101\]"),
        (one, r"labels go from -1 to -1, outside 0 to 2"),
        (replace(labelled, labels=labelled.labels + 3), r"labels go from 3 to 3"),
        (replace(labelled, scores=nan), r"boxes or scores are not finite"),
    ]


@pytest.mark.parametrize(("answer", "fault"), broken_answers())
def test_an_answer_that_breaks_the_contract_is_an_error_and_never_no_defect(
    manifest: Manifest, answer: RawOutput, fault: str
) -> None:
    runtime = CheckedRuntime(FixedBackend(answer), manifest, "model")
    with pytest.raises(TemperError, match=rf"fixed 1 gave an answer for model that cannot be used: {fault}"):
        runtime.infer(np.zeros((1, 64, 64), np.uint8))


def test_numbers_past_count_do_not_matter_to_the_line() -> None:
    rest = replace(empty_answer(), scores=np.full((1, K), np.nan, np.float32))
    assert answer_fault(rest, 1, K, 3) is None


def test_closing_reaches_the_backend(manifest: Manifest) -> None:
    backend = FixedBackend(empty_answer())
    CheckedRuntime(backend, manifest, "model").close()
    assert backend.closed
