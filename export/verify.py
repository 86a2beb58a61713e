"""A finished bundle held against the Paddle model it was made from, graph by graph and runtime by runtime."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..bundle.loader import Bundle
from ..bundle.manifest import InputRule, Manifest, Variant
from ..core.errors import MissingDependencyError, TemperError, UsageError
from ..core.events import Event, Reporter
from ..core.files import PARTIAL_SUFFIX, sha256_file
from ..deploy.runtimes.load import load_runtime, runtime_kind
from ..detection.decode import DecodeSettings
from ..detection.images import ResizeRule
from ..distill.detectors.normalise import normalisation_for
from ..distill.recipe_sizes import GraphSize
from .evaluate import Progress, evenly_spaced
from .padded import at_size
from .parity import PaddleReference, ask_paddle
from .probe import GraphFile, GraphOn
from .proof import Proof, prove_on, runtimes_for

if TYPE_CHECKING:
    from ..detection.dataset import DataSet
    from ..distill.detectors.base import Detector
    from ..distill.recipe_detectors import DetectorSection

STAGE = "verify"


@dataclass(frozen=True)
class VerifyJob:
    """One model to verify.

    Attributes:
        bundle: opened, so its hashes are checked.
        detector: the model's description.
        weights: its trained weights.
        data: pictures and truth; those that are compared are spread evenly over it.
        images: how many are compared at most.
    """

    bundle: Bundle
    detector: DetectorSection
    weights: Path
    data: DataSet
    images: int


def verify_bundle(
    job: VerifyJob, report: Reporter, *, variants: Sequence[str] = (), runtimes: Sequence[str] = ()
) -> Iterator[tuple[Proof, PaddleReference]]:
    """Hold every graph of a bundle against Paddle on every runtime.

    Args:
        job: what to verify.
        report: told of progress.
        variants: names or precisions; none given means all.
        runtimes: names in the runtimes' registry; none given means all of this machine that build nothing first.

    Yields:
        One proof per variant and runtime, with what it was held against.

    Raises:
        UsageError: if there is no such variant or runtime, or no variant is made for the runtimes.
        MissingDependencyError: if Paddle or a runtime asked for is not on this machine.
        TemperError: if the weights are not those of the bundle, or the data has other labels or no pictures.
    """
    chosen = list({one.name: one for one in map(job.bundle.variant, variants)}.values()) or job.bundle.manifest.variants
    for name in runtimes:
        absence = runtime_kind(name).absence()
        if absence:
            raise MissingDependencyError(absence)
    _require_fitting(job)
    work = [(variant, graph_file(job.bundle, variant)) for variant in chosen]
    work = [(variant, graph) for variant, graph in work if runtimes_for(graph, runtimes)]
    if not work:
        names = ", ".join(f"{one.name} for {one.target}" for one in chosen)
        raise UsageError(f"No graph of {job.bundle.path.name} is made for {' or '.join(runtimes)}: it has {names}.")
    from .trace import paddle_on_cpu

    with tempfile.TemporaryDirectory(prefix="temper-verify-", suffix=PARTIAL_SUFFIX) as folder, paddle_on_cpu():
        sides: dict[tuple[InputRule, bool], _PaddleSide] = {}
        for variant, graph in work:
            rule = job.bundle.manifest.at_size_of(variant).input
            size = GraphSize(rule.width, rule.height, variant.any_size)
            place = Path(folder) / f"traced-{len(sides)}"
            side = sides.setdefault((rule, size.any_size), _PaddleSide(job, rule, size, graph, place, report))
            yield from side.prove(variant, graph, runtimes)


def graph_file(bundle: Bundle, variant: Variant) -> GraphFile:
    """A bundle's graph as a file to look into."""
    return GraphFile(variant.name, variant.precision, variant.target, bundle.graph_path(variant))


def settings_of_graph(manifest: Manifest, graph: GraphFile) -> DecodeSettings:
    """How a bundle's graph decodes, by the manifest and by what the file says of itself.

    Raises:
        TemperError: if it does not say.
    """
    said = {entry.key: entry.value for entry in GraphOn(graph.path, graph.precision).model.metadata_props}
    with contextlib.suppress(KeyError, TypeError, ValueError):
        candidates = int(json.loads(said["temper.decode"])["candidates"])
        return DecodeSettings(manifest.score_floor, manifest.nms_iou, candidates, manifest.max_detections)
    raise TemperError(f"{graph.path.name} does not say how it decodes, so it is not a graph of Temper's.")


