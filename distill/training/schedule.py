"""The learning rate as a function of the step, with no memory: resuming needs nothing but the step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..recipe_training import TrainingSection


def learning_rate(section: TrainingSection, step: int, steps_per_epoch: int) -> float:
    """The learning rate of a step counted from 0.

    Args:
        section: peak rate, schedule (cosine, step or constant), warm-up.
        step: counted over all epochs.
        steps_per_epoch: batches in an epoch.

    Returns:
        The rate; during warm-up it grows linearly to the schedule's value.
    """
    total = section.epochs * steps_per_epoch
    warmup = min(section.warmup_steps, total // 2)
    if section.schedule == "cosine":
        progress = max(0, step - warmup) / max(1, total - warmup)
        rate = 0.5 * section.learning_rate * (1 + math.cos(math.pi * min(1.0, progress)))
    elif section.schedule == "step":
        passed = sum(step >= epoch * steps_per_epoch for epoch in section.step_epochs)
        rate = section.learning_rate * 0.1**passed
    else:
        rate = section.learning_rate
    return rate * (step + 1) / warmup if step < warmup else rate
