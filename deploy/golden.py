"""A bundle's golden pictures on a runtime of this device: are the answers those of the export?

The pictures go through the bundle's resize rule, as on the line. Detections are matched one to one; how many must find
their partner is the tolerance of the graph's precision in :mod:`.compare`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..bundle.golden import GoldenRow, read_golden_answers
from ..bundle.loader import Bundle
from ..bundle.manifest import Variant
from ..detection.images import decode_image
from .compare import TOLERANCES, Comparison
from .detector import BundleDetector
from .runtimes.base import RawOutput, Runtime


@dataclass(frozen=True)
class GoldenReplay:
    """How one variant did on the golden pictures.

    Attributes:
        pictures: how many.
        matched_share: share of both sides' detections that have a partner, from 0 to 1.
        least: so many should.
    """

    pictures: int
    matched_share: float
    least: float

    @property
    def fault(self) -> str | None:
        """What is wrong, in a clause; None if nothing is."""
        if self.matched_share >= self.least:
            return None
        return (
            f"on the {self.pictures} golden pictures {self.matched_share:.1%} of the detections are those of the "
            f"export, at least {self.least:.0%} should be"
        )


def replay_golden(bundle: Bundle, variant: Variant, runtime: Runtime) -> GoldenReplay | None:
    """Run a bundle's golden pictures, one at a time.

    Args:
        bundle: opened.
        variant: the graph that ``runtime`` has loaded.
        runtime: what runs it.

    Returns:
        How it went; None if the bundle has no golden pictures.

    Raises:
        TemperError: if pictures or answers cannot be read, or the runtime fails.
    """
    golden = bundle.manifest.golden
    if golden is None:
        return None
    answers = read_golden_answers(bundle).variants[variant.name]
    detector = BundleDetector(bundle, variant, runtime)
    comparison = Comparison(bundle.manifest.score_floor)
    for image, rows in zip(golden.images, answers, strict=True):
        picture = detector.to_input(decode_image(bundle.read(image), detector.channels, image.file))
        comparison.add(raw_answer(rows, bundle.manifest.max_detections), runtime.infer(picture[np.newaxis]))
    return GoldenReplay(len(golden.images), comparison.matched_share, TOLERANCES[variant.precision].matched_share)


def golden_rows(answer: RawOutput) -> list[GoldenRow]:
    """What a graph answered for one picture ([1, ...]), as it is kept."""
    count = int(answer.count[0])
    return [
        GoldenRow(box=[round(edge, 4) for edge in box], score=round(min(score, 1.0), 6), label=label)
        for box, score, label in zip(
            answer.boxes[0, :count].tolist(),
            answer.scores[0, :count].tolist(),
            answer.labels[0, :count].tolist(),
            strict=True,
        )
    ]


def raw_answer(rows: list[GoldenRow], most: int) -> RawOutput:
    """What was kept, as a graph's answer for one picture with ``most`` rows."""
    boxes: NDArray[np.float32] = np.zeros((1, most, 4), np.float32)
    scores: NDArray[np.float32] = np.zeros((1, most), np.float32)
    labels: NDArray[np.int32] = np.full((1, most), -1, np.int32)
    for index, row in enumerate(rows):
        boxes[0, index], scores[0, index], labels[0, index] = row.box, row.score, row.label
    return RawOutput(boxes, scores, labels, np.array([len(rows)], np.int32))
