"""Training one model: teacher, student and distilled student alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...core.errors import TemperError
from ...core.events import Reporter, silent
from ...detection.dataset import label_counts
from .. import ranks
from ..paddle_import import paddle
from .job import TrainingJob, TrainingRecord
from .loop import TrainingLoop
from .precision import require_precision
from .record import finished_record
from .visual_log import visual_log


def train_model(job: TrainingJob, out: Path, report: Reporter) -> TrainingRecord:
    """Train one model; called again on the same folder, it goes on from the last checkpoint.

    Where Paddle's launcher has started several processes, each calls this with the same arguments. They train
    together; the first one alone writes and reports, and all return the same record.

    Args:
        job: what to train. The caller answers for ``out`` belonging to this very job.
        out: gets ``weights.safetensors``, ``metrics.jsonl``, ``examples.jsonl`` and ``record.json``; checkpoints while
            it lasts.
        report: told of every step and evaluation, under the stage name ``job.role``.

    Returns:
        The record, also written to ``out``.

    Raises:
        TemperError: if there is nothing to learn from, the loss diverges, memory runs out, the device is not there,
            or another of the processes is gone.
    """
    use_device(job.device)
    ranks.join_ranks(job.device)
    record = finished_record(out)
    if record is not None:
        return record
    _check(job)
    require_precision(job.training.precision)
    # tensor names start afresh in every job, so that the optimizer's saved state finds its tensors again
    with paddle.utils.unique_name.guard(f"{job.role}_"), visual_log(job, report) as listener:
        return TrainingLoop(job, out, report if ranks.rank() == 0 else silent, listener).run()


def use_device(device: str) -> None:
    """Choose where Paddle computes.

    Raises:
        TemperError: if a GPU is asked for and Paddle sees none.
    """
    if device == "gpu" and not (paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count()):
        build = "sees no GPU" if paddle.is_compiled_with_cuda() else "is a build for CPUs"
        raise TemperError(
            f"The recipe asks for a GPU, but this Paddle {build}. Set device: cpu, or see 'temper doctor' for the "
            "GPU build."
        )
    paddle.set_device(device)


def require_gpus(numbers: Sequence[int]) -> None:
    """Refuse GPUs that are not there.

    Raises:
        TemperError: if Paddle sees no GPU, or too few.
    """
    use_device("gpu")
    there = paddle.device.cuda.device_count()
    missing = [str(number) for number in numbers if number >= there]
    if missing:
        known = "0" if there == 1 else f"0 to {there - 1}"
        raise TemperError(f"There is no GPU {', '.join(missing)} here: Paddle sees those with the numbers {known}.")


def _check(job: TrainingJob) -> None:
    if not label_counts(job.train.samples, len(job.train.labels)).sum():
        raise TemperError(
            f"The training set {job.train.name} has {len(job.train)} pictures and not one box, so there is nothing "
            "to learn."
        )
    if job.val.labels != job.train.labels:
        raise TemperError(
            f"The training set has the classes {list(job.train.labels)} and the validation set {list(job.val.labels)}; "
            "they must be the same, in the same order."
        )
