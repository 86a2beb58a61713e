"""Distilling on pictures that nobody has drawn boxes on: a teacher needs none, and a line takes millions of them.

Each step has some unlabelled pictures beside its labelled ones. The detector's own loss is of the labelled ones alone;
a distillation loss is the mean over all of them, so that its weight means the same with and without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.errors import TemperError
from ...detection.dataset import DataSet
from ...detection.images import Channels, ResizeRule, read_image
from .. import ranks
from ..paddle_import import paddle
from .loader import CACHE_BYTES, Batch, BatchLoader, PictureStore
from .unlabelled_listing import LISTING_NAME, kept_pictures

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..detectors.base import Detector
    from ..detectors.normalise import Normalisation
    from .distiller import Distiller
    from .job import TrainingJob

#: After so many unreadable pictures in a row it is the folder that is wrong.
_MOST_UNREADABLE = 100


class UnlabelledStore(PictureStore):
    """Pictures of any size at the network's size; one that cannot be read gives its place to the next.

    Attributes:
        unreadable: a sentence for each that could not be read so far.
    """

    def __init__(self, data: DataSet, rule: ResizeRule, channels: Channels, room: int = CACHE_BYTES) -> None:
        super().__init__(data, rule, channels, room)
        self.unreadable: dict[int, str] = {}

    def image(self, index: int) -> NDArray[np.uint8]:
        """The picture at ``index`` or the next after it that can be read, uint8 at the network's size.

        Raises:
            TemperError: if that many in a row cannot be read that no good one is to be expected.
        """
        if (image := self._images.get(index)) is not None:
            return image
        for offset in range(_MOST_UNREADABLE):
            chosen = (index + offset) % len(self.data)
            try:
                image = self.rule.apply(read_image(self.data.image_path(self.data.samples[chosen]), self.channels))
            except TemperError as error:
                self.unreadable[chosen] = str(error)
                continue
            if index < self._room:
                self._images[index] = image
            return image
        raise TemperError(
            f"Of the unlabelled pictures in {self.data.image_folder}, {_MOST_UNREADABLE} in a row cannot be read. The "
            f"first of them: {self.unreadable[index]}"
        )


class UnlabelledLoader(BatchLoader):
    """Batches of unlabelled pictures."""

    _known: tuple[int, NDArray[np.int64]] | None = None

    def order(self, epoch: int) -> NDArray[np.int64]:
        """See :class:`BatchLoader`; kept for an epoch, since shuffling millions takes longer than loading a batch."""
        known = self._known
        if known is None or known[0] != epoch:
            known = self._known = (epoch, super().order(epoch))
        return known[1]


class UnlabelledLessons:
    """What a step's unlabelled pictures add to its distillation losses.

    With several ranks, each takes its share of them. They are always taken at the network's own size.

    Args:
        job: of the training; it has distillation and unlabelled pictures.
        out: the training's folder, where the list of them is kept unless the job names a shared one.
        detector: the student.
        distiller: its teacher and losses.
        normalisation: of the pictures.
        judged: pictures that results are judged on, which are left out.
        warn: is told a sentence about every picture that cannot be read, and one about those that are gone.
    """

    def __init__(
        self,
        job: TrainingJob,
        out: Path,
        detector: Detector,
        distiller: Distiller,
        normalisation: Normalisation,
        *,
        judged: Sequence[DataSet],
        warn: Callable[[str], None],
    ) -> None:
        if job.distillation is None or job.unlabelled is None:
            raise ValueError("a job without distillation has no use for unlabelled pictures")
        rule = job.input.rule()
        self.detector, self.distiller, self.warn = detector, distiller, warn
        data = kept_pictures(job.unlabelled_list or out / LISTING_NAME, job.unlabelled, judged, rule, warn)
        self.store = UnlabelledStore(data, rule, job.input.channels, CACHE_BYTES // ranks.size())
        wanted = min(len(data), round(job.training.batch_size * job.distillation.unlabelled_ratio))
        self.loader = UnlabelledLoader(
            self.store,
            detector,
            normalisation,
            job.training.augment,
            batch_size=max(1, wanted // ranks.size()) * ranks.size(),
            seed=job.seed,
            workers=job.training.workers,
            rank=ranks.rank(),
            ranks=ranks.size(),
        )
        self._first = len(job.train)
        self._batches: Iterator[Batch] = iter(())
        self._step = self._told = 0

    def start(self, first: int, last: int) -> None:
        """Get ready for the steps from ``first`` up to, not including, ``last``."""
        self._batches, self._step = self.loader.batches(first, last), first

    def join(self, lessons: dict[str, paddle.Tensor], labelled: int, progress: float) -> dict[str, paddle.Tensor]:
        """The losses of the next step over labelled and unlabelled pictures together.

        Args:
            lessons: over the labelled ones.
            labelled: how many these are.
            progress: share of the training that is done.
        """
        batch = next(self._batches)
        # their numbers go on where those of the training set end
        batch = replace(batch, samples=tuple(self._first + sample for sample in batch.samples))
        self._tell()
        images = paddle.to_tensor(batch.images)
        features = self.detector.neck_features(images)
        outputs = self.detector.head_outputs(features) if self.distiller.needs_head else None
        epoch = self._step // self.loader.steps_per_epoch
        self._step += 1
        added = self.distiller(batch, images, features, outputs, epoch, progress)
        share = len(batch.samples) / (labelled + len(batch.samples))
        return {name: lessons[name] * (1 - share) + added[name] * share for name in lessons}

    def _tell(self) -> None:
        sentences = list(self.store.unreadable.values())
        for sentence in sentences[self._told :]:
            self.warn(f"{sentence} The next unlabelled picture takes its place.")
        self._told = len(sentences)
