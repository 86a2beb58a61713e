"""A training's log for VisualDL: losses, learning rate, mAP and example pictures, to be looked at while it runs."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import TemperError
from ...core.events import Event, Reporter
from ...core.files import explain_os_errors, remove_tree
from ...detection.dataset import DataSet, Sample
from ...detection.draw import draw_boxes
from ...detection.examples import detections_of
from ...detection.figure_names import FIGURE_TITLES
from ...detection.images import read_image
from .. import ranks
from .job import TrainingJob
from .log import Listener

if TYPE_CHECKING:
    from visualdl import LogWriter

#: Seconds until an entry can be seen in VisualDL. (LogWriter hands its ``max_queue`` on as the time between flushes.)
FLUSH_SECONDS = 10
#: Detections from this score on are drawn.
DRAWN_SCORE = 0.3
#: Pictures are enlarged to about this many pixels a side, so that names beside boxes are legible.
_DRAWN_SIDE = 400
#: Example pictures are logged about this many times in a training: VisualDL shows ten, and stores each of them whole.
_TIMES_DRAWN = 12


@contextlib.contextmanager
def visual_log(job: TrainingJob, report: Reporter) -> Iterator[Listener | None]:
    """What writes a training's VisualDL log, for as long as the training lasts.

    The log is begun anew each time, since the listener is told the entries of an interrupted training again; so no step
    is in it twice. Only their times of day are lost.

    Args:
        job: its ``visual_log`` is the folder of the log.
        report: hears it if VisualDL is not installed.

    Yields:
        The listener; None if the job wants no such log, VisualDL is not installed, or another rank writes it.
    """
    if job.visual_log is None or ranks.rank() != 0:
        yield None
        return
    try:
        with warnings.catch_warnings():
            # a package that it brings along is written for older Pythons, and one that is new here says so
            warnings.simplefilter("ignore", SyntaxWarning)
            from visualdl import LogWriter
    except ImportError:
        report(Event("note", job.role, {"message": "VisualDL is not installed, so no log for it is written."}))
        yield None
        return
    with explain_os_errors(job.visual_log):
        remove_tree(job.visual_log)
        job.visual_log.mkdir(parents=True)
    with LogWriter(logdir=str(job.visual_log), max_queue=FLUSH_SECONDS, display_name=job.role) as writer:
        yield _VisualLog(writer, job.val, job.training.epochs).listen


class _VisualLog:
    """Turns the entries of ``metrics.jsonl`` and ``examples.jsonl`` into VisualDL's scalars and images."""

    def __init__(self, writer: LogWriter, val: DataSet, epochs: int) -> None:
        self.writer, self.val, self.epochs = writer, val, epochs
        self._drawn = -1
        self._samples = {sample.file_name: sample for sample in val.samples}
        self._images: dict[str, NDArray[np.uint8] | None] = {}

    def listen(self, entry: dict[str, Any]) -> None:
        """Log one entry."""
        step = int(entry["step"])
        if entry["kind"] == "step":
            self._scalars("loss", {"total": entry["total"], **entry["losses"]}, step)
            self._scalars("distillation", entry["distillation"], step)
            rates = {name: entry.get(name) for name in ("learning_rate", "gradient_norm")}
            self._scalars("step", rates, step)
        elif entry["kind"] == "held_out":
            self._scalars("accuracy", {"mAP on pictures set aside": entry["ap"]}, step)
        elif entry["kind"] == "evaluated":
            self._scalars("accuracy", {title: entry[name] for name, title in FIGURE_TITLES.items()}, step)
            self._scalars("mAP of class", entry["per_class"], step)
        elif entry["kind"] == "examples" and self._is_time_to_draw(int(entry["epoch"])):
            for number, picture in enumerate(entry["pictures"], start=1):
                drawn = self._draw(picture)
                if drawn is not None:
                    self.writer.add_image(f"examples/{number}", drawn, step)

    def _is_time_to_draw(self, epoch: int) -> bool:
        # a model that is only judged has no epochs
        part = epoch * _TIMES_DRAWN // self.epochs if self.epochs else 1
        due, self._drawn = part > self._drawn, part
        return due

    def _scalars(self, group: str, values: Mapping[str, float | None], step: int) -> None:
        for name, value in values.items():
            if value is not None:
                # VisualDL refuses a percent sign, and takes a slash for a group
                tag = name.replace("%", "percent").replace("/", "-")
                self.writer.add_scalar(f"{group}/{tag}", value, step)

    def _draw(self, picture: Mapping[str, Any]) -> NDArray[np.uint8] | None:
        found = detections_of(picture)
        sample = self._samples.get(found.source)
        image = None if sample is None else self._image(sample)
        if sample is None or image is None:
            return None
        shown = found.keep(found.scores >= DRAWN_SCORE)
        return draw_boxes(
            image, shown.boxes, shown.labels, self.val.labels, shown.scores,
            truth_boxes=sample.boxes, scale=max(1, round(_DRAWN_SIDE / max(sample.size))),
        )  # fmt: skip

    def _image(self, sample: Sample) -> NDArray[np.uint8] | None:
        if sample.file_name not in self._images:
            try:
                self._images[sample.file_name] = read_image(self.val.image_path(sample), "rgb")
            except TemperError:  # told of where the training reads it
                self._images[sample.file_name] = None
        return self._images[sample.file_name]
