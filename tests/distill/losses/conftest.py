from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

CHANNELS = (3, 8)
STRIDES = (8, 16)


@pytest.fixture
def make_lesson() -> Callable[..., object]:
    """A batch of random features (student 3 channels, teacher 8; strides 8 and 16), head outputs and boxes."""
    paddle = pytest.importorskip("paddle", reason="the losses are computed by PaddlePaddle")
    from temper.distill.detectors.base import HeadOutputs
    from temper.distill.losses.base import Lesson

    def make(pictures: Sequence[int] = (0, 1, 2), *, size: int = 48, boxes: bool = True, trained: bool = False):
        def tensor(purpose: int, *shape: int, learns: bool = False):
            rows = [np.random.default_rng([purpose, picture]).normal(size=shape) for picture in pictures]
            return paddle.to_tensor(np.stack(rows).astype(np.float32), stop_gradient=not learns)

        sides = [-(-size // stride) for stride in STRIDES]
        student, teacher, *backbones = (
            [tensor(10 * what + level, channels, side, side, learns=trained) for level, side in enumerate(sides)]
            for what, channels in enumerate(CHANNELS * 2, start=6)
        )
        # a few places with two classes; the teacher is sure of some
        heads = [
            HeadOutputs(tensor(30 + who, 12, 2, learns=trained), tensor(40 + who, 12, 4, learns=trained).abs() * 5)
            for who in (0, 1)
        ]
        drawn = [np.random.default_rng([50, picture]) for picture in pictures]
        found = [np.sort(d.uniform(0, size, (1 + p % 3, 2, 2)), axis=1) for d, p in zip(drawn, pictures, strict=True)]
        none = np.zeros((0, 4), np.float32)
        return Lesson(
            student,
            teacher,
            *heads,
            tuple(b.reshape(-1, 4).astype(np.float32) if boxes else none for b in found),
            tuple(np.zeros(len(b) if boxes else 0, np.int32) for b in found),
            tuple(pictures),
            epoch=1,
            seed=7,
            progress=0.25,
            student_backbone=backbones[0],
            teacher_backbone=backbones[1],
        )

    return make
