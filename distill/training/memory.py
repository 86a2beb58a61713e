"""Out of memory: which batch size would have fitted."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from ...core.errors import OutOfMemoryError, TemperError
from .. import ranks
from ..paddle_import import paddle

if TYPE_CHECKING:
    from .job import TrainingJob
    from .loader import BatchLoader
    from .step import TrainingStep


def explain_out_of_memory(job: TrainingJob, loader: BatchLoader, training_step: TrainingStep, step: int) -> TemperError:
    """Find by halving how many pictures would have fitted, and say so.

    Args:
        job: of the training.
        loader: of the batch that was too large.
        training_step: that ran out of memory.
        step: counted from 0.

    Returns:
        An :class:`OutOfMemoryError`; a plain :class:`TemperError` if the batch fitted when it was tried again.
    """
    place = "GPU" if job.device == "gpu" else "machine"
    whole = loader.batch_size
    fitting = _fitting(loader, training_step, step) * ranks.size()
    told = f"The training of the {job.role} ran out of this {place}'s memory at step {step + 1}, batch_size {whole}."
    if not fitting:
        other = " or training.precision: amp_bf16" if place == "GPU" and job.training.precision == "fp32" else ""
        return OutOfMemoryError(f"{told} Not even one picture fits: give a smaller input, a smaller model{other}.")
    if fitting >= whole:
        return TemperError(
            f"{told} The same batch went through when tried again, so something else took the memory meanwhile: free "
            f"some, or set training.batch_size to {max(1, whole // 2)}, and give the same command again."
        )
    return OutOfMemoryError(
        f"{told} A batch of {fitting} went through: set training.batch_size to {fitting}, and training.learning_rate "
        f"to {job.training.learning_rate * fitting / whole:.3g}, in proportion."
    )


def _fitting(loader: BatchLoader, training_step: TrainingStep, step: int) -> int:
    """The largest of this rank's share, its half, its quarter and so on, that goes forward and backward; 0 for none."""
    count = loader.share
    while count:
        training_step.forget()
        gc.collect()
        if paddle.is_compiled_with_cuda():
            paddle.device.cuda.empty_cache()
        try:
            with ranks.by_itself():
                training_step.rehearse(loader.batch(step, most=count), step // loader.steps_per_epoch)
            return count
        except MemoryError:
            count //= 2
    return 0
