"""What can go wrong around a run: one sentence each, an exit code, no traceback, and no work before it is noticed."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from temper.cli import main
from temper.core.files import remove_partial
from temper.flow.folder import RunFolder
from temper.flow.requirements import is_installed
from tiny_run import FinishedRun, run_temper, write_tiny_recipe


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own folder with the tiny recipe."""
    monkeypatch.chdir(tmp_path)
    write_tiny_recipe(tmp_path)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of standard error."""
    text = capsys.readouterr().err
    assert "Traceback" not in text
    assert text.count("\n") == 1, text
    return text


def mount(folder: Path, *options: str) -> None:
    """Mount a small disk in memory, or skip the test."""
    folder.mkdir(exist_ok=True)
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    done = subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(here: Path) -> Iterator[Path]:
    """A disk of 300 KiB."""
    mount(here / "disk", "-o", "size=300k")
    yield here / "disk"
    subprocess.run(["umount", "-l", str(here / "disk")], check=True)


@pytest.fixture
def read_only_disk(here: Path) -> Iterator[Path]:
    mount(here / "disk", "-o", "ro")
    yield here / "disk"
    subprocess.run(["umount", "-l", str(here / "disk")], check=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no recipe r.yml. 'temper init' writes one to start from."),
        (b"", "r.yml is not a recipe"),
        (bytes(range(256)), "r.yml is not a text in UTF-8"),
        (b"name: x\n\tdata: y\n", "r.yml, line 2, column 1: this is not YAML"),
        (b"name: x\nname: y\n", "r.yml, line 2: name is there twice (first in line 1)."),
        (b"\x89PNG\r\n\x1a\n", "r.yml is not a text in UTF-8"),
    ],
)
def test_a_recipe_that_is_none(content: bytes | None, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    if content is not None:
        Path("r.yml").write_bytes(content)
    assert main(["run", "r.yml"]) == 2
    assert message in told(capsys)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", "there is no field 'epoch' in 'training'. Did you mean 'epochs'?"),
        ("training.epochs=many", "training.epochs is 'many'; it takes a whole number from 1 to 10000."),
        ("teacher.depth=20", "teacher.depth is 20; it takes 18, 34, 50, 101 or 152."),
        ("training.epochs", "write it as field=value, for example --set training.epochs=3."),
    ],
)
def test_an_override_that_fits_nothing(override: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "tiny.yml", "--set", override]) == 2
    assert f"--set {override}: {message}" in told(capsys)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.synthetic=null", "data.path=none"], "data.path is 'none', and there is nothing at "),
        (["teacher.weights=none.pdparams"], "teacher.weights is 'none.pdparams', which cannot be read: No such file"),
        (["student.weights=tiny.yml"], "The weights tiny.yml are neither .safetensors nor .pdparams."),
    ],
)
def test_a_file_that_is_not_there(overrides: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for override in overrides for word in ("--set", override)]
    assert main(["run", "tiny.yml", *words]) == 2
    assert message in told(capsys)
    assert not Path("runs").exists()


def test_data_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data").mkdir()
    assert main(["run", "tiny.yml", "--set", "data.synthetic=null", "--set", "data.path=data"]) in (1, 2)
    assert "data" in told(capsys)
    assert main(["status", "tiny", "--json"]) == 0


class Malice:
    """What a pickle of it does when it is loaded by Python's own loader."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch harm",)


def test_weights_that_would_run_a_program_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    if not is_installed("paddle"):
        pytest.skip("training needs PaddlePaddle")
    Path("evil.pdparams").write_bytes(pickle.dumps({"conv.weight": Malice()}))
    assert main(["run", "tiny.yml", "--set", "student.weights=evil.pdparams"]) == 1
    sentence = told(capsys)
    assert "The weights evil.pdparams were not loaded: the file asks to run" in sentence
    assert "system" in sentence
    assert not Path("harm").exists()
    assert not Path("runs").exists()


def test_a_full_disk_is_one_sentence_and_more_room_goes_on(
    small_disk: Path, finished_run: FinishedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["distill", "student", "tiny.yml", "--runs", "disk/runs"]) == 1
    sentence = told(capsys)
    assert "No space left on the disk while writing disk/runs/tiny/data" in sentence
    assert "run the same command again" in sentence
    assert not list(small_disk.rglob("*.partial"))
    subprocess.run(["mount", "-o", "remount,size=1300k", str(small_disk)], check=True)
    assert main(["distill", "student", "tiny.yml", "--runs", "disk/runs"]) == 1
    assert "while writing disk/runs/tiny/student/checkpoints/step-" in told(capsys)
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert main(["distill", "student", "tiny.yml", "--runs", "disk/runs"]) == 0
    weights = "student/weights.safetensors"
    assert (small_disk / "runs/tiny" / weights).read_bytes() == (finished_run.path / weights).read_bytes()


