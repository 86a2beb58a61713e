"""The ``temper`` command. Groups are imported when they are used, so that help answers at once."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from . import __version__
from .core.errors import TemperError, nearest

#: Command -> module in ``commands`` (which has an attribute of the command's name) and its line in the help.
COMMANDS = {
    "run": ("run", "Do a whole recipe: data, teacher, student, MGD student, export, benchmark, report."),
    "status": ("status", "Show where a run stands."),
    "init": ("init", "Write a commented recipe to start from."),
    "data": ("data", "Import, split, check and synthesise data sets."),
    "distill": ("distill", "Train a recipe's teacher, student or MGD student."),
    "export": ("export", "Export a recipe's trained models to bundles."),
    "bench": ("bench", "Measure bundles, and report what was measured."),
    "bundle": ("bundle", "Look into a bundle, and check it on this machine."),
    "deploy": ("deploy", "Run a bundle on pictures or a video."),
    "doctor": ("doctor", "Print what this machine can do, and what to install for the rest."),
}
INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called; listing them reads a table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f".commands.{COMMANDS[cmd_name][0]}", __package__)
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a misspelt one is answered with the nearest."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            ctx.fail(f"There is no command '{name}'.{nearest(name, COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="temper")
@click.option("--debug", is_flag=True, help="Show a traceback when something fails (also: TEMPER_DEBUG=1).")
def temper(debug: bool) -> None:
    """Heat-treat a detector for the factory floor: distil, export, benchmark, run.

    Start with 'temper init' and 'temper run RECIPE', or with 'temper doctor'.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 failed, 2 used wrongly, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # one switch, wherever it stands
    debug = "--debug" in words or os.environ.get("TEMPER_DEBUG", "") not in ("", "0")
    words = [word for word in words if word != "--debug"]
    try:
        result = temper.main(args=words, prog_name="temper", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nInterrupted. What is finished is kept; the same command goes on from there.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has gone; nothing more can be said there
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _failed(error, debug)
    return result if isinstance(result, int) else 0


def _failed(error: Exception, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    if isinstance(error, TemperError):
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    if isinstance(error, MemoryError):
        sentence = "This machine has too little memory for that. Try a smaller batch_size, a smaller input, or fewer workers."
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        place = f" at {error.filename}" if error.filename else ""
        sentence = f"No space left on the disk{place}. Free some and run the same command again: what is finished is kept."
    else:
        name = type(error).__name__
        sentence = f"This is a mistake in Temper, not in what you did: {name}: {error}. Run it with --debug and report what it prints."
    click.echo(f"Error: {sentence}", err=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
