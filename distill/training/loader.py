"""Batches for training. Batch number n depends on the seed and n alone: an interruption changes nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.errors import TemperError, UsageError
from ...detection.dataset import DataSet
from ...detection.images import Channels, ResizeRule, read_sample
from ..detectors.normalise import Normalisation
from .augment import augment, changes_more_than_flips, flip_image

if TYPE_CHECKING:
    from ..detectors.base import Detector, Targets
    from ..recipe_training import AugmentSection
    from .cached_teacher import CachedTeacher, ReadFeatures

#: Resized pictures are kept in memory up to this many bytes; beyond, they are read again each epoch.
CACHE_BYTES = 2 << 30
# words that keep the streams of shuffling, augmentation and sizes apart
_SHUFFLE, _AUGMENT, _SCALE = 1, 2, 3
#: Every side of a network's input is a multiple of this.
SIDE_STEP = 32


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture as a step takes it, before it is normalised.

    Attributes:
        sample: its index in the data set.
        image: uint8 [H, W] or [H, W, 3].
        boxes: float32 [N, 4] in its pixels.
        labels: int32 [N].
        flip: the number of its flip, as in ``augment``.
    """

    sample: int
    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int32]
    flip: int


@dataclass(frozen=True, eq=False)
class Batch:
    """One step's worth of pictures.

    Attributes:
        samples: index of each picture in its data set.
        images: float32 [B, 3, H, W] or, grey, [B, 1, H, W], normalised.
        targets: as the detector's ``collate`` gives them.
        boxes: the true boxes of each picture as it is in ``images``, float32 [N, 4] in its pixels.
        labels: their classes, int32 [N].
        flips: the number of each picture's flip, as in ``augment``.
        plain_images: ``images`` with no change but the flips, for a teacher that is run on them; None where they are
            the same, or nobody asked.
        features: what a teacher said of these pictures before; None without such a teacher.
    """

    samples: tuple[int, ...]
    images: NDArray[np.float32]
    targets: Targets
    boxes: tuple[NDArray[np.float32], ...]
    labels: tuple[NDArray[np.int32], ...]
    flips: tuple[int, ...] = ()
    plain_images: NDArray[np.float32] | None = None
    features: ReadFeatures | None = None


def generator_for(seed: int, purpose: int, item: int, epoch: int) -> np.random.Generator:
    """A source of chance that depends on its arguments alone (Philox, a counter-based generator)."""
    key = np.array([seed, (purpose << 48) | item], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=epoch << 64))


class PictureStore:
    """Pictures at the network's size and their boxes, kept in memory up to ``room`` bytes."""

    def __init__(self, data: DataSet, rule: ResizeRule, channels: Channels, room: int = CACHE_BYTES) -> None:
        self.data, self.rule, self.channels = data, rule, channels
        bytes_each = rule.width * rule.height * (1 if channels == "grey" else 3)
        self._room = room // bytes_each
        self._images: dict[int, NDArray[np.uint8]] = {}
        self.boxes = [rule.boxes_to_input(sample.boxes, sample.size) for sample in data.samples]

    def image(self, index: int) -> NDArray[np.uint8]:
        """The picture at ``index``, uint8 [H, W] or [H, W, 3] at the network's size.

        Raises:
            TemperError: if it cannot be read, or its size is not the one its boxes were drawn on.
        """
        image = self._images.get(index)
        if image is None:
            sample = self.data.samples[index]
            image = self.rule.apply(read_sample(self.data, sample, self.channels))
            if index < self._room:
                self._images[index] = image
        return image