def test_a_full_disk_under_the_tracer(
    small_disk: Path, finished_run: FinishedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """Paddle itself says nothing of a file it could not write whole."""
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    run = finished_run.copy_to(small_disk)
    (run.path / "export-teacher" / "stage.json").unlink()
    size = sum(path.stat().st_blocks for path in small_disk.rglob("*")) // 2
    subprocess.run(["mount", "-o", f"remount,size={size + 400}k", str(small_disk)], check=True)
    assert main(["export", "onnx", str(run.path), "--model", "teacher"]) == 1
    assert "No space left on the disk while writing" in told(capsys)
    remove_partial(small_disk)
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    assert main(["export", "onnx", str(run.path), "--model", "teacher"]) == 0


def test_a_read_only_disk(read_only_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "tiny.yml", "--runs", "disk/runs"]) == 1
    assert "No permission to write disk/runs/tiny. Choose a folder you may write to." in told(capsys)


def test_a_folder_that_may_not_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    Path("runs").mkdir(mode=0o500)
    assert main(["run", "tiny.yml"]) == 1
    assert "No permission to write runs/tiny. Choose a folder you may write to." in told(capsys)


def test_runs_that_is_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "tiny.yml", "--runs", "tiny.yml"]) == 2
    assert "'tiny.yml' is a file" in told(capsys)


def test_a_folder_that_is_no_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "runs" / "tiny").mkdir(parents=True)
    (here / "runs" / "tiny" / "photo.jpg").write_bytes(b"")
    assert main(["run", "tiny.yml"]) == 2
    assert "runs/tiny is there and does not belong to a run of Temper" in told(capsys)
    assert os.listdir("runs/tiny") == ["photo.jpg"]


@pytest.mark.parametrize("words", ["run tiny.yml", "distill teacher tiny.yml", "export onnx tiny.yml"])
def test_two_at_once_in_one_run(words: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second process is told of the first, whichever command it is."""
    if not is_installed("paddle"):
        pytest.skip("training needs PaddlePaddle")
    run = RunFolder(here / "runs" / "tiny")
    with run.locked():
        assert main(words.split()) == 1
    sentence = told(capsys)
    assert f"Another temper (process {os.getpid()}) is at work in runs/tiny. Wait for it or stop it" in sentence
    assert os.listdir(run.path) == [".lock"]


WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({names!r}))
from temper.cli import main
sys.exit(main({words!r}))
"""


def without(names: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    """`temper` where some packages cannot be imported."""
    code = WITHOUT.format(names=names, words=list(words))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def test_without_paddle_a_run_says_what_to_install() -> None:
    done = without(["paddle", "ppdet"], "run", "tiny.yml")
    assert done.returncode == 1
    assert "Error: This needs paddlepaddle, paddledet, which are not installed in " in done.stderr
    assert done.stderr.count("\n") == 1
    assert not Path("runs").exists()


def test_without_paddle_the_rest_works(finished_run: FinishedRun, here: Path) -> None:
    """On a device a finished run can still be looked at, measured and reported."""
    run = finished_run.copy_to(here)
    lost = ["paddle", "ppdet", "paddle2onnx", "onnx", "onnxslim"]
    assert without(lost, "status", "tiny").returncode == 0
    assert without(lost, "init", "mine.yml").returncode == 0
    done = without(lost, "run", str(run.path), "--again", "report")
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("report.html")
    done = without(lost, "distill", "evaluate", "tiny")
    assert done.returncode == 1
    assert "Error: This needs paddlepaddle, paddledet, which are not installed in " in done.stderr


def test_a_paddle_that_does_not_load_is_one_sentence(here: Path) -> None:
    (here / "broken" / "paddle").mkdir(parents=True)
    (here / "broken" / "paddle" / "__init__.py").write_text("raise ImportError('libgomp.so.1: cannot open')")
    done = run_temper("run", "tiny.yml", cwd=here, environment={"PYTHONPATH": str(here / "broken")})
    assert done.returncode == 1
    assert "which do not load here (libgomp.so.1: cannot open)." in done.stderr
    assert "Traceback" not in done.stderr
