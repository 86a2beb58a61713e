"""``temper deploy`` for a line: what is wrong is said before anything is opened, and a service is seen from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from steel_pictures import steel
from temper.cli import main
from tiny_bundle import make_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_line(**changed: object) -> None:
    config = {
        "line": "hot-1",
        "cameras": [{"name": "drop", "type": "folder", "path": "incoming", "settle_seconds": 0.1}],
        "metrics": None,
        **changed,
    }
    Path("line.yml").write_text(json.dumps(config))


def until(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_init_writes_a_file_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", "init", "--camera", "folder"]) == 0
    assert "temper deploy run BUNDLE --config line.yml" in capsys.readouterr().out
    assert main(["deploy", "init"]) == 2
    assert "line.yml is there already. Name another file, or replace it with --force." in capsys.readouterr().err
    assert main(["deploy", "init", "--force"]) == 0


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([], 2, "Name a BUNDLE, and what to inspect: --source FOLDER|PICTURE|VIDEO, or --config line.yml."),
        (["B", "--config", "line.yml", "--source", "x"], 2, "--source does not go with --config: line.yml says it."),
        (["B", "--config", "line.yml", "--json"], 2, "--json does not go with --config"),
        (["B", "--source", "x", "--set", "a=b"], 2, "--set and --hold belong to --config."),
        (["--config", "line.yml"], 2, "line.yml names no bundle. Add 'bundle: NAME.temper'"),
        (["none.temper", "--config", "line.yml"], 2, "There is no bundle none.temper."),
        (
            ["B", "--config", "other.yml"],
            2,
            "There is no line configuration other.yml. 'temper deploy init' writes one",
        ),
        (["B", "--config", "line.yml", "--set", "line=a b"], 2, "--set line=a b: line is 'a b'; it takes letters"),
        (
            ["B", "--config", "line.yml", "--set", "judging.severity={brigt: major}"],
            2,
            "judging.severity names a class 'brigt' that the bundle does not have. Did you mean 'bright'?",
        ),
        (
            ["B", "--config", "line.yml", "--set", "judging.ignore=[{camera: tip, points: [[0, 0], [1, 1]]}]"],
            2,
            "judging.ignore names a camera 'tip' that the line does not have.",
        ),
    ],
)
def test_a_mistake_is_one_sentence(
    bundle: Path, words: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_line()
    assert main(["deploy", "run", *(str(bundle) if word == "B" else word for word in words)]) == code
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told
    assert not Path("results").exists()


def test_no_service_has_worked_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", "status", "results"]) == 2
    assert "No service has worked in results. Name the results.folder of a line." in capsys.readouterr().err


@pytest.mark.slow
def test_a_line_works_until_it_is_stopped(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The service by its command: verdicts, status, a second one refused, a mistake waited out, a good end."""
    write_line(bundle=str(bundle), overlod={})
    Path("incoming").mkdir()
    command = [sys.executable, "-m", "temper", "deploy", "run", "--config", "line.yml", "--hold"]
    with Path("log").open("w") as log:
        process = subprocess.Popen(command, stderr=log, start_new_session=True)
    try:
        until(lambda: "nothing is inspected: line.yml" in Path("log").read_text())
        assert "there is no field 'overlod'. Did you mean 'overload'?" in Path("log").read_text()
        write_line(bundle=str(bundle))
        cv2.imwrite("incoming/one.png", steel(True))
        until(lambda: Path("results/service/state.json").is_file() and main(["deploy", "status"]) == 0)
        until(lambda: main(["deploy", "status"]) == 0 and "frames defect 1" in capsys.readouterr().out)
        assert main(["deploy", "run", "--config", "line.yml"]) == 1
        assert "Another service of Temper works in results." in capsys.readouterr().err
        os.killpg(process.pid, signal.SIGHUP)  # the terminal is closed: all of them hear of it
        assert process.wait(30) == 0, Path("log").read_text()
    finally:
        process.kill()
        process.wait()
    assert main(["deploy", "status", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["running"] is False
    assert told["parts"]["inspection"]["state"] == "stopped"
    assert not any(pid and Path(f"/proc/{pid}").exists() for pid in (told["parts"]["inspection"]["pid"],))
    assert os.listdir("results/pictures/run-1")


@pytest.mark.slow
def test_a_bundle_that_comes_later_ends_the_safe_state(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The service stays and says what is wrong, to 'temper deploy status' too; no part of it runs."""
    write_line(bundle="late.temper")
    Path("incoming").mkdir()
    command = [sys.executable, "-m", "temper", "deploy", "run", "--config", "line.yml", "--hold"]
    with Path("log").open("w") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        until(lambda: Path("results/service/state.json").is_file())
        assert main(["deploy", "status"]) == 1
        told = capsys.readouterr()
        assert "held: nothing is inspected: There is no bundle late.temper." in told.out
        assert "The service is held: nothing is inspected: There is no bundle late.temper." in told.err
        shutil.copytree(bundle, "partial")
        Path("partial").replace("late.temper")
        until(lambda: main(["deploy", "status"]) == 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, Path("log").read_text()
    finally:
        process.kill()
        process.wait()
