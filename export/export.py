"""From trained weights to a bundle: trace, build, prove, quantise, judge, write."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .. import __version__
from ..bundle.manifest import Accuracy, InputRule, MadeBy, Manifest, Parity, Precision, Variant
from ..bundle.writer import require_bundle_target
from ..core.errors import TemperError
from ..core.events import Event, Reporter
from ..core.files import PARTIAL_SUFFIX, explain_os_errors, sha256_file, write_bytes
from ..detection.metrics import AccuracyFigures, evaluate
from ..distill.detectors.normalise import normalisation_for
from .evaluate import Progress, evenly_spaced, graph_detections, in_picture_pixels
from .finish import finish_bundle
from .parity import PaddleAnswer, check_parity, paddle_answers, require_parity
from .thresholds import best_thresholds

if TYPE_CHECKING:
    from ..detection.dataset import DataSet
    from ..distill.detectors.base import Detector
    from ..distill.recipe import ExportSection, InputSection
    from ..distill.recipe_detectors import DetectorSection
    from ..distill.training.loader import PictureStore
    from .quantize import Method

STAGE = "export"
#: An int8 graph may lose so many points of mAP to fp32.
MAX_INT8_LOSS = 1.0
#: At least so many training pictures choose the operating points, if there are as many.
THRESHOLD_IMAGES = 256
_LIBRARIES = ("paddlepaddle", "paddlepaddle-gpu", "paddledet", "paddle2onnx", "onnx", "onnxslim", "onnxruntime")


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
        export: precisions, decoding, how many pictures.
        calibration: training pictures; they set int8's ranges and the operating points.
        validation: pictures that parity and accuracy are measured on.
        recipe: the run's recipe as plain values.
        data_sha256: of the data the model was trained on.
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
    training: dict[str, Any] | None = None


def export_model(job: ExportJob, target: Path, report: Reporter) -> Manifest:
    """Export a model as a bundle.

    The fp32 graph has to agree with Paddle within the limits of ``parity``, or nothing is written. The int8 graph has
    to come within 1 point of mAP of fp32, or it is left out and a warning says so.

    Args:
        job: what to export.
        target: the bundle's folder, ending in ``.temper``; an older bundle there is replaced at the end, in one step.
        report: told of progress.

    Returns:
        The manifest of the bundle.

    Raises:
        UsageError: if ``target`` is no name for a bundle.
        MissingDependencyError: if Paddle, paddle2onnx or ONNX Runtime's tools are not installed.
        TemperError: if weights, data or graph are not what they should be.
    """
    from .trace import paddle_on_cpu

    require_bundle_target(target)
    _require_data(job)
    with _working_folder(target) as folder, paddle_on_cpu():
        work = _Work(job, folder, report)
        fp32 = work.export_fp32()
        made = [fp32] if "fp32" in job.export.precisions else []
        thresholds = work.operating_points(fp32.graph)
        if "int8" in job.export.precisions:
            int8 = work.export_int8(fp32)
            made += [int8] if int8 else []
        if not made:
            raise TemperError(
                f"{job.name} was not exported: int8 is the only precision asked for and it did not hold. "
                "Add fp32 to the recipe's export.precisions."
            )
        golden = None if job.export.golden_images is None else Path(job.export.golden_images)
        graphs: dict[str, Path] = {graph.precision: graph.graph for graph in made}
        manifest = finish_bundle(target, _manifest(job, made, thresholds), graphs, golden)
    work.note(f"{job.name}: wrote {target} with {' and '.join(graph.precision for graph in made)}")
    return manifest


@dataclass(frozen=True)
class _Exported:
    """A graph that holds, and what is known of it."""

    precision: Precision
    graph: Path
    parity: Parity
    accuracy: AccuracyFigures

    def variant(self) -> Variant:
        return Variant(
            name=self.precision,
            precision=self.precision,
            # its asymmetric uint8 activations are for processors: TensorRT takes symmetric int8 alone
            target="cpu" if self.precision == "int8" else "any",
            file=f"graphs/{self.precision}.onnx",
            sha256=sha256_file(self.graph),
            bytes=self.graph.stat().st_size,
            parity=self.parity,
            accuracy=Accuracy(**self.accuracy.to_dict()),
        )


class _Work:
    """The steps of one export and what they share."""

    def __init__(self, job: ExportJob, folder: Path, report: Reporter) -> None:
        from ..distill.training.loader import PictureStore

        self.job, self.folder, self.report = job, folder, report
        self.settings = job.export.decode_settings()
        self.normalisation = normalisation_for(job.input.channels, job.detector.pixel_scale)
        rule = job.input.rule()
        self.validation: PictureStore = PictureStore(job.validation, rule, job.input.channels)
        self.calibration: PictureStore = PictureStore(job.calibration, rule, job.input.channels)
        self.parity_rows = evenly_spaced(len(job.validation), job.export.parity_images)
        self.paddle: list[PaddleAnswer] = []

    def export_fp32(self) -> _Exported:
        """Trace, build and prove the fp32 graph."""
        from ..distill.detectors.build import build_detector, load_into

        job = self.job
        detector = build_detector(job.detector, job.labels, seed=0)
        load_into(detector, job.weights, whole=True, labels=job.labels)
        graph = self._build(detector)
        self.paddle = paddle_answers(
            detector,
            self.validation,
            self.normalisation,
            self.settings,
            self.parity_rows,
            self._progress("Paddle's detections"),
        )
        exported = self._judge("fp32", graph)
        require_parity(exported.parity, graph)
        if not any(len(one.detections) for one in self.paddle):
            self.warn(
                f"{job.name}: the model finds nothing above the score floor on {len(self.paddle)} pictures, so that "
                "parity proves little. Train it for longer."
            )
        self._describe(exported)
        return exported

    def export_int8(self, fp32: _Exported) -> _Exported | None:
        """Quantise and judge; None, with a warning, if int8 does not hold."""
        from .quantize import quantize_int8

        if fp32.accuracy.ap is None:
            self.warn(f"{self.job.name}: int8 is left out, as no validation picture has a true box to judge it by.")
            return None
        rows = evenly_spaced(len(self.job.calibration), self.job.export.calibration_images)
        graph = self.folder / "int8.onnx"
        figures = []
        methods: tuple[Method, ...] = ("min_max", "percentile")
        for method in methods:
            self.note(f"{self.job.name}: quantising to int8, ranges by {method} of {len(rows)} pictures")
            quantize_int8(fp32.graph, (self.calibration.image(row) for row in rows), graph, method=method)
            exported = self._judge("int8", graph)
            reached = exported.accuracy.ap or 0.0
            if fp32.accuracy.ap - reached <= MAX_INT8_LOSS:
                self._describe(exported)
                return exported
            figures.append(f"{reached:.2f} by {method}")
        self.warn(
            f"{self.job.name}: int8 is left out, as its mAP of {', '.join(figures)} is more than "
            f"{MAX_INT8_LOSS:g} point below fp32's {fp32.accuracy.ap:.2f}."
        )
        return None

    def operating_points(self, graph: Path) -> dict[str, float]:
        """The threshold of every class, learnt on training pictures."""
        wanted = max(THRESHOLD_IMAGES, self.job.export.calibration_images)
        rows = evenly_spaced(len(self.job.calibration), wanted)
        found = graph_detections(graph, self.calibration, rows, self._progress("operating points"))
        return best_thresholds(self.job.calibration.subset(rows), in_picture_pixels(found, self.calibration, rows))

    def note(self, message: str) -> None:
        self.report(Event("note", STAGE, {"message": message}))

    def warn(self, message: str) -> None:
        self.report(Event("warning", STAGE, {"message": message}))

    def _build(self, detector: Detector) -> Path:
        from .graph import build_graph
        from .trace import trace_network

        job = self.job
        size = (job.input.width, job.input.height)
        self.note(f"{job.name}: tracing the network at {size[0]} x {size[1]}")
        model = build_graph(
            trace_network(detector, size, self.folder),
            detector.box_coding(size),
            len(job.labels),
            size,
            job.input.channels,
            self.normalisation,
            self.settings,
            job.labels,
        )
        graph = self.folder / "fp32.onnx"
        write_bytes(graph, model.SerializeToString())
        return graph

    def _judge(self, precision: Precision, graph: Path) -> _Exported:
        """Parity on some validation pictures and accuracy on all, from one pass over them."""
        found = graph_detections(graph, self.validation, progress=self._progress(f"{precision} on validation pictures"))
        parity = check_parity(
            self.paddle,
            [found[row] for row in self.parity_rows],
            self.validation,
            self.parity_rows,
            self.settings,
            exact=precision == "fp32",
        )
        moved = in_picture_pixels(found, self.validation, range(len(found)))
        return _Exported(precision, graph, parity, evaluate(self.job.validation, moved))

    def _describe(self, exported: _Exported) -> None:
        parity, ap = exported.parity, exported.accuracy.ap
        self.note(
            f"{self.job.name} {exported.precision}: {'no mAP' if ap is None else f'mAP {ap:.2f}'}; against Paddle "
            f"scores within {parity.largest_score_difference:.2g}, boxes within "
            f"{parity.largest_box_difference_px:.2g} px, {parity.matched_share:.1%} of the detections paired"
        )

    def _progress(self, unit: str) -> Progress:
        def tell(done: int, total: int) -> None:
            if done == total or done % max(1, total // 20) == 0:
                self.report(Event("step", STAGE, {"done": done, "total": total, "unit": unit}))

        return tell


def _manifest(job: ExportJob, made: Sequence[_Exported], thresholds: dict[str, float]) -> Manifest:
    return Manifest(
        name=job.name,
        labels=list(job.labels),
        input=InputRule(
            width=job.input.width, height=job.input.height, channels=job.input.channels, resize=job.input.resize
        ),
        thresholds=thresholds,
        score_floor=job.export.score_floor,
        nms_iou=job.export.nms_iou,
        max_detections=job.export.max_detections,
        variants=[graph.variant() for graph in made],
        made_by=MadeBy(
            temper=__version__,
            role=job.role,
            recipe=job.recipe,
            data_sha256=job.data_sha256,
            weights_sha256=sha256_file(job.weights),
            versions=_versions(),
            training=job.training,
        ),
    )


def _versions() -> dict[str, str]:
    """The libraries that had a hand in a bundle."""
    found = {}
    for name in _LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _require_data(job: ExportJob) -> None:
    for purpose, data in (("training", job.calibration), ("validation", job.validation)):
        if not len(data):
            raise TemperError(f"{job.name} cannot be exported: the {purpose} split {data.name} has no pictures.")
        if data.labels != job.labels:
            raise TemperError(
                f"{job.name} cannot be exported: the model knows {', '.join(job.labels)} and the {purpose} split "
                f"{data.name} has {', '.join(data.labels)}. Use the data the model was trained on."
            )


@contextlib.contextmanager
def _working_folder(target: Path) -> Iterator[Path]:
    """A folder beside the bundle for graphs in the making; after a crash it is known for rubbish by its name."""
    with explain_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=PARTIAL_SUFFIX))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
