"""The ``temper`` command. Groups are imported when they are used, so that help answers at once."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from . import __version__
from .core.errors import TemperError, nearest
from .core.interruption import Terminated, ignore_further, listening, received

#: Command -> module in ``commands`` (which has an attribute of the command's name) and its line in the help.
COMMANDS = {
    "run": ("run", "Do a whole recipe: data, teacher, student, distilled student, export, benchmark, report."),
    "status": ("status", "Show where a run stands."),
    "init": ("init", "Write a commented recipe to start from."),
    "data": ("data", "Import, split, check and synthesise data sets."),
    "distill": ("distill", "Train a recipe's teacher, student or distilled student, and judge them."),
    "export": ("export", "Export a recipe's trained models to bundles."),
    "verify": ("verify", "Hold a run's exported graphs against its trained models."),
    "bench": ("bench", "Measure bundles, and report what was measured."),
    "estimate": ("estimate", "Estimate how long devices that nobody has measured take for a bundle."),
    "plan": ("plan", "Choose the hardware for a line, from measurements and estimates."),
    "bundle": ("bundle", "Look into a bundle, and check it on this machine."),
    "deploy": ("deploy", "Run a bundle on pictures or a video."),
    "doctor": ("doctor", "Print what this machine can do, and what to install for the rest."),
}
DEBUG_VARIABLE = "TEMPER_DEBUG"
# what a shell sees of a command that a signal ended
INTERRUPTED, BROKEN_PIPE, TERMINATED = 130, 141, 143
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_SUCH_PLACE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EIO, errno.ESTALE)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


#: Commands that keep what is finished and go on from there.
RESUMING = (("run",), ("distill",), ("export", "onnx"), ("bench", "remote"))


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
    """Run the command line.

    Args:
        arguments: the words after ``temper``; those of this process if None.

    Returns:
        The exit code: 0 done, 1 failed, 2 used wrongly, 130 interrupted, 143 terminated.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # one switch, wherever it stands
    debug = "--debug" in words or os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")
    words = [word for word in words if word != "--debug"]
    _prepare_streams()
    stdout = sys.stdout
    with listening():
        try:
            result = temper.main(args=words, prog_name="temper", standalone_mode=False)
            sys.stdout.flush()
            return result if isinstance(result, int) else 0
        except SystemExit:
            # what click makes of a reader who has gone: it puts other streams in place and exits
            if sys.stdout is stdout:
                raise
            return BROKEN_PIPE
        except (Exception, KeyboardInterrupt) as error:
            ignore_further()  # a second Ctrl-C would break in on the sentence about the first
            return _end(error, debug, _resumes(words))


def _resumes(words: Sequence[str]) -> bool:
    """Whether a command, given again, goes on where it stopped; others begin anew."""
    named = [word for word in words if not word.startswith("-")]
    return any(tuple(named[: len(command)]) == command for command in RESUMING)


def _end(error: BaseException, debug: bool, resumes: bool) -> int:
    """Tell the user why a command ended early; gives the exit code."""
    # click passes an interruption on as its own Abort, and other libraries as anything
    interruption = received() or (error if isinstance(error, KeyboardInterrupt | click.Abort) else None)
    if interruption is not None:
        _say("\nInterrupted." + (" What is finished is kept; the same command goes on from there." if resumes else ""))
        return TERMINATED if isinstance(interruption, Terminated) else INTERRUPTED
    if isinstance(error, BrokenPipeError) or (
        # the terminal has gone
        isinstance(error, OSError) and error.errno == errno.EIO and not error.filename
    ):
        # whoever read our output has gone; nothing more can be said there
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    if debug and not isinstance(error, click.ClickException):
        traceback.print_exception(error)
    sentence, code = explain(error)
    _say(sentence)
    return code


def explain(error: BaseException) -> tuple[str, int]:
    """What to tell the user of an exception, and the exit code."""
    if isinstance(error, TemperError):
        return f"Error: {error}", error.exit_code
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error.format_message(), error.exit_code
    if isinstance(error, click.UsageError):
        where = f" See '{error.ctx.command_path} --help'." if error.ctx else ""
        message = error.format_message()
        return f"Error: {message}{'' if message.endswith(('.', '?', '?)')) else '.'}{where}", error.exit_code
    if isinstance(error, click.ClickException):
        return f"Error: {error.format_message()}", error.exit_code
    return f"Error: {_explain_other(error)}", 1


def _explain_other(error: BaseException) -> str:
    place = f" {error.filename}" if isinstance(error, OSError) and error.filename else ""
    number = error.errno if isinstance(error, OSError) else None
    if number in _DISK_FULL:
        return (
            f"No space left on the disk{place and ' for'}{place}. Free some and give the same command again: what is "
            "finished is kept."
        )
    if number in _NOT_ALLOWED and place:
        return f"No permission for{place}. Choose a place you may read and write."
    if number == errno.EMFILE:
        return "Too many files are open. Raise the limit with 'ulimit -n 4096' and give the same command again."
    if place and number in _NO_SUCH_PLACE:
        return f"{place.strip()} cannot be used: {os.strerror(number or 0)}."
    if isinstance(error, MemoryError):
        return (
            "This machine has too little memory for that. Try a smaller batch_size, a smaller input, or fewer workers."
        )
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.partition(".")[0] != __package__:
        return (
            f"The Python package '{error.name.partition('.')[0]}' is needed for this and is not installed. In a clone "
            "of Temper 'make install' installs all there is; 'temper doctor' prints the commands for this machine."
        )
    text = " ".join(str(error).split())
    return (
        f"This is a bug in Temper, not in what you did ({type(error).__name__}{text and ': '}{text}). Please report it "
        "with what the same command prints when run with --debug."
    )


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # no one listens
        click.echo(text, err=True)


def _prepare_streams() -> None:
    """A terminal that cannot show a sign gets a question mark in its place, not an error; a closed stream takes all."""
    # Python has none where the descriptor was closed, as some services start their programs
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