class BatchLoader:
    """Makes batches ahead of the training loop, in threads (decoding and array work release the interpreter).

    Args:
        store: the pictures at the network's size.
        detector: makes the targets.
        normalisation: of the pixels.
        augment_section: how pictures are changed.
        batch_size: pictures of a step, over all processes that train together.
        seed: of the run.
        workers: threads.
        scales: factors of the network's size, one of which each step draws; none: always that size.
        rank: which share of every batch this loader makes, counted from 0.
        ranks: how many equal shares a batch has.

    Attributes:
        teacher: reads its features for every batch, if there is one that keeps them.
        plain_images: whether batches carry the pictures as a live teacher sees them.

    Raises:
        TemperError: if there are no pictures, or a batch has no equal shares.
    """

    def __init__(
        self,
        store: PictureStore,
        detector: Detector,
        normalisation: Normalisation,
        augment_section: AugmentSection,
        *,
        batch_size: int,
        seed: int,
        workers: int,
        scales: Sequence[float] = (),
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if not len(store.data):
            raise TemperError(f"The training set {store.data.name} has no pictures.")
        self.store, self.detector, self.normalisation = store, detector, normalisation
        self.section, self.seed, self.workers = augment_section, seed, workers
        self.batch_size = min(batch_size, len(store.data))
        if self.batch_size % ranks:
            nearest = max(1, round(self.batch_size / ranks)) * ranks
            raise UsageError(
                f"A batch has {self.batch_size} pictures, over all {ranks} processes, which cannot share it evenly. "
                f"Set training.batch_size to {nearest}, or train with another number of processes."
            )
        self.rank, self.share = rank, self.batch_size // ranks
        self.teacher: CachedTeacher | None = None
        self.plain_images = False
        rules = list(dict.fromkeys(scaled_rule(store.rule, scale) for scale in scales)) or [store.rule]
        room = CACHE_BYTES // ranks // len(rules)
        self._stores = [
            store if rule == store.rule else PictureStore(store.data, rule, store.channels, room) for rule in rules
        ]

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch; the pictures left over are others in every epoch."""
        return len(self.store.data) // self.batch_size

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The order of the samples in an epoch."""
        return generator_for(self.seed, _SHUFFLE, 0, epoch).permutation(len(self.store.data))

    def rule(self, step: int) -> ResizeRule:
        """How pictures become the network's input at a step: the same size on every rank."""
        return self._store(step).rule

    def pictures(self, step: int, *, whole: bool = False) -> list[Picture]:
        """The pictures of a step counted from 0 over all epochs: this rank's share, or the ``whole`` batch."""
        epoch, position = divmod(step, self.steps_per_epoch)
        begin = position * self.batch_size + (0 if whole else self.rank * self.share)
        chosen = self.order(epoch)[begin : begin + (self.batch_size if whole else self.share)]
        store, pictures = self._store(step), []
        for sample in chosen.tolist():
            chance = generator_for(self.seed, _AUGMENT, sample, epoch)
            image, boxes, flip = augment(store.image(sample), store.boxes[sample], self.section, chance)
            pictures.append(Picture(sample, image, boxes, store.data.samples[sample].labels, flip))
        return pictures

    def batch(self, step: int, most: int | None = None) -> Batch:
        """The batch of a step, or the first ``most`` pictures of it."""
        pictures = self.pictures(step)[:most]
        rule = self.rule(step)
        size = (rule.width, rule.height)
        samples, flips = tuple(p.sample for p in pictures), tuple(p.flip for p in pictures)
        plain = None
        if self.plain_images and changes_more_than_flips(self.section):
            images = self._store(step)
            plain = self.normalisation.apply(np.stack([flip_image(images.image(p.sample), p.flip) for p in pictures]))
        return Batch(
            samples,
            self.normalisation.apply(np.stack([picture.image for picture in pictures])),
            self.detector.collate([self.detector.targets(p.boxes, p.labels, size) for p in pictures]),
            tuple(picture.boxes for picture in pictures),
            tuple(picture.labels for picture in pictures),
            flips,
            plain,
            self.teacher.read(samples, flips) if self.teacher is not None else None,
        )

    def _store(self, step: int) -> PictureStore:
        if len(self._stores) == 1:
            return self._stores[0]
        return self._stores[generator_for(self.seed, _SCALE, 0, step).integers(len(self._stores))]

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """Batches of the steps from ``first`` up to, not including, ``last``."""
        if self.workers == 0:
            yield from (self.batch(step) for step in range(first, last))
            return
        with ThreadPoolExecutor(self.workers, thread_name_prefix="loader") as pool:
            waiting: deque[Future[Batch]] = deque()
            upcoming = iter(range(first, last))
            try:
                for _ in range(2 * self.workers):
                    if (step := next(upcoming, None)) is not None:
                        waiting.append(pool.submit(self.batch, step))
                while waiting:
                    batch = waiting.popleft().result()
                    if (step := next(upcoming, None)) is not None:
                        waiting.append(pool.submit(self.batch, step))
                    yield batch
            finally:
                for future in waiting:
                    future.cancel()


def scaled_rule(rule: ResizeRule, scale: float) -> ResizeRule:
    """A resize rule to ``scale`` times the size, each side rounded to a multiple of :data:`SIDE_STEP`."""
    width, height = (max(SIDE_STEP, round(side * scale / SIDE_STEP) * SIDE_STEP) for side in (rule.width, rule.height))
    return replace(rule, width=width, height=height)
