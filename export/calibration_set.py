"""The pictures that ranges are measured on, looked at first: enough, of every class, none that models are judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import TemperError
from ..core.files import sha256_file
from ..detection.dataset import DataSet

#: With fewer pictures a range is an accident of what they show.
ENOUGH = 32


@dataclass(frozen=True)
class CalibrationSet:
    """The training pictures that set int8's ranges.

    Attributes:
        rows: which of the training split.
        warnings: what is wrong with them, a sentence each; empty if nothing is.
    """

    rows: list[int]
    warnings: list[str]


def choose_calibration(train: DataSet, judged_on: Sequence[DataSet], wanted: int) -> CalibrationSet:
    """Training pictures with every class among them, and none that a model is judged on.

    Args:
        train: the training split.
        judged_on: the splits whose pictures must not be among them, told by their bytes: validation and test.
        wanted: how many; all there are if there are fewer.

    Raises:
        TemperError: if nothing is left, or a picture cannot be read.
    """
    rows = _of_every_class(train, wanted)
    known = {_content(data, row) for data in judged_on for row in range(len(data))}
    kept = [row for row in rows if _content(train, row) not in known]
    warnings = []
    if len(kept) < len(rows):
        warnings.append(
            f"{len(rows) - len(kept)} of the {len(rows)} pictures for int8's ranges are in the validation or test "
            "split too, byte for byte, and were left out; split the data anew."
        )
    if not kept:
        raise TemperError(
            "Quantising to int8 needs training pictures to measure ranges on that are in no other split, and there are "
            "none. Split the data anew, or leave int8 out of the recipe's export.precisions."
        )
    if len(kept) < ENOUGH:
        warnings.append(
            f"int8's ranges are measured on {len(kept)} pictures; with fewer than {ENOUGH} they are an accident of "
            "what these show. Raise export.calibration_images, or add training pictures."
        )
    shown = {int(label) for row in kept for label in train.samples[row].labels}
    missing = [name for label, name in enumerate(train.labels) if label not in shown]
    if missing:
        warnings.append(
            f"No picture for int8's ranges shows {', '.join(missing)}, so what these classes need may be cut off; add "
            "training pictures of them."
        )
    return CalibrationSet(kept, warnings)


def _of_every_class(train: DataSet, wanted: int) -> list[int]:
    """Evenly spaced rows, and for a class that these miss the first picture that shows it."""
    from .evaluate import evenly_spaced

    rows = evenly_spaced(len(train), wanted)
    for label in range(len(train.labels)):
        if not any(label in train.samples[row].labels for row in rows):
            showing = [row for row in range(len(train)) if label in train.samples[row].labels]
            rows += showing[:1]
    return [int(row) for row in np.unique(rows)]


def _content(data: DataSet, row: int) -> str:
    path = data.image_path(data.samples[row])
    try:
        return sha256_file(path)
    except OSError as error:
        raise TemperError(f"The picture {path} cannot be read: {error.strerror}.") from error
