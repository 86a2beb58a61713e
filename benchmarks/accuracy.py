"""What a bundle detects as it will run: its own graph, its own resize rule, a real runtime; kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.loader import Bundle
from ..bundle.manifest import Variant
from ..core.errors import TemperError
from ..core.files import read_json, write_bytes
from ..deploy.detector import BundleDetector
from ..deploy.runtimes.base import Runtime
from ..detection.dataset import DataSet
from ..detection.detections import Detections, Status
from ..detection.examples import detections_of, plain_detections
from ..detection.images import read_sample
from .measurement import UnreadPicture

SCHEMA_VERSION = 1
#: Pictures that a warning names; ``measurements.jsonl`` names all.
NAMED_AT_MOST = 5

Progress = Callable[[int, int], None]


def detect_pictures(
    bundle: Bundle, variant: Variant, runtime: Runtime, data: DataSet, progress: Progress | None = None
) -> tuple[list[Detections], dict[str, str]]:
    """Run every picture of a data set through a bundle.

    Args:
        bundle: opened; its labels are the data set's.
        variant: the graph that ``runtime`` has loaded.
        runtime: what runs it.
        data: pictures and truth.
        progress: called with (done, total) after every picture.

    Returns:
        The detections above the bundle's score floor in the order of ``data.samples``, boxes in pixels of the original
        pictures; and by file name why a picture could not be used (it cannot be read, or has another size than its
        boxes were drawn on), whose detections then have the status ``ERROR``.

    Raises:
        TemperError: if the runtime fails.
    """
    detector = BundleDetector(bundle, variant, runtime)
    detections, unread = [], {}
    for done, sample in enumerate(data.samples, start=1):
        try:
            image = read_sample(data, sample, detector.channels)
        except TemperError as error:
            unread[sample.file_name] = str(error)
            detections.append(Detections.none(sample.size, sample.file_name, Status.ERROR))
        else:
            detections.append(detector.detect(image))
        if progress is not None:
            progress(done, len(data))
    return detections, unread


@dataclass(frozen=True, eq=False)
class Readable:
    """The pictures that could be read, which all figures rest on.

    Attributes:
        data: those pictures.
        rows: int64, their places in the whole data set.
        unread: the others, in order.
    """

    data: DataSet
    rows: NDArray[np.int64]
    unread: list[UnreadPicture]


def leave_out_unread(data: DataSet, unread: Mapping[str, str]) -> Readable:
    """Part the pictures that could be read from those that could not.

    Args:
        data: all of them.
        unread: by file name, why one could not be read.

    Raises:
        TemperError: if none could be.
    """
    rows = [row for row, sample in enumerate(data.samples) if sample.file_name not in unread]
    if not rows:
        first = next(iter(unread.values()), "there are none.")
        raise TemperError(
            f"None of the {len(data)} pictures of {data.name or data.image_folder} can be used; the first: {first}"
        )
    named = [UnreadPicture(s.file_name, unread[s.file_name]) for s in data.samples if s.file_name in unread]
    return Readable(data.subset(rows), np.array(rows, np.int64), named)


def unread_warning(unread: Sequence[UnreadPicture], images: int) -> list[str]:
    """What is said of pictures that could not be read: how many, which, and why the first; empty without one."""
    if not unread:
        return []
    named = ", ".join(one.file for one in unread[:NAMED_AT_MOST])
    rest = len(unread) - NAMED_AT_MOST
    named += f" and {rest} more" if rest > 0 else ""
    those = "1 picture" if len(unread) == 1 else f"{len(unread)} pictures"
    return [f"{those} of {images} could not be used, and no figure rests on them: {named}. {unread[0].reason}"]


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
