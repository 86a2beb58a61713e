"""Batches for training. Batch number n depends on the seed and n alone: an interruption changes nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.errors import TemperError
from ...detection.dataset import DataSet
from ...detection.images import Channels, ResizeRule, read_image
from ..detectors.normalise import Normalisation
from .augment import augment

if TYPE_CHECKING:
    from ..detectors.base import Detector, Targets
    from ..recipe_training import AugmentSection

#: Resized pictures are kept in memory up to this many bytes; beyond, they are read again each epoch.
CACHE_BYTES = 2 << 30
# words that keep the streams of shuffling and augmentation apart
_SHUFFLE, _AUGMENT = 1, 2


@dataclass(frozen=True, eq=False)
class Batch:
    """One step's worth of pictures.

    Attributes:
        samples: index of each picture in its data set.
        images: float32 [B, 3, H, W] or, grey, [B, 1, H, W], normalised.
        targets: as the detector's ``collate`` gives them.
        boxes: the true boxes of each picture as it is in ``images``, float32 [N, 4] in its pixels.
        labels: their classes, int32 [N].
    """

    samples: tuple[int, ...]
    images: NDArray[np.float32]
    targets: Targets
    boxes: tuple[NDArray[np.float32], ...]
    labels: tuple[NDArray[np.int32], ...]


def generator_for(seed: int, purpose: int, item: int, epoch: int) -> np.random.Generator:
    """A source of chance that depends on its arguments alone (Philox, a counter-based generator)."""
    key = np.array([seed, (purpose << 48) | item], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=epoch << 64))


class PictureStore:
    """Pictures at the network's size and their boxes, kept in memory as far as they fit."""

    def __init__(self, data: DataSet, rule: ResizeRule, channels: Channels) -> None:
        self.data, self.rule, self.channels = data, rule, channels
        bytes_each = rule.width * rule.height * (1 if channels == "grey" else 3)
        self._room = CACHE_BYTES // bytes_each
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
            full = read_image(self.data.image_path(sample), self.channels)
            if full.shape[:2] != (sample.height, sample.width):
                raise TemperError(
                    f"{self.data.image_path(sample)} has {full.shape[1]} x {full.shape[0]} pixels and its annotation "
                    f"says {sample.width} x {sample.height}. 'temper data check' lists all such pictures."
                )
            image = self.rule.apply(full)
            if index < self._room:
                self._images[index] = image
        return image


class BatchLoader:
    """Makes batches ahead of the training loop, in threads (decoding and array work release the interpreter)."""

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
    ) -> None:
        if not len(store.data):
            raise TemperError(f"The training set {store.data.name} has no pictures.")
        self.store, self.detector, self.normalisation = store, detector, normalisation
        self.section, self.seed, self.workers = augment_section, seed, workers
        self.batch_size = min(batch_size, len(store.data))

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch; the pictures left over are others in every epoch."""
        return len(self.store.data) // self.batch_size

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The order of the samples in an epoch."""
        return generator_for(self.seed, _SHUFFLE, 0, epoch).permutation(len(self.store.data))

    def batch(self, step: int) -> Batch:
        """The batch of a step counted from 0 over all epochs."""
        epoch, position = divmod(step, self.steps_per_epoch)
        chosen = self.order(epoch)[position * self.batch_size : (position + 1) * self.batch_size]
        images, targets, all_boxes, all_labels = [], [], [], []
        size = (self.store.rule.width, self.store.rule.height)
        for sample in chosen.tolist():
            image, boxes = augment(
                self.store.image(sample),
                self.store.boxes[sample],
                self.section,
                generator_for(self.seed, _AUGMENT, sample, epoch),
            )
            labels = self.store.data.samples[sample].labels
            images.append(image)
            targets.append(self.detector.targets(boxes, labels, size))
            all_boxes.append(boxes)
            all_labels.append(labels)
        return Batch(
            tuple(chosen.tolist()),
            self.normalisation.apply(np.stack(images)),
            self.detector.collate(targets),
            tuple(all_boxes),
            tuple(all_labels),
        )

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
