"""mAP of a bundle as it will run: its own graph, its own resize rule, a real runtime."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..bundle.loader import Bundle
from ..bundle.manifest import Variant
from ..core.errors import TemperError
from ..core.files import read_json, write_bytes
from ..deploy.detector import BundleDetector
from ..deploy.runtimes.base import Runtime
from ..detection.dataset import DataSet
from ..detection.detections import Detections
from ..detection.examples import detections_of, plain_detections
from ..detection.images import read_image
from ..detection.metrics import AccuracyFigures, evaluate

SCHEMA_VERSION = 1

Progress = Callable[[int, int], None]


def measure_accuracy(
    bundle: Bundle, variant: Variant, runtime: Runtime, data: DataSet, progress: Progress | None = None
) -> tuple[AccuracyFigures, list[Detections]]:
    """Run every picture of a data set through a bundle and judge the detections.

    Args:
        bundle: opened; its labels are the data set's.
        variant: the graph that ``runtime`` has loaded.
        runtime: what runs it.
        data: pictures and truth.
        progress: called with (done, total) after every picture.

    Returns:
        COCO figures in points, and the detections above the bundle's score floor in the order of ``data.samples``,
        boxes in pixels of the original pictures.

    Raises:
        TemperError: if a picture cannot be read.
    """
    detector = BundleDetector(bundle, variant, runtime)
    detections = []
    for done, sample in enumerate(data.samples, start=1):
        image = read_image(data.image_path(sample), bundle.manifest.input.channels)
        detections.append(detector.detect(image))
        if progress is not None:
            progress(done, len(data))
    return evaluate(data, detections), detections


def save_detections(path: Path, data: DataSet, detections: Sequence[Detections]) -> None:
    """Write the detections of a data set's pictures as JSON; boxes to 0.01 px, scores to 0.0001.

    Raises:
        ValueError: if there are not as many detections as samples.
    """
    pictures = [
        plain_detections(sample.file_name, found) for sample, found in zip(data.samples, detections, strict=True)
    ]
    # not indented: hundreds of boxes a picture would make one line of every number
    write_bytes(path, _compact({"schema_version": SCHEMA_VERSION, "labels": list(data.labels), "pictures": pictures}))


def load_detections(path: Path) -> dict[str, Detections]:
    """Detections written by :func:`save_detections`, by file name of their picture.

    Raises:
        TemperError: if the file is missing or damaged.
    """
    content = read_json(path)
    try:
        if content["schema_version"] != SCHEMA_VERSION:
            raise TemperError(f"{path} has detections of another schema. Measure again with 'temper bench run'.")
        return {str(picture["file"]): detections_of(picture) for picture in content["pictures"]}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise TemperError(
            f"{path} does not hold detections: {type(error).__name__} at {error}. Measure again."
        ) from error


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")
