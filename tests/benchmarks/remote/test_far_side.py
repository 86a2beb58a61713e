"""The program that is sent to the other machine, run here."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.benchmarks.remote import connection, far_folder, far_side, steps, supervisor

Told = pytest.CaptureFixture[bytes]


def ask(told: pytest.CaptureFixture[Any], folder: Path, do: str, stdin: bytes = b"", **request: Any) -> dict[str, Any]:
    """Ask something; gives all answers together."""
    told.readouterr()
    far_side.answer({"do": do, "folder": str(folder), "job": "j", **request}, io.BytesIO(stdin))
    lines = told.readouterr().out.splitlines()
    together: dict[str, Any] = {}
    for line in lines:
        if line.startswith("@temper "):
            together.update(json.loads(line.removeprefix("@temper ")))
    return together


def entry(path: str, content: bytes) -> list[Any]:
    return [path, hashlib.sha256(content).hexdigest(), len(content)]


def test_what_is_sent_needs_the_standard_library_alone(tmp_path: Path) -> None:
    assert connection.MARK == far_folder.MARK
    request = json.dumps({"do": "probe", "folder": str(tmp_path / "far"), "job": "j"}).encode() + b"\n"
    words = [sys.executable, "-I", "-S", "-c", connection.BOOTSTRAP]
    assert "\n" not in connection.BOOTSTRAP
    sent = connection.far_program() + request
    done = subprocess.run(words, input=sent, capture_output=True, check=True, timeout=60)
    facts, last = (json.loads(line.removeprefix(connection.MARK)) for line in done.stdout.splitlines())
    assert facts["job"] == {"state": "none"} and facts["free"] > 0 and last == {"done": True}
    assert not (tmp_path / "far").exists(), "a look leaves nothing"
    subprocess.run([sys.executable, "-I", "-S", "-m", "py_compile", str(supervisor.__file__)], check=True, timeout=60)


def test_only_what_is_missing_is_asked_for(capsys: Told, tmp_path: Path) -> None:
    far = tmp_path / "far"
    files = [entry("data/x/a.png", b"one"), entry("bundles/y/b.onnx", b"two"), entry("data/z/same.png", b"one")]
    assert ask(capsys, far, "compare", files=files, environment="e")["missing"] == [0, 1, 2]
    assert ask(capsys, far, "receive", b"onetwo", files=files, missing=[0, 1])["done"]
    assert (far / "data/x/a.png").read_bytes() == b"one" == (far / "data/z/same.png").read_bytes()
    assert ask(capsys, far, "compare", files=files, environment="e")["missing"] == []
    # what was damaged over there is sent again
    far_folder.stored_file(far, files[1][1]).write_bytes(b"tw0")
    assert ask(capsys, far, "compare", files=files, environment="e")["missing"] == [1]


def test_what_is_cut_off_or_changed_does_not_arrive(capsys: Told, tmp_path: Path) -> None:
    files = [entry("data/a", b"whole"), entry("data/b", b"other")]
    for content in (b"who", b"wrong"):
        told = ask(capsys, tmp_path / "far", "receive", content, files=files, missing=[0])
        assert told["trouble"] == "damaged_on_the_way"
    assert not list((tmp_path / "far" / "files").rglob("*.partial"))
    told = ask(capsys, tmp_path / "far", "receive", b"wholeoth", files=files, missing=[0, 1])
    assert told["trouble"] == "damaged_on_the_way"
    assert ask(capsys, tmp_path / "far", "compare", files=files, environment="e")["missing"] == [1], "the first is kept"


@given(st.text(max_size=30) | st.from_regex(r"(\.\./|/|a/|\./){0,4}b", fullmatch=True))
def test_no_path_leads_out_of_the_folder(path: str) -> None:
    try:
        found = far_folder.inside(Path("/far"), path)
    except far_folder.Refusal:
        return
    assert Path("/far") in found.parents and ".." not in found.parts


def test_only_our_folder_is_used_and_cleaned(capsys: Told, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").touch()
    for do in ("clean", "receive"):
        told = ask(capsys, tmp_path / "home", do, files=[], missing=[])
        assert told["trouble"] == "foreign_folder"
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letter"]
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    ask(capsys, tmp_path / "far", "receive", b"x", files=[entry("data/a", b"x")], missing=[0])
    (tmp_path / "far" / "jobs").symlink_to(outside)
    assert ask(capsys, tmp_path / "far", "clean")["done"]
    assert not (tmp_path / "far").exists() and (outside / "kept").exists()


def test_one_at_a_time(capsys: Told, tmp_path: Path) -> None:
    folder = far_folder.own_folder(tmp_path)
    assert far_folder.holder(folder) is None
    handle = far_folder.take_lock(folder, "other")
    assert far_side.job_state(folder, "j") == {"state": "busy", "pid": None, "holder": "other"}
    assert far_side.job_state(folder, "other")["state"] == "running"
    told = ask(capsys, folder, "environment", key="k", wheel="w")
    assert (told["trouble"], told["job"]) == ("busy", "other")
    os.close(handle)
    assert far_side.job_state(folder, "j") == {"state": "none"}


@pytest.mark.parametrize(("code", "state"), [("pass", "finished"), ("raise SystemExit(3)", "failed")])
def test_a_supervisor_writes_down_how_it_ended(tmp_path: Path, code: str, state: str) -> None:
    folder = far_folder.own_folder(tmp_path)
    job = folder / "jobs" / "j"
    job.mkdir(parents=True)
    far_folder.write_json(job / "job.json", {"words": [sys.executable, "-c", f"print('said', flush=True); {code}"]})
    assert far_side.job_state(folder, "j") == {"state": "died"}
    with (folder / "lock").open("ab") as lock:
        words = [sys.executable, "-I", str(supervisor.__file__), str(job), str(lock.fileno())]
        subprocess.run(words, check=True, timeout=60, pass_fds=(lock.fileno(),))
    assert far_side.job_state(folder, "j") == {"state": state}
    assert (job / "events.jsonl").read_text() == "said\n"


def test_what_the_far_benchmark_says_is_passed_on_and_nothing_else() -> None:
    heard: list[Any] = []
    voice = steps.Voice(steps.Host("line-3", "10.0.3.7"), heard.append)
    for line in (
        '{"event": "step", "stage": "benchmark", "done": 1, "total": 2, "unit": "turns", "else": 1}',
        '{"event": "step", "stage": "benchmark", "done": "1", "total": 2}',
        '{"event": "warning", "stage": "benchmark", "message": "hot\\u001b[2J"}',
        '{"event": "failed", "stage": "benchmark", "message": "no memory"}',
        '{"event": "stage_done", "stage": "benchmark"}',
        "[1]",
        "no json",
        "[" * 100_000,
    ):
        voice.pass_on(line)
    assert [(event.kind, event.stage, event.data) for event in heard] == [
        ("step", "benchmark", {"host": "line-3", "done": 1, "total": 2, "unit": "turns"}),
        ("warning", "benchmark", {"host": "line-3", "message": "hot [2J"}),
    ]
    assert voice.failed == "no memory"
