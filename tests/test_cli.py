"""The command line as a whole: what it loads, what it says of mistakes, how it ends."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from temper import __version__, cli
from temper.cli import COMMANDS, explain, main, temper
from temper.core.errors import MissingDependencyError, TemperError, UsageError
from tiny_run import temper_command


def test_help_lists_every_command_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for name, (_, line) in COMMANDS.items():
        assert f"{name} {line}" in told


def test_closed_streams_take_everything() -> None:
    """Some services start their programs with none."""
    for closed in ("1>&-", "2>&-", "1>&- 2>&-"):
        command = " ".join([shlex.join(temper_command("--version")), closed])
        assert subprocess.run(command, shell=True, timeout=60).returncode == 0


def test_help_loads_click_and_nothing_of_ours_but_the_command_line() -> None:
    """This is what makes it answer at once; the time itself depends on the machine."""
    code = """
import sys
before = set(sys.modules)
from temper.cli import main
main(["--help"])
new = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
print(sorted(new), sorted(name for name in sys.modules if name.startswith("temper")))
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    expected = ["temper", "temper.cli", "temper.core", "temper.core.errors", "temper.core.interruption"]
    assert done.stdout.splitlines()[-1] == f"{['click', 'temper']} {expected}"


@pytest.mark.parametrize("words", [["distill", "-h"], ["distill", "sweep", "-h"]])
def test_help_of_what_names_accuracy_figures_computes_none(words: list[str]) -> None:
    code = f"""
import sys
from temper.cli import main
main({words!r})
print(sorted({{"numpy", "pydantic", "temper.detection.metrics", "temper.flow"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "-h"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: temper {name} ")


def test_every_option_and_argument_is_explained() -> None:
    def walk(command: click.Command, name: str) -> list[str]:
        context = click.Context(command, info_name=name)
        silent = [f"{name} {p.opts[0]}" for p in command.params if isinstance(p, click.Option) and not p.help]
        if not command.help:
            silent.append(name)
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                found = command.get_command(context, inner)
                assert found is not None
                silent += walk(found, f"{name} {inner}")
        return silent

    assert walk(temper, "temper") == []


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["runn"], "There is no command 'runn'. Did you mean 'run'? See 'temper --help'."),
        (["frobnicate"], "There is no command 'frobnicate'. Known here: bench, bundle, "),
        (["data", "improt", "x"], "No such command 'improt'. Did you mean 'import'? See 'temper data --help'."),
        (
            ["export", "neu.yml"],
            "'neu.yml' is no command; before it belongs one of these: onnx, trt. See 'temper export --help'.",
        ),
        (
            ["distill", "runs/neu"],
            "one of these: teacher, student, mgd, evaluate, sweep, compare. See 'temper distill --help'.",
        ),
        (["distill", "studnt", "x"], "Did you mean 'student'? See 'temper distill --help'."),
        (["run", "x.yml", "--devic", "cpu"], "Did you mean '--device'? See 'temper run --help'."),
        (["run", "x.yml", "--device", "cup"], "Invalid value for '--device': there is no 'cup'. Did you mean 'cpu'?"),
        (["run", "x.yml", "--again", "techer"], "'--again': there is no 'techer'. Did you mean 'teacher'?"),
        (["run", "x.yml", "--again", "all"], "there is no 'all'. Known here: benchmark, data, "),
        (
            ["export", "onnx", "x.yml", "--model", "studnet"],
            "'--model': there is no 'studnet'. Did you mean 'student'?",
        ),
        (["distill", "evaluate", "x", "--split", "vla"], "'--split': there is no 'vla'. Did you mean 'val'?"),
        (["--verson"], "Did you mean '--version'?"),
        (["run"], "Missing argument 'RECIPE'. See 'temper run --help'."),
        (["run", "a", "b"], "Got unexpected extra argument (b). See 'temper run --help'."),
        (["run", "x.yml", "--set"], "requires an argument"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_nearest(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.out == ""
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "sentence", "code"),
    [
        (TemperError("It broke. Mend it."), "Error: It broke. Mend it.", 1),
        (UsageError("No such field."), "Error: No such field.", 2),
        (MissingDependencyError("Install it."), "Error: Install it.", 1),
        (OSError(errno.ENOSPC, "x", "/disk/file"), "Error: No space left on the disk for /disk/file. Free some", 1),
        (OSError(errno.ENOSPC, "x"), "Error: No space left on the disk. Free some", 1),
        (OSError(errno.EDQUOT, "x", "/f"), "Error: No space left on the disk for /f.", 1),
        (PermissionError(errno.EACCES, "x", "/f"), "Error: No permission for /f. Choose a place", 1),
        (OSError(errno.EROFS, "x", "/f"), "Error: No permission for /f.", 1),
        (OSError(errno.EMFILE, "x", "/f"), "Error: Too many files are open. Raise the limit", 1),
        (IsADirectoryError(errno.EISDIR, "x", "/f"), "Error: /f cannot be used: Is a directory.", 1),
        (MemoryError(), "Error: This machine has too little memory for that. Try a smaller batch_size", 1),
        (ModuleNotFoundError("x", name="onnx.helper"), "Error: The Python package 'onnx' is needed for this", 1),
        (ModuleNotFoundError("x", name="temper.gone"), "Error: This is a bug in Temper, not in what you did", 1),
        (ValueError("odd\n  number"), "(ValueError: odd number). Please report it", 1),
        (AssertionError(), "not in what you did (AssertionError). Please report it", 1),
    ],
)
def test_every_error_is_a_sentence_with_an_exit_code(error: Exception, sentence: str, code: int) -> None:
    told, number = explain(error)
    assert sentence in told
    assert "\n" not in told
    assert number == code


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> type[Exception]:
    """`temper status` breaks with a ValueError."""
    monkeypatch.setattr("temper.flow.status.find_run", _break)
    return ValueError


def _break(*_: object) -> None:
    raise ValueError("inside")


@pytest.mark.usefixtures("breaking")
def test_a_traceback_is_shown_only_when_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["status", "x"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert main(["status", "x", "--debug"]) == 1
    told = capsys.readouterr().err
    assert "Traceback" in told and told.splitlines()[-1].startswith("Error: This is a bug in Temper")
    monkeypatch.setenv(cli.DEBUG_VARIABLE, "1")
    main(["status", "x"])
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv(cli.DEBUG_VARIABLE, "0")
    main(["status", "x"])
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_command_says_so(
    number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("temper.flow.status.find_run", lambda *_: os.kill(os.getpid(), number))
    assert main(["status", "x"]) == code
    # it keeps nothing that it could go on from
    assert capsys.readouterr().err.strip() == "Interrupted."
    monkeypatch.setattr("temper.commands.run_recipe.run_to", lambda *_, **__: os.kill(os.getpid(), number))
    assert main(["run", "x.yml"]) == code
    told = capsys.readouterr().err
    assert told.strip() == "Interrupted. What is finished is kept; the same command goes on from there."
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_interruption_in_the_first_moments_leaves_no_traceback(tmp_path: Path) -> None:
    """While Click and the commands are imported, before anything of Temper's listens."""
    slow = tmp_path / "click.py"
    slow.write_text("import sys, time\nprint('here', flush=True)\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "temper", "--version"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (-signal.SIGINT, "")


def test_an_interruption_that_came_out_as_another_error_is_still_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def as_a_library_would(*_: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt as error:
            raise RuntimeError("callback failed") from error

    monkeypatch.setattr("temper.flow.status.find_run", as_a_library_would)
    assert main(["status", "x"]) == 143
    assert "bug" not in capsys.readouterr().err


def test_a_reader_who_leaves_is_no_error(tmp_path: Path) -> None:
    """Exit code 141, as of any program in a pipe, and not a word."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(temper_command("run", "--help"), cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_terminal_without_the_letters_gets_question_marks(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(temper_command("status", "ß→"), cwd=tmp_path, capture_output=True, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith(b"Error: There is no run \xdf?.")


def test_help_is_quick(tmp_path: Path) -> None:
    """Not the 0.2 s of a quiet machine: a bound that only something loaded by mistake would break."""
    best = 10.0
    for _ in range(3):
        began = time.monotonic()
        subprocess.run(temper_command("--help"), cwd=tmp_path, stdout=subprocess.DEVNULL, check=True)
        best = min(best, time.monotonic() - began)
    assert best < 2
