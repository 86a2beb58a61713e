"""What there is to export, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..bundle.manifest import Accuracy, Parity, Precision, Quantization, Size, Target, Variant
from ..core.files import sha256_file
from ..detection.metrics import AccuracyFigures
from ..distill.recipe_sizes import GraphSize
from .proof import Proof

if TYPE_CHECKING:
    from ..detection.dataset import DataSet
    from ..distill.recipe import ExportSection, InputSection
    from ..distill.recipe_detectors import DetectorSection


@dataclass(frozen=True)
class ExportJob:
    """One model to export.

    Attributes:
        name: of the bundle.
        role: what the model is in its run.
        detector: its description.
        weights: its trained weights.
        labels: class names in the order of their index.
        input: size, channels and resize rule of the network's input.
        export: precisions, sizes, decoding, how many pictures.
        calibration: training pictures; they set int8's ranges.
        validation: pictures that parity and accuracy are measured on, and the operating points chosen.
        recipe: the run's recipe as plain values.
        data_sha256: of the data the model was trained on.
        test: pictures nothing is chosen on; None where the data has none.
        training: record of the training, as plain values; None where it is not known.
    """

    name: str
    role: Literal["teacher", "student", "distilled", "other"]
    detector: DetectorSection
    weights: Path
    labels: tuple[str, ...]
    input: InputSection
    export: ExportSection
    calibration: DataSet
    validation: DataSet
    recipe: dict[str, Any]
    data_sha256: str
    test: DataSet | None = None
    training: dict[str, Any] | None = None


@dataclass(frozen=True)
class Exported:
    """A graph that holds, and what is known of it.

    Attributes:
        kind: what the recipe's ``export.precisions`` calls it.
        precision: of the graph.
        target: what it is made for.
        size: of its picture.
        graph: its file.
        proof: against Paddle, on ONNX Runtime.
        accuracy: on the validation split.
        kept_float: names of nodes in fp32, where others are not.
        quantization: how it became int8.
        elsewhere: the proofs on the other runtimes of this machine.
    """

    kind: str
    precision: Precision
    target: Target
    size: GraphSize
    graph: Path
    proof: Proof
    accuracy: AccuracyFigures
    kept_float: tuple[str, ...] = ()
    quantization: Quantization | None = None
    elsewhere: tuple[Proof, ...] = ()

    @property
    def parity(self) -> Parity:
        """How far it is from Paddle on ONNX Runtime."""
        return self.proof.parity()

    def with_record(self, kept_float: tuple[str, ...], quantization: Quantization | None = None) -> Exported:
        """The same graph, with how it was made."""
        return replace(self, kept_float=kept_float, quantization=quantization)

    def variant(self, first: GraphSize) -> Variant:
        """What the manifest says of it; ``first`` is the bundle's own size."""
        name = self.kind if self.size == first else f"{self.kind}-{self.size.suffix}"
        own = self.size.pixels != first.pixels
        return Variant(
            name=name,
            precision=self.precision,
            target=self.target,
            size=Size(width=self.size.width, height=self.size.height) if own else None,
            any_size=self.size.any_size,
            file=f"graphs/{name}.onnx",
            sha256=sha256_file(self.graph),
            bytes=self.graph.stat().st_size,
            kept_float=list(self.kept_float),
            quantization=self.quantization,
            parity=self.parity,
            parity_elsewhere=[proof.parity() for proof in self.elsewhere],
            accuracy=Accuracy(**self.accuracy.to_dict()),
        )
