"""What the graphs of one size are judged by: Paddle's answers, the validation split, the accuracy budget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..bundle.manifest import Precision, Target
from ..core.events import Event, Reporter
from ..detection.images import ResizeRule
from ..detection.metrics import evaluate
from ..distill.detectors.normalise import normalisation_for
from ..distill.recipe_sizes import GraphSize
from .evaluate import Progress, evenly_spaced, graph_detections, in_picture_pixels
from .job import Exported, ExportJob
from .padded import PaddedDetector, PaddedNormalisation
from .parity import PaddleAnswer, check_parity, paddle_answers
from .thresholds import best_thresholds

if TYPE_CHECKING:
    from ..distill.detectors.base import Detector

STAGE = "export"
#: At least so many training pictures choose the operating points, if there are as many.
THRESHOLD_IMAGES = 256


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
        self.paddle: list[PaddleAnswer] = []

    def title(self, kind: str) -> str:
        """How messages call a graph of this size."""
        return f"{self.job.name} {kind} at {self.size.width} x {self.size.height}"

    def ask_paddle(self, detector: Detector) -> None:
        """Let Paddle answer the pictures that parity is measured on."""
        normalisation = self.normalisation
        if self.size.padded != self.size.pixels:
            normalisation = PaddedNormalisation(normalisation.mean, normalisation.std, self.size.padded)
            detector = cast("Detector", PaddedDetector(detector, self.size.padded))
        self.paddle = paddle_answers(
            detector,
            self.validation,
            normalisation,
            self.settings,
            self.parity_rows,
            self.progress("Paddle's detections"),
        )
        if not any(len(one.detections) for one in self.paddle):
            self.warn(
                f"{self.job.name}: the model finds nothing above the score floor on {len(self.paddle)} pictures, so "
                "that parity proves little. Train it for longer."
            )

    def judge(self, kind: str, precision: Precision, target: Target, graph: Path) -> Exported:
        """Parity on some validation pictures and accuracy on all, from one pass over them."""
        found = graph_detections(graph, self.validation, progress=self.progress(f"{kind} on validation pictures"))
        parity = check_parity(
            self.paddle,
            [found[row] for row in self.parity_rows],
            self.validation,
            self.parity_rows,
            self.settings,
            exact=precision == "fp32",
        )
        moved = in_picture_pixels(found, self.validation, range(len(found)))
        return Exported(kind, precision, target, self.size, graph, parity, evaluate(self.job.validation, moved))

    def training_map(self, graph: Path, rows: Sequence[int], unit: str) -> float | None:
        """mAP on some training pictures, in points; None where they have no true box."""
        found = graph_detections(graph, self.calibration, rows, self.progress(unit))
        moved = in_picture_pixels(found, self.calibration, rows)
        return evaluate(self.job.calibration.subset(rows), moved).ap

    def operating_points(self, graph: Path) -> dict[str, float]:
        """The threshold of every class, learnt on training pictures."""
        wanted = max(THRESHOLD_IMAGES, self.job.export.calibration_images)
        rows = evenly_spaced(len(self.job.calibration), wanted)
        found = graph_detections(graph, self.calibration, rows, self.progress("operating points"))
        return best_thresholds(self.job.calibration.subset(rows), in_picture_pixels(found, self.calibration, rows))

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
