"""From trained weights to a bundle: trace, build, prove, make the other precisions, judge, write."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from .. import __version__
from ..bundle.manifest import InputRule, LeftOut, MadeBy, Manifest
from ..bundle.writer import require_bundle_target
from ..core.errors import TemperError
from ..core.events import Reporter
from ..core.files import explain_os_errors, partial_folder, sha256_file, write_bytes
from ..deploy.engines.options import MOST_TOPK
from ..distill.recipe_sizes import GraphSize, parse_sizes
from .finish import finish_bundle
from .int8 import KINDS, Measured, export_int8, measure
from .job import Exported, ExportJob
from .judge import Judge

if TYPE_CHECKING:
    from ..distill.detectors.base import Detector

_LIBRARIES = ("paddlepaddle", "paddlepaddle-gpu", "paddledet", "paddle2onnx", "onnx", "onnxslim", "onnxruntime")


def export_model(job: ExportJob, target: Path, report: Reporter) -> Manifest:
    """Export a model as a bundle.

    Every graph has to agree with Paddle on every runtime of this machine, within the tolerances of ``deploy.compare``,
    or nothing is written. Those that are not fp32 have to hold the accuracy budget of the recipe too
    (``export.max_map_drop``, ``export.max_small_drop``), or they are left out: a warning says so, and the manifest's
    ``left_out``.

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
    from ..distill.detectors.build import build_detector, load_into
    from .trace import paddle_on_cpu

    require_bundle_target(target)
    sizes = parse_sizes(job.export.inputs, (job.input.width, job.input.height))
    _require_data(job)
    with _working_folder(target) as folder, paddle_on_cpu():
        detector = build_detector(job.detector, job.labels, seed=0)
        load_into(detector, job.weights, whole=True, labels=job.labels)
        made: list[Exported] = []
        left_out: list[LeftOut] = []
        thresholds: dict[str, float] = {}
        for size in sizes:
            own = folder / size.suffix
            own.mkdir()
            judge = Judge(job, size, report)
            fp32 = _export_fp32(judge, detector, own)
            thresholds = thresholds or judge.operating_points()
            for outcome in _other_precisions(judge, fp32, own):
                if isinstance(outcome, Exported):
                    outcome = _proven(judge, outcome)
                if isinstance(outcome, Exported):
                    made.append(outcome)
                else:
                    judge.warn(f"{judge.title(outcome.name)} is left out: {outcome.reason}.")
                    left_out.append(_named(outcome, size, sizes[0]))
        _tell_limits(judge, sizes)
        if not made:
            raise TemperError(
                f"{job.name} was not exported: nothing that was asked for held ({left_out[0].reason}). "
                "Add fp32 to the recipe's export.precisions, or raise its export.max_map_drop."
            )
        golden = None if job.export.golden_images is None else Path(job.export.golden_images)
        graphs = {exported.variant(sizes[0]).name: exported.graph for exported in made}
        manifest = finish_bundle(target, _manifest(job, sizes[0], made, left_out, thresholds), graphs, golden)
    for name in manifest.golden.silent if manifest.golden is not None else ():
        judge.warn(
            f"{job.name} {name} finds nothing on the golden pictures, so that replaying them proves little. "
            "Give pictures with defects it finds: --golden FOLDER, or export.golden_images in the recipe."
        )
    judge.note(f"{job.name}: wrote {target} with {', '.join(graphs)}")
    return manifest


def _tell_limits(judge: Judge, sizes: Sequence[GraphSize]) -> None:
    """What holds for some of the graphs alone."""
    export = judge.job.export
    if len(sizes) > 1:
        judge.warn(
            f"{judge.job.name}: the thresholds of all graphs are those of the first size, {sizes[0].suffix}, and at "
            "another a model scores otherwise: before you use such a graph, choose them anew with "
            "'temper bench thresholds --precision VARIANT'."
        )
    most = max(export.candidates, export.max_detections)
    if "int8-trt" in export.precisions and most > MOST_TOPK:
        judge.warn(
            f"{judge.job.name}: TensorRT's TopK takes at most {MOST_TOPK:,}, and export.candidates or "
            f"export.max_detections is {most:,}; a graph with that many places does not build there."
        )


def _export_fp32(judge: Judge, detector: Detector, folder: Path) -> Exported:
    """Trace, build and prove the fp32 graph."""
    from .fp32 import write_fp32

    job, graph = judge.job, folder / "fp32.onnx"
    seen = "any size" if judge.size.any_size else f"{judge.size.padded[0]} x {judge.size.padded[1]}"
    judge.note(f"{job.name}: tracing the network at {seen}")
    write_fp32(
        detector, judge.size, job.input.channels, judge.normalisation, judge.settings, job.labels, graph, job.name
    )
    judge.ask_paddle(detector)
    exported = judge.judge("fp32", "fp32", "any", graph)
    judge.require([exported.proof])
    judge.describe(exported)
    return exported


def _other_precisions(judge: Judge, fp32: Exported, folder: Path) -> Iterator[Exported | LeftOut]:
    """Every precision the recipe asks for, in its order."""
    measured: Measured | None = None
    for kind in judge.job.export.precisions:
        outcome: Exported | LeftOut = fp32
        if kind != "fp32":
            if fp32.accuracy.ap is None:
                yield LeftOut(name=kind, reason="no validation picture has a true box to judge it by")
                continue
            if kind in KINDS:
                measured = measured or measure(judge, fp32)
                outcome = export_int8(judge, fp32, kind, measured, folder)
            else:
                outcome = _export_fp16(judge, fp32, folder)
            if isinstance(outcome, Exported):
                judge.describe(outcome)
        yield outcome


def _export_fp16(judge: Judge, fp32: Exported, folder: Path) -> Exported | LeftOut:
    from .half import convert_fp16

    half, kept = convert_fp16(onnx.load(str(fp32.graph)))
    graph = folder / "fp16.onnx"
    write_bytes(graph, half.SerializeToString())
    exported = judge.judge("fp16", "fp16", "any", graph).with_record(tuple(kept))
    fault = judge.over_budget(exported, fp32)
    return exported if fault is None else LeftOut(name="fp16", reason=fault)


def _proven(judge: Judge, exported: Exported) -> Exported | LeftOut:
    """The graph with its proofs on the other runtimes; one of coarser numbers is left out where they fail.

    Raises:
        TemperError: if the fp32 graph is not what was trained.
    """
    try:
        return judge.prove_elsewhere(exported)
    except TemperError as error:
        if exported.precision == "fp32":
            raise
        return LeftOut(name=exported.kind, reason=str(error).rstrip(".")[:1000], quantization=exported.quantization)


def _named(left_out: LeftOut, size: GraphSize, first: GraphSize) -> LeftOut:
    """The same, called as the variant would have been."""
    if size == first:
        return left_out
    return left_out.model_copy(update={"name": f"{left_out.name}-{size.suffix}"})


def _manifest(
    job: ExportJob,
    first: GraphSize,
    made: Sequence[Exported],
    left_out: Sequence[LeftOut],
    thresholds: dict[str, float],
) -> Manifest:
    return Manifest(
        name=job.name,
        labels=list(job.labels),
        input=InputRule(width=first.width, height=first.height, channels=job.input.channels, resize=job.input.resize),
        thresholds=thresholds,
        score_floor=job.export.score_floor,
        nms_iou=job.export.nms_iou,
        max_detections=job.export.max_detections,
        variants=[exported.variant(first) for exported in made],
        left_out=list(left_out),
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
        with partial_folder(target.parent, f".{target.name}.") as folder:
            yield folder
