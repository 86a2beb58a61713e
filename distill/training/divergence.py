"""A training that goes wrong: what is kept of the batch that broke it, and a warning while it only drifts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import cv2

from ...core.errors import DivergedError
from ...core.files import atomic_folder, write_json
from .loader import BatchLoader
from .step import NotFiniteError

if TYPE_CHECKING:
    from .job import TrainingJob

BATCH_NAME = "not-finite"


def explain_not_finite(
    error: NotFiniteError, step: int, rate: float, job: TrainingJob, loaders: Sequence[BatchLoader], out: Path
) -> DivergedError:
    """Keep the batch of a step whose loss or gradient is not finite, and say what to try.

    Args:
        error: of the step.
        step: counted from 0.
        rate: the learning rate it was done with.
        job: of the training.
        loaders: that made the batch, of labelled pictures and of others if there were any.
        out: gets a folder ``not-finite`` with the pictures as the network saw them, of all ranks, and a
            ``batch.json`` with their boxes, or with ``labelled`` false.
    """
    folder = out / BATCH_NAME
    pictures = [(loader, picture) for loader in loaders for picture in loader.pictures(step, whole=True)]
    with atomic_folder(folder) as partial:
        entries = []
        for number, (loader, picture) in enumerate(pictures):
            sample = loader.store.data.samples[picture.sample]
            name = f"{number:03d}-{Path(sample.file_name).stem}.png"
            # OpenCV writes blue first
            image = picture.image if picture.image.ndim == 2 else picture.image[..., ::-1]
            (partial / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())
            labels = [job.train.labels[label] for label in picture.labels.tolist()]
            boxes = picture.boxes.tolist()
            entry = {"picture": name, "source": sample.file_name, "boxes": boxes, "labels": labels}
            entries.append(entry if loader is loaders[0] else entry | {"labelled": False})
        write_json(
            partial / "batch.json",
            {
                "what": error.what,
                "step": step + 1,
                "learning_rate": rate,
                # JSON has no infinity
                "losses": {name: str(value) for name, value in error.losses.own.items()},
                "distillation": {name: str(value) for name, value in error.losses.distillation.items()},
                "total": str(error.losses.total),
                "batch": entries,
            },
        )
    remedies = [f"a learning rate ten times smaller (it was {rate:.3g})", "a longer warm-up"]
    remedies += ["training.clip_norm: 10"] if job.training.clip_norm is None else []
    remedies += ["training.precision: fp32"] if job.training.precision != "fp32" else []
    remedies += ["a smaller distillation alpha"] if job.distillation is not None else []
    return DivergedError(
        f"The {error.what} of the {job.role} is not a finite number at step {step + 1} (its {len(pictures)} pictures "
        f"and boxes are in {folder}). Look there for a wrong box, then try {', '.join(remedies[:-1])}, or "
        f"{remedies[-1]}."
    )


class LossWatch:
    """Warns when the loss stays far above what it was.

    A single high loss is a hard batch. ``STEPS`` of them in a row, each more than ``FACTOR`` times the median of the
    last ``WINDOW`` usual ones, is a training on its way out; so is, from the first steps on and however slowly it came,
    a loss ``START_FACTOR`` times that of the untrained network, the median of the first ``START_STEPS``, for as many
    steps in a row.

    Args:
        past: the losses so far, oldest first.
    """

    WINDOW, FEWEST, FACTOR, STEPS = 200, 40, 3.0, 20
    START_FACTOR, START_STEPS = 10.0, 5

    def __init__(self, past: Iterable[float] = ()) -> None:
        self._usual: deque[float] = deque(maxlen=self.WINDOW)
        self._high = 0
        self._first: list[float] = []
        self._above_start = 0
        for total in past:
            self.take(total)

    def take(self, total: float) -> str | None:
        """Take in a step's loss; returns a sentence at the step where it has been high for too long."""
        if len(self._first) < self.START_STEPS:
            self._first.append(total)
        start = min(median(self._first), self._first[0])
        self._above_start = self._above_start + 1 if total > self.START_FACTOR * start else 0
        if self._above_start == self.START_STEPS:
            return _warning(f"{self.START_FACTOR:g} times the untrained network's {start:.3g}", self.START_STEPS, total)
        middle = median(self._usual) if len(self._usual) >= self.FEWEST else None
        if middle is None or total <= self.FACTOR * middle:
            self._usual.append(total)
            self._high = 0
            return None
        self._high += 1
        if self._high != self.STEPS:
            return None
        return _warning(f"{self.FACTOR:g} times its usual {middle:.3g}", self.STEPS, total)


def _warning(level: str, steps: int, total: float) -> str:
    return (
        f"The loss has been more than {level} for {steps} steps (now {total:.3g}): the training may be diverging. If "
        "it does not come back, try a smaller learning rate, a longer warm-up, or a smaller training.clip_norm."
    )
