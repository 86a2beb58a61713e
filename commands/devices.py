"""``--gpus`` and ``--processes``: what a training is spread over."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..core.errors import UsageError

if TYPE_CHECKING:
    from ..flow.together import Devices

Command = TypeVar("Command", bound=Callable[..., Any])


def _gpu_numbers(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,3}(,[0-9]{1,3})*", text):
        raise click.BadParameter(f"'{text}' is no list of GPU numbers; write commas between them, such as 0,1,2,3.")
    numbers = tuple(int(number) for number in text.split(","))
    if len(set(numbers)) != len(numbers):
        raise click.BadParameter(f"'{text}' names a GPU twice.")
    return numbers


def devices_options(command: Command) -> Command:
    """``--gpus`` and ``--processes``, for commands that train."""
    command = click.option(
        "--processes",
        type=click.IntRange(1, 64),
        default=1,
        show_default=True,
        help="Train in so many processes on the CPU; a batch is shared among them.",
    )(command)
    return click.option(
        "--gpus",
        callback=_gpu_numbers,
        metavar="N[,N...]",
        help="Train on these GPUs, one process each, for example 0,1,2,3; a batch is shared among them.",
    )(command)


def chosen_devices(gpus: tuple[int, ...] | None, processes: int, device: str | None) -> tuple[Devices, str | None]:
    """What ``--gpus``, ``--processes`` and ``--device`` mean together: the devices, and their kind if one is said.

    To be called before Paddle is loaded: one GPU alone is made the only one it sees.

    Raises:
        UsageError: if they contradict one another.
    """
    from ..distill.launched import launched_size
    from ..flow.together import Devices, gpu_labels

    if launched_size() > 1 and (gpus or processes > 1):
        raise UsageError(
            "Paddle's launcher has started this command several times already; give --gpus and the like to the "
            "launcher alone."
        )
    if gpus and processes > 1:
        raise UsageError("--gpus starts one process per GPU, and --processes several on the CPU; give one of the two.")
    if gpus and device == "cpu":
        raise UsageError("--gpus and --device cpu contradict each other; leave one out.")
    if processes > 1 and device == "gpu":
        raise UsageError("--processes is for the CPU; to train on several GPUs name them with --gpus, such as 0,1.")
    if gpus and len(gpus) == 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu_labels(gpus)[0]
    return Devices(gpus or (), processes), "gpu" if gpus else ("cpu" if processes > 1 else device)
