"""What the graphs of one size are judged by: Paddle's answers, the validation split, the accuracy budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..bundle.manifest import Precision, Target
from ..core.errors import TemperError
from ..core.events import Event, Reporter
from ..deploy.runtimes.load import DEFAULT_RUNTIME, open_graph
from ..detection.detections import Detections
from ..detection.images import ResizeRule
from ..detection.metrics import evaluate
from ..distill.detectors.normalise import normalisation_for
from ..distill.recipe_sizes import GraphSize
from .evaluate import Progress, evenly_spaced, graph_detections, in_picture_pixels, runtime_detections
from .job import Exported, ExportJob
from .padded import at_size
from .parity import PaddleReference, ask_paddle
from .probe import GraphFile
from .proof import Proof, investigated, prove, prove_on, require_proof, runtimes_for
from .thresholds import best_thresholds

if TYPE_CHECKING:
    from ..distill.detectors.base import Detector

STAGE = "export"


class Judge:
    """The pictures of one size, and what is known of them.

    Args:
        job: what is exported.
        size: of the graphs.
        report: told of progress.
    """

    def __init__(self, job: ExportJob, size: GraphSize, report: Reporter) -> None:
        from ..distill.training.loader import PictureStore

        self.job, self.size, self.report = job, size, report
        self.settings = job.export.decode_settings()
        self.normalisation = normalisation_for(job.input.channels, job.detector.pixel_scale)
        rule = ResizeRule(size.width, size.height, job.input.resize)
        self.validation: PictureStore = PictureStore(job.validation, rule, job.input.channels)
        self.calibration: PictureStore = PictureStore(job.calibration, rule, job.input.channels)
        self.parity_rows = evenly_spaced(len(job.validation), job.export.parity_images)
        self.traced: Path | None = None
        self.found: list[Detections] = []

    def title(self, kind: str) -> str:
        """How messages call a graph of this size."""
        size = "any size, judged at " if self.size.any_size else ""
        return f"{self.job.name} {kind} at {size}{self.size.width} x {self.size.height}"

    def ask_paddle(self, detector: Detector) -> None:
        """Let Paddle answer the pictures that parity is measured on."""
        asked, normalisation = at_size(detector, self.normalisation, self.size)
        self.paddle: PaddleReference = ask_paddle(
            asked,
            self.validation,
            normalisation,
            self.settings,
            self.parity_rows,
            self.progress("Paddle's detections"),
            self.job.export.max_map_drop,
        )
        if not any(len(one.detections) for one in self.paddle.answers):
            self.warn(
                f"{self.job.name}: the model finds nothing above the score floor on {len(self.parity_rows)} pictures, "
                "so that parity proves little. Train it for longer."
            )

    def judge(self, kind: str, precision: Precision, target: Target, graph: Path) -> Exported:
        """Proof on some validation pictures and accuracy on all, from one pass of ONNX Runtime over them."""
        self.traced = self.traced or graph  # the fp32 graph comes first
        runtime = open_graph(DEFAULT_RUNTIME, graph, precision)
        try:
            tell = self.progress(f"{kind} on validation pictures")
            found = runtime_detections(runtime, self.validation, range(len(self.job.validation)), tell)
            chosen = [found[row] for row in self.parity_rows]
            proof = prove(self.paddle, GraphFile(kind, precision, target, graph), runtime, chosen)
        finally:
            runtime.close()
        moved = in_picture_pixels(found, self.validation, range(len(found)))
        self.found = self.found or moved
        return Exported(kind, precision, target, self.size, graph, proof, evaluate(self.job.validation, moved))

    def prove_elsewhere(self, exported: Exported) -> Exported:
        """Hold a graph against Paddle on the other runtimes of this machine too.

        Raises:
            TemperError: if it is beyond its tolerance on one of them, or on ONNX Runtime.
        """
        file = exported.proof.graph
        others = [name for name in runtimes_for(file) if name != DEFAULT_RUNTIME]
        assert self.traced is not None
        traced = self.traced
        others = [name for name in others if self._loads(name, file)]
        proofs = prove_on(
            self.paddle,
            file,
            others,
            lambda name: open_graph(name, file.path, file.precision),
            lambda: traced,
            self.progress(f"{exported.kind} on {' and '.join(others)}"),
        )
        elsewhere = tuple(proofs)
        self.require([exported.proof, *elsewhere])
        return replace(exported, elsewhere=elsewhere)

    def _loads(self, name: str, file: GraphFile) -> bool:
        """Whether a runtime nobody asked for takes the graph; one that is there and does not work is no fault of it."""
        try:
            open_graph(name, file.path, file.precision).close()
        except TemperError as error:
            self.warn(f"{self.title(file.name)} was not tried on {name}: {error}")
            return False
        return True

    def require(self, proofs: Sequence[Proof]) -> None:
        """Refuse what differs from Paddle, with where the difference begins.

        Raises:
            TemperError: with the figures and their limits.
        """
        assert self.traced is not None
        traced = self.traced
        require_proof(
            investigated(proof, self.paddle, traced) if proof.faults and proof.suspect is None else proof
            for proof in proofs
        )

    def training_map(self, graph: Path, rows: Sequence[int], unit: str) -> float | None:
        """mAP on some training pictures, in points; None where they have no true box."""
        found = graph_detections(graph, self.calibration, rows, self.progress(unit))
        moved = in_picture_pixels(found, self.calibration, rows)
        return evaluate(self.job.calibration.subset(rows), moved).ap

    def operating_points(self) -> dict[str, float]:
        """The threshold of every class, by what the first graph found on the validation pictures.

        Not by the training pictures: on what it was trained on a model is surer than it will ever be on the line.
        """
        return best_thresholds(self.job.validation, self.found)

    def over_budget(self, exported: Exported, fp32: Exported) -> str | None:
        """What of the accuracy budget a graph exceeds, in words; None if it holds."""
        limits = self.job.export
        faults = []
        for name, limit, before, after in (
            ("mAP", limits.max_map_drop, fp32.accuracy.ap, exported.accuracy.ap),
            ("mAP of small defects", limits.max_small_drop, fp32.accuracy.ap_small, exported.accuracy.ap_small),
        ):
            # None where no true box is small, or none at all: nothing to lose
            if before is not None and after is not None and before - after > limit:
                faults.append(f"its {name} of {after:.2f} is {before - after:.2f} below fp32's, {limit:g} are allowed")
        return " and ".join(faults) or None

    def describe(self, exported: Exported) -> None:
        """Tell of a graph that holds."""
        parity, ap = exported.parity, exported.accuracy.ap
        small = exported.accuracy.ap_small
        self.note(
            f"{self.title(exported.kind)}: {'no mAP' if ap is None else f'mAP {ap:.2f}'} (of small defects "
            f"{'None' if small is None else f'{small:.2f}'}); against Paddle "
            f"scores within {parity.largest_score_difference:.2g}, boxes within "
            f"{parity.largest_box_difference_px:.2g} px, {parity.matched_share:.1%} of the detections paired"
        )

    def note(self, message: str) -> None:
        """Tell something worth knowing."""
        self.report(Event("note", STAGE, {"message": message}))

    def warn(self, message: str) -> None:
        """Tell something that may have to be mended."""
        self.report(Event("warning", STAGE, {"message": message}))

    def progress(self, unit: str) -> Progress:
        """A progress that is told in some twenty steps."""

        def tell(done: int, total: int) -> None:
            if done == total or done % max(1, total // 20) == 0:
                self.report(Event("step", STAGE, {"done": done, "total": total, "unit": unit}))

        return tell
