"""Options that several commands share."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from ..core.errors import nearest

#: How a group is asked for help, also where it is called without the command above it.
HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}
#: The stages of a run, as in ``flow.keys``, which is not imported for a help text.
STAGES = (
    "data",
    "teacher",
    "student",
    "distilled",
    "export-teacher",
    "export-student",
    "export-distilled",
    "benchmark",
    "report",
)
#: The names of ``deploy.runtimes.load.RUNTIMES``, which is not imported for a help text.
RUNTIME_NAMES = ("onnxruntime", "onnxruntime-cuda", "onnxruntime-tensorrt", "openvino", "tensorrt")


class Group(click.Group):
    """A group of commands that can be asked for help in the usual ways, and knows a command that was left out."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{"context_settings": HELP_OPTIONS, **settings})

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a file or folder in its place is answered with what may stand before it."""
        name = args[0]
        if name not in self.commands and ("/" in name or Path(name).exists() or Path(name).suffix):
            names = [name for name, command in self.commands.items() if not command.hidden]
            ctx.fail(f"'{name}' is no command; before it belongs one of these: {', '.join(names)}")
        return super().resolve_command(ctx, args)


class Choice(click.Choice[str]):
    """One of some words; a misspelt one is answered with the nearest."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word itself, if it is among the choices."""
        if str(value) not in self.choices:
            self.fail(f"there is no '{value}'.{nearest(str(value), self.choices)}", param, ctx)
        return str(value)


overrides_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Change a field of the recipe, for example --set training.epochs=3; may be given several times.",
)
runs_option = click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of all runs.",
)
device_option = click.option(
    "--device", type=Choice(["cpu", "gpu"]), help="What Paddle trains on; overrides the recipe."
)
vdl_option = click.option(
    "--vdl/--no-vdl",
    default=None,
    help="Keep a log of each training for VisualDL in the run's folder; overrides the recipe's training.visualdl.",
)
cache_option = click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that keeps the teacher's features for other runs; overrides the recipe.",
)


class _KeyFile(click.Path):
    """A file of public keys; an empty name is refused, as it would pass for no key at all."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value).strip():
            self.fail("it is empty; name a file of public keys, or leave it out (unset TEMPER_PUBLIC_KEY).", param, ctx)
        return super().convert(value, param, ctx)


class _KeyOption(click.Option):
    """``--public-key``, whose variable counts when it is empty too: click takes an empty one for none."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        return os.environ.get("TEMPER_PUBLIC_KEY")


#: For every command that runs a bundle; once in the environment, a device refuses all others.
public_key_option = click.option(
    "--public-key",
    cls=_KeyOption,
    type=_KeyFile(path_type=Path),
    envvar="TEMPER_PUBLIC_KEY",
    show_envvar=True,
    help="Take only what was signed with a key of this file (see 'temper bundle keygen').",
)
#: For what measures, and what shows what was measured.
history_option = click.option(
    "--history",
    metavar="PATH",
    envvar="TEMPER_HISTORY",
    show_envvar=True,
    help="File that keeps every benchmark, or 'none'.  [default: runs/history.sqlite3]",
)
#: More threads than any machine of a line has cores only wait for each other.
threads_option = click.option(
    "--threads", type=click.IntRange(1, 512), help="Threads of the runtime.  [default: the runtime chooses]"
)
events_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line for every event.")


def with_cache(overrides: tuple[str, ...], cache: Path | None) -> tuple[str, ...]:
    """The overrides, ``--cache`` among them as the last word."""
    # a JSON text is a YAML text, whatever is in the path
    return overrides if cache is None else (*overrides, f"distillation.cache={json.dumps(str(cache))}")


def with_device(overrides: tuple[str, ...], device: str | None) -> tuple[str, ...]:
    """The overrides, ``--device`` among them as the last word."""
    return overrides if device is None else (*overrides, f"device={device}")


def with_vdl(overrides: tuple[str, ...], vdl: bool | None) -> tuple[str, ...]:
    """The overrides, ``--vdl`` among them as the last word."""
    return overrides if vdl is None else (*overrides, f"training.visualdl={str(vdl).lower()}")


def with_golden(overrides: tuple[str, ...], golden: Path | None) -> tuple[str, ...]:
    """The overrides, ``--golden`` among them as the last word."""
    return overrides if golden is None else (*overrides, f"export.golden_images={json.dumps(str(golden))}")


found_iou_option = click.option(
    "--found-iou",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0.05, 1),
    help="Overlap (IoU) from which a detection finds a defect.",
)
