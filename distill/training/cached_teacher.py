"""A teacher that says everything once: its features are computed ahead of the training and read from the disk.

A frozen teacher sees the same few pictures (one, two or four flips of each) in every epoch. Features are rounded to
float16 and always read back from the store, never handed over as they were computed; and they are computed in batches
that depend on nothing but the picture. So an interruption, a damaged entry that is computed anew, or a store that
another run filled change no bit of what a student is taught.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import TemperError
from ..paddle_import import paddle
from .augment import flip_image
from .feature_store import FeatureStore
from .teacher import Teacher, TeacherAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..detectors.normalise import Normalisation
    from .loader import Batch, PictureStore

#: Pictures, flips counted, that the teacher is run on at once while the store is filled.
PASS_SIZE = 4


class TooLargeForFloat16Error(TemperError):
    """The teacher's features do not fit into the numbers they are kept in."""


@dataclass(frozen=True)
class Viewpoint:
    """How a teacher sees pictures: all that its features depend on beside its weights and the pictures.

    Attributes:
        flips: that pictures may have, ascending.
        strides: of the levels that are wanted.
        normalisation: of the pixels.
    """

    flips: tuple[int, ...]
    strides: tuple[int, ...]
    normalisation: Normalisation


@dataclass(frozen=True, eq=False)
class ReadFeatures:
    """The features of a batch, as a loader thread read them.

    Attributes:
        levels: float16 [B, C, H, W] per stride.
        unreadable: rows of the batch whose features are damaged; those rows hold anything.
    """

    levels: list[NDArray[np.float16]]
    unreadable: tuple[int, ...]


def teacher_pictures(pictures: PictureStore, samples: Sequence[int], view: Viewpoint) -> NDArray[np.float32]:
    """All flips of some pictures as the teacher sees them, [samples * flips, channels, H, W]."""
    flipped = [flip_image(pictures.image(sample), flip) for sample in samples for flip in view.flips]
    return view.normalisation.apply(np.stack(flipped))


