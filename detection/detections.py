"""The one value every stage speaks: what a detector said of one picture."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray


class Status(str, Enum):
    """Whether there is an answer at all. Only ``OK`` with zero rows means "no defect"."""

    OK = "ok"
    TIMEOUT = "timeout"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections on one picture, highest score first. The arrays are read-only.

    Attributes:
        boxes: float32 [N, 4], x1, y1, x2, y2 in pixels of the picture, continuous edges from 0.
        scores: float32 [N] from 0 to 1.
        labels: int32 [N], 0-based index into the data set's or bundle's labels.
        image_size: width and height of the picture in pixels.
        source: where the picture came from (a file name, a camera and frame number).
        status: whether the detector gave an answer.

    Raises:
        ValueError: if shapes do not agree, or a status other than ``OK`` carries rows.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int32]
    image_size: tuple[int, int]
    source: str = ""
    status: Status = field(default=Status.OK)

    def __post_init__(self) -> None:
        boxes = np.array(self.boxes, dtype=np.float32).reshape(-1, 4) if np.size(self.boxes) == 0 else self.boxes
        for name, value, dtype in (
            ("boxes", boxes, np.float32),
            ("scores", self.scores, np.float32),
            ("labels", self.labels, np.int32),
        ):
            array = np.array(value, dtype=dtype)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        rows = len(self.boxes)
        if self.boxes.shape != (rows, 4) or self.scores.shape != (rows,) or self.labels.shape != (rows,):
            raise ValueError(
                f"boxes, scores and labels must be [N, 4], [N] and [N]; they are {list(self.boxes.shape)}, "
                f"{list(self.scores.shape)} and {list(self.labels.shape)}"
            )
        if rows and self.status is not Status.OK:
            raise ValueError(f"a picture with status {self.status.value} has no detections, yet {rows} were given")

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls, image_size: tuple[int, int], source: str = "", status: Status = Status.OK) -> Detections:
        """No rows: nothing was found (``OK``), or there is no answer (any other status)."""
        return cls(
            np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), image_size, source, status
        )

    def keep(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Detections:
        """The rows chosen by a boolean mask [N] or by indices."""
        return replace(self, boxes=self.boxes[rows], scores=self.scores[rows], labels=self.labels[rows])

    def at_thresholds(self, thresholds: NDArray[np.float32]) -> Detections:
        """The rows whose score reaches the threshold of their class; ``thresholds`` is float32 [classes]."""
        return self.keep(self.scores >= thresholds[self.labels])
