"""The processes that train one model together, its *ranks*, and what they tell one another.

Every rank works on its own share of each batch. The shares are of equal size, so the loss of the whole batch, and its
gradient, is the mean of the ranks'. What is a mean over pictures is right by itself then; what is divided by a number
of something else (positive anchors, say) has to be divided by :func:`shared_normaliser` of that number.

All of it does nothing, and costs nothing, in a process that trains by itself.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.errors import TemperError
from .launched import launched_size
from .paddle_import import paddle

Number = TypeVar("Number", float, paddle.Tensor)

_by_itself = False


def join_ranks(device: str) -> None:
    """Meet the other processes, if Paddle's launcher started this one as one of several. May be called again.

    Args:
        device: ``"cpu"`` (they talk through gloo) or ``"gpu"`` (NCCL).

    Raises:
        TemperError: if they do not come together.
    """
    if launched_size() < 2 or paddle.distributed.is_initialized():
        return
    if device == "cpu":
        os.environ["PADDLE_DISTRI_BACKEND"] = "gloo"
    try:
        paddle.distributed.init_parallel_env()
    except (RuntimeError, ValueError, OSError, NotImplementedError) as error:
        raise TemperError(
            f"The {launched_size()} training processes did not come together ({_reason(error)}). Check that the "
            "machines reach one another, and that the address of the first one is right."
        ) from error


def rank() -> int:
    """This process's number, from 0. Rank 0 writes checkpoints, metrics and results; the others write nothing."""
    return int(paddle.distributed.get_rank()) if size() > 1 else 0


def size() -> int:
    """How many processes train together; 1 before :func:`join_ranks`."""
    if _by_itself or not paddle.distributed.is_initialized():
        return 1
    return int(paddle.distributed.get_world_size())


@contextlib.contextmanager
def by_itself() -> Iterator[None]:
    """Compute without the others for a while, as a process that trains alone would."""
    global _by_itself
    _by_itself = True
    try:
        yield
    finally:
        _by_itself = False


def shared_normaliser(count: Number) -> Number:
    """What a rank divides a sum by, so that the mean of the ranks' losses is the loss of the whole batch.

    Args:
        count: what this rank's share has of the thing that is counted: a number, or a tensor of one element.

    Returns:
        The mean of ``count`` over the ranks, taken as if the whole batch had at least one.
    """
    if size() == 1:
        return count.clip(min=1.0) if isinstance(count, paddle.Tensor) else max(1.0, float(count))
    if isinstance(count, paddle.Tensor):
        total = count.detach().clone()
        _together(lambda: paddle.distributed.all_reduce(total))
        return total.clip(min=1.0) / size()
    return max(1.0, float(sum_over_ranks(np.array([count]))[0])) / size()


def sum_over_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of an array over all ranks, the same bytes on each."""
    if size() == 1:
        return values
    tensor = paddle.to_tensor(values.astype(np.float64))
    _together(lambda: paddle.distributed.all_reduce(tensor))
    return np.asarray(tensor.numpy())


def average_gradients(parameters: Sequence[paddle.Tensor]) -> None:
    """Give every rank the mean of the ranks' gradients, in one message.

    A parameter that some ranks have no gradient for counts as zero there; one that none has stays without.
    """
    if size() == 1:
        return
    with paddle.no_grad():
        there = paddle.to_tensor([float(p.grad is not None) for p in parameters])
        pieces = [paddle.zeros([p.size]) if p.grad is None else p.grad.flatten() for p in parameters]
        mean, found = _mean([there, *pieces]), len(parameters)
        has_gradient, begin = mean[:found].numpy() > 0, found
        for parameter, has in zip(parameters, has_gradient, strict=True):
            if has:
                parameter.grad = mean[begin : begin + parameter.size].reshape(parameter.shape)
            begin += parameter.size


def average_statistics(layer: paddle.nn.Layer) -> None:
    """Give every rank the mean of the ranks' running batch statistics, so that all hold the same state."""
    if size() == 1:
        return
    norms = [
        part
        for part in layer.sublayers()
        if isinstance(part, paddle.nn.layer.norm._BatchNormBase) and part.training and not part._use_global_stats
    ]
    statistics = [tensor for norm in norms for tensor in (norm._mean, norm._variance)]
    if not statistics:
        return
    with paddle.no_grad():
        mean, begin = _mean([tensor.flatten() for tensor in statistics]), 0
        for tensor in statistics:
            tensor.set_value(mean[begin : begin + tensor.size].reshape(tensor.shape))
            begin += tensor.size


def share_bytes(content: bytes) -> bytes:
    """What rank 0 gives, on every rank."""
    if size() == 1:
        return content
    length = paddle.to_tensor(np.array([len(content)], np.int64))
    _together(lambda: paddle.distributed.broadcast(length, src=0))
    filled = np.zeros(max(1, int(length.numpy()[0])), np.uint8)
    if rank() == 0:
        filled[: len(content)] = np.frombuffer(content, np.uint8)
    tensor = paddle.to_tensor(filled)
    _together(lambda: paddle.distributed.broadcast(tensor, src=0))
    return bytes(tensor.numpy().tobytes()[: int(length.numpy()[0])])


def _mean(pieces: Sequence[paddle.Tensor]) -> paddle.Tensor:
    """The mean over the ranks of one flat tensor made of flat pieces."""
    flat = paddle.concat(list(pieces))
    _together(lambda: paddle.distributed.all_reduce(flat))
    return flat / size()


def _together(call: Callable[[], object]) -> None:
    """Do what needs every rank.

    Raises:
        LostRankError: if another rank is gone.
    """
    try:
        call()
    except (RuntimeError, ValueError, OSError, SystemError) as error:
        raise LostRankError(
            f"Another of the {size()} training processes has ended, so this one cannot go on ({_reason(error)}). What "
            "was reached is in the last checkpoint; the same command goes on from there."
        ) from error


class LostRankError(TemperError):
    """Another process of the same training is gone."""


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not set(line.strip()) <= set("-= ")]
    return lines[-1] if lines else type(error).__name__