class CachedTeacher:
    """Answers from a store instead of running the teacher.

    Args:
        teacher: fills the store, and mends it; in between its weights are not kept in memory.
        store: with an entry per picture and flip, ``sample * len(flips) + flip``.
        pictures: that students learn from.
        view: how the teacher sees them.
        say: is told of progress and of damage, as ``say(kind, **data)``.
    """

    def __init__(
        self, teacher: Teacher, store: FeatureStore, pictures: PictureStore, view: Viewpoint, say: Callable[..., None]
    ) -> None:
        self.teacher, self.store, self.pictures, self.view, self._say = teacher, store, pictures, view, say
        self._samples_per_pass = max(1, PASS_SIZE // len(view.flips))

    def fill(self) -> None:
        """Compute what is not in the store yet; several processes share the work.

        Raises:
            TooLargeForFloat16Error: if the teacher's features do not fit.
            TemperError: if the disk does not take them.
        """
        count, began, computed = len(self.pictures.data), time.monotonic(), 0
        # first what nobody is at, then what another process took and perhaps did not finish
        for wait in (False, True):
            for first in range(0, count, self._samples_per_pass):
                if not self._fill_pass(first, wait=wait):
                    continue
                computed += 1
                done = min(count, first + self._samples_per_pass)
                each = (time.monotonic() - began) / computed
                passes_left = -(-(count - done) // self._samples_per_pass)
                self._say(
                    "step", done=done, total=count, unit="pictures seen by the teacher", seconds_left=each * passes_left
                )
        self.teacher.release()

    def read(self, samples: Sequence[int], flips: Sequence[int]) -> ReadFeatures:
        """The features of some pictures, each with its flip. Called from loader threads; computes nothing."""
        entries = np.empty((len(samples), self.store.layout.values), np.float16)
        found = [
            self.store.read(self._entry(sample, flip), entry)
            for sample, flip, entry in zip(samples, flips, entries, strict=True)
        ]
        levels = [np.ascontiguousarray(level) for level in self.store.layout.levels(entries)]
        return ReadFeatures(levels, tuple(row for row, whole in enumerate(found) if not whole))

    def answer(self, batch: Batch, images: paddle.Tensor, strides: Sequence[int], *, head: bool) -> TeacherAnswer:
        """What :meth:`Teacher.answer` says, but for the rounding to float16.

        Raises:
            TemperError: if a damaged entry cannot be mended.
        """
        features = batch.features
        if features is None or head or tuple(strides) != self.view.strides:
            raise ValueError("a cached teacher knows the features of one set of strides, and no head")
        for row in features.unreadable:
            self._mend(features, row, batch.samples[row], batch.flips[row])
        return TeacherAnswer([paddle.to_tensor(level).astype("float32") for level in features.levels], None)

    def _entry(self, sample: int, flip: int) -> int:
        return sample * len(self.view.flips) + self.view.flips.index(flip)

    def _pass(self, first: int) -> tuple[range, tuple[int, int]]:
        """The samples that are computed together from ``first`` on, and where their entries are: first and number."""
        samples = range(first, min(len(self.pictures.data), first + self._samples_per_pass))
        return samples, (first * len(self.view.flips), len(samples) * len(self.view.flips))

    def _fill_pass(self, first: int, *, wait: bool) -> bool:
        """Compute the pass that begins at sample ``first``; False if it is there or another process is at it."""
        place = self._pass(first)[1]
        if self.store.has(*place):
            return False
        with self.store.reserved(*place, wait=wait) as ours:
            if not ours or self.store.has(*place):
                return False
            self._compute(first)
        return True

    def _compute(self, first: int) -> None:
        samples, (entry, _) = self._pass(first)
        levels = self.teacher.features(teacher_pictures(self.pictures, samples, self.view), self.view.strides)
        exact = np.concatenate([level.reshape(len(level), -1) for level in levels], axis=1)
        with np.errstate(over="ignore"):
            rounded = exact.astype(np.float16)
        if not np.isfinite(rounded).all():
            raise TooLargeForFloat16Error(
                f"The teacher's features of {self._name(samples[0])} reach {np.abs(exact).max():g}, and the disk keeps "
                "numbers up to 65504 (float16). Set distillation.features to live."
            )
        self.store.write(entry, rounded)

    def _mend(self, features: ReadFeatures, row: int, sample: int, flip: int) -> None:
        """Compute a damaged entry anew, with all that was computed together with it, and put it into its row."""
        first = sample - sample % self._samples_per_pass
        with self.store.reserved(*self._pass(first)[1], wait=True):
            self._compute(first)
        self.teacher.release()
        again: NDArray[np.float16] = np.empty(self.store.layout.values, np.float16)
        if not self.store.read(self._entry(sample, flip), again):
            raise TemperError(
                f"What is written to {self.store.folder} does not read back: the disk is failing. Choose another place "
                "with distillation.cache, or set distillation.features to live."
            )
        for level, values in zip(features.levels, self.store.layout.levels(again[None]), strict=True):
            level[row] = values[0]
        message = (
            f"The teacher's features of {self._name(sample)} were damaged on the disk and have been computed anew."
        )
        self._say("warning", message=message)

    def _name(self, sample: int) -> str:
        return self.pictures.data.samples[sample].file_name

    def close(self) -> None:
        """Let go of the store's files."""
        self.store.close()


def probe_shapes(teacher: Teacher, pictures: PictureStore, view: Viewpoint) -> tuple[tuple[int, int, int], ...]:
    """(C, H, W) of each level of a teacher's features, seen on a black picture."""
    rule = pictures.rule
    colours: tuple[Any, ...] = () if pictures.channels == "grey" else (3,)
    black = np.zeros((1, rule.height, rule.width, *colours), np.uint8)
    levels = teacher.features(view.normalisation.apply(black), view.strides)
    return tuple((level.shape[1], level.shape[2], level.shape[3]) for level in levels)