def _require_fitting(job: VerifyJob) -> None:
    manifest = job.bundle.manifest
    if job.data.labels != tuple(manifest.labels):
        raise TemperError(
            f"The bundle {job.bundle.path.name} knows {', '.join(manifest.labels)} and the data {job.data.name} has "
            f"{', '.join(job.data.labels)}, so they do not belong together."
        )
    if not len(job.data):
        raise TemperError(f"The data {job.data.name} has no pictures to compare on.")
    if not job.weights.is_file():
        raise TemperError(f"There are no weights {job.weights}, so there is nothing to hold the bundle against.")
    if sha256_file(job.weights) != manifest.made_by.weights_sha256:
        raise TemperError(
            f"The bundle {job.bundle.path.name} was made of other weights than {job.weights} are now. Export it again "
            "with 'temper export onnx', then verify."
        )


class _PaddleSide:
    """The model in Paddle at one size of input, asked when the first graph of that size comes."""

    def __init__(
        self, job: VerifyJob, rule: InputRule, size: GraphSize, graph: GraphFile, folder: Path, report: Reporter
    ) -> None:
        self.job, self.rule, self.size, self.graph, self.folder = job, rule, size, graph, folder
        self.report = report
        self.normalisation = normalisation_for(rule.channels, job.detector.pixel_scale)

    def prove(
        self, variant: Variant, graph: GraphFile, runtimes: Sequence[str]
    ) -> Iterator[tuple[Proof, PaddleReference]]:
        """Hold one graph of this size against the model."""
        names = runtimes_for(graph, runtimes)

        def tell(done: int, total: int) -> None:
            self._progress(f"{graph.name} on {' and '.join(names)}")(done, total)

        bundle, report = self.job.bundle, self.report
        for proof in prove_on(
            self.paddle,
            graph,
            names,
            lambda name: load_runtime(name, bundle, variant, report=report),
            lambda: self.traced,
            tell,
        ):
            yield proof, self.paddle

    @cached_property
    def detector(self) -> Detector:
        from ..distill.detectors.build import build_detector, load_into

        labels = self.job.bundle.manifest.labels
        detector = build_detector(self.job.detector, labels, seed=0)
        load_into(detector, self.job.weights, whole=True, labels=labels)
        detector.eval()
        return detector

    @cached_property
    def paddle(self) -> PaddleReference:
        """What the model says of the pictures."""
        from ..distill.training.loader import PictureStore

        rows = evenly_spaced(len(self.job.data), self.job.images)
        rule = ResizeRule(self.rule.width, self.rule.height, self.rule.resize)
        store = PictureStore(self.job.data, rule, self.rule.channels)
        tell = self._progress("Paddle's detections")
        detector, normalisation = at_size(self.detector, self.normalisation, self.size)
        return ask_paddle(detector, store, normalisation, self.settings, rows, tell, _map_budget(self.job.bundle))

    @cached_property
    def settings(self) -> DecodeSettings:
        """How the graphs decode."""
        return settings_of_graph(self.job.bundle.manifest, self.graph)

    @cached_property
    def traced(self) -> Path:
        """The fp32 graph, traced anew from the weights."""
        from .fp32 import write_fp32

        self.report(Event("note", STAGE, {"message": "tracing the network anew, to find where it begins"}))
        self.folder.mkdir()
        return write_fp32(
            self.detector,
            self.size,
            self.rule.channels,
            self.normalisation,
            self.settings,
            self.job.bundle.manifest.labels,
            self.folder / "fp32.onnx",
        )

    def _progress(self, unit: str) -> Progress:
        def tell(done: int, total: int) -> None:
            if done == total or done % max(1, total // 20) == 0:
                self.report(Event("step", STAGE, {"done": done, "total": total, "unit": unit}))

        return tell


def _map_budget(bundle: Bundle) -> float:
    """The points of mAP that its export allowed graphs of coarser numbers to lose; 0 where it does not say."""
    export = bundle.manifest.made_by.recipe.get("export")
    budget = export.get("max_map_drop") if isinstance(export, dict) else None
    return float(budget) if isinstance(budget, int | float) else 0.0
