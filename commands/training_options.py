"""What every command that trains takes: the recipe, its changes, and what the trainings are spread over."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .devices import chosen_devices, devices_options
from .options import (
    cache_option,
    device_option,
    events_option,
    overrides_option,
    runs_option,
    vdl_option,
    with_cache,
    with_device,
    with_vdl,
)

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def training_options(*more: Decorator, taught: bool = True) -> Decorator:
    """Give a command the argument RECIPE and the options of a training.

    The command is called with ``recipe``, ``overrides`` (those of ``--device``, ``--vdl`` and ``--cache`` among them),
    ``runs``, ``devices`` and ``as_json``.

    Args:
        more: options of its own, which its help shows before ``--json``.
        taught: whether it trains a student under its teacher, whose features can be kept.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def with_what_is_meant(
            *,
            overrides: tuple[str, ...],
            device: str | None,
            gpus: tuple[int, ...] | None,
            processes: int,
            vdl: bool | None,
            cache: Path | None = None,
            **others: Any,
        ) -> None:
            devices, device = chosen_devices(gpus, processes, device)
            overrides = with_cache(with_vdl(with_device(overrides, device), vdl), cache)
            command(overrides=overrides, devices=devices, **others)

        options: list[Decorator] = [overrides_option, runs_option, device_option, devices_options, vdl_option]
        options += [cache_option] if taught else []
        options += [*more, events_option]
        decorated: Callable[..., None] = with_what_is_meant
        for option in reversed(options):
            decorated = option(decorated)
        return click.argument("recipe", type=click.Path(path_type=Path))(decorated)

    return decorate
