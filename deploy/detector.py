"""A bundle at work: pictures of any size in, detections in their pixels out; line and benchmark alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from ..bundle.loader import Bundle
from ..bundle.manifest import Variant
from ..core.events import Reporter, silent
from ..detection.detections import Detections, Status
from ..detection.images import ResizeRule, decode_image
from .runtimes.base import RawOutput, Runtime, infer_timed
from .runtimes.contract import image_shape
from .runtimes.load import DEFAULT_RUNTIME, load_runtime, runtime_kind
from .stages import StageTimes, timed


class Outcome(str, Enum):
    """How a picture ends: every one in exactly one of these."""

    OK = "ok"
    DEFECT = "defect"
    NOT_INSPECTED = "not_inspected"


@dataclass(frozen=True)
class Verdict:
    """The judgement of one picture at the bundle's operating point.

    Attributes:
        outcome: ok, defect or not inspected.
        defects: the detections that reach their class's threshold; none unless ``outcome`` is DEFECT.
    """

    outcome: Outcome
    defects: Detections


class BundleDetector:
    """One graph of a bundle on one runtime, with the bundle's resize rule and thresholds.

    Args:
        bundle: opened.
        variant: the graph that ``runtime`` has loaded.
        runtime: what runs it.
    """

    def __init__(self, bundle: Bundle, variant: Variant, runtime: Runtime) -> None:
        manifest = bundle.manifest.at_size_of(variant)
        self.bundle = bundle
        self.variant = variant
        self.runtime = runtime
        self.channels = manifest.input.channels
        self.rule = ResizeRule(manifest.input.width, manifest.input.height, manifest.input.resize)
        self.thresholds = np.array([manifest.thresholds[label] for label in manifest.labels], np.float32)

    def detect(self, image: NDArray[np.uint8], source: str = "", timer: StageTimes | None = None) -> Detections:
        """Detections on one picture; see :meth:`detect_batch`."""
        return self.detect_batch([image], [source], timer)[0]

    def detect_batch(
        self,
        images: Sequence[NDArray[np.uint8]],
        sources: Sequence[str] = (),
        timer: StageTimes | None = None,
    ) -> list[Detections]:
        """Detections on pictures, in one call of the runtime.

        Args:
            images: at least one picture, uint8 [H, W] or [H, W, 3] as the bundle's channels say, each of any size.
            sources: where each came from; none given leaves it open.
            timer: is filled with the milliseconds of the stages after decoding.

        Returns:
            For each picture everything above the bundle's score floor, boxes in the picture's pixels.

        Raises:
            ValueError: if a picture is not uint8 or has the wrong channels, or ``sources`` has another length.
            TemperError: if the runtime fails.
        """
        timer = {} if timer is None else timer
        with timed(timer, "end_to_end"):
            with timed(timer, "preprocess"):
                stacked = np.stack([self.to_input(image) for image in images])
            answer = infer_timed(self.runtime, stacked, timer)
            with timed(timer, "postprocess"):
                names = sources or [""] * len(images)
                return [
                    self.to_detections(answer, row, image, source)
                    for row, (image, source) in enumerate(zip(images, names, strict=True))
                ]

    def detect_encoded(
        self, contents: Sequence[bytes], timer: StageTimes | None = None, sources: Sequence[str] = ()
    ) -> list[Detections]:
        """Decode pictures (JPEG, PNG, ...) and detect on them; see :meth:`detect_batch`.

        Raises:
            TemperError: if one of them is not a picture.
        """
        timer = {} if timer is None else timer
        names = sources or [f"picture {i}" for i in range(len(contents))]
        whole: StageTimes = {}
        with timed(whole, "end_to_end"):
            with timed(timer, "decode"):
                images = [decode_image(c, self.channels, name) for c, name in zip(contents, names, strict=True)]
            found = self.detect_batch(images, sources, timer)
        timer["end_to_end"] = whole["end_to_end"]
        return found

    def verdict(self, detections: Detections) -> Verdict:
        """Judge detections by the thresholds of the manifest; without an answer a picture is not inspected."""
        if detections.status is not Status.OK:
            return Verdict(Outcome.NOT_INSPECTED, detections)
        defects = detections.at_thresholds(self.thresholds)
        return Verdict(Outcome.DEFECT if len(defects) else Outcome.OK, defects)

    def warm_up(self) -> None:
        """Run one black picture, so that the first real one does not pay for what runtimes do once."""
        self.runtime.infer(np.zeros((1, *self.input_shape), np.uint8))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one picture of the graph's input, [H, W] or [H, W, 3]."""
        return image_shape(self.bundle.manifest.at_size_of(self.variant))

    def to_input(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture of any size at the graph's size, by the bundle's rule.

        Raises:
            ValueError: if it is not uint8 or has the wrong channels.
        """
        self._require_fitting(image)
        return self.rule.apply(image)

    def fill_input(self, image: NDArray[np.uint8], slot: NDArray[np.uint8]) -> None:
        """As :meth:`to_input`, straight into the graph's input: ``slot`` is one picture of a batch.

        Raises:
            ValueError: as there.
        """
        self._require_fitting(image)
        self.rule.apply_into(image, slot)

    def _require_fitting(self, image: NDArray[np.uint8]) -> None:
        grey = self.channels == "grey"
        fits = image.ndim == 2 if grey else image.ndim == 3 and image.shape[2] == 3
        if not fits or image.dtype != np.uint8 or not image.size:
            wanted = "[H, W]" if grey else "[H, W, 3]"
            raise ValueError(
                f"this bundle takes uint8 {wanted} pictures; it was given {image.dtype} {list(image.shape)}"
            )

    def to_detections(self, answer: RawOutput, row: int, image: NDArray[np.uint8], source: str) -> Detections:
        """One row of the graph's answer, in pixels of the picture it was asked about."""
        count = int(answer.count[row])
        size = (image.shape[1], image.shape[0])
        boxes = self.rule.boxes_to_image(answer.boxes[row, :count], size)
        return Detections(boxes, answer.scores[row, :count], answer.labels[row, :count], size, source)


def open_detector(
    bundle: Bundle,
    variant: str | None = None,
    runtime: str = DEFAULT_RUNTIME,
    threads: int | None = None,
    report: Reporter = silent,
) -> BundleDetector:
    """Load one graph of an opened bundle.

    Args:
        bundle: opened.
        variant: name or precision; None takes fp32 if the bundle has it, otherwise the first that the runtime is for.
        runtime: name in the runtimes' registry.
        threads: of the runtime; None lets it choose.
        report: hears of an engine that has to be built first.

    Raises:
        UsageError: if there is no such variant or runtime.
        TemperError: if the graph does not load or breaks the contract.
    """
    targets = runtime_kind(runtime).targets
    if variant is None:
        there = bundle.manifest.variants
        for_all = [one for one in there if one.precision == "fp32"] + [one for one in there if one.target in targets]
        chosen = (for_all or there)[0]
    else:
        chosen = bundle.variant(variant, targets)
    return BundleDetector(bundle, chosen, load_runtime(runtime, bundle, chosen, threads=threads, report=report))
