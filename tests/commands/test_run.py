"""A whole recipe on real parts: what it leaves, what a second run does, how it shows its progress."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from temper.cli import main
from temper.core.files import read_json
from temper.distill.recipe_file import recipe_from_plain
from temper.distill.training.log import read_metrics
from temper.flow.keys import STAGES
from tiny_run import MODELS, FinishedRun, run_temper, temper_command, weights_of


def kinds(events: list[dict[str, Any]], kind: str) -> list[str]:
    """The stages that an event tells of, in order."""
    return [event["stage"] for event in events if event["event"] == kind]


def contents(run: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file of a run."""
    files = (path for path in run.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(run)): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def run(finished_run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FinishedRun:
    """A finished run of one's own, in the current folder."""
    monkeypatch.chdir(tmp_path)
    return finished_run.copy_to(tmp_path)


def test_everything_a_run_makes_is_there(finished_run: FinishedRun) -> None:
    path = finished_run.path
    assert {entry.name for entry in path.iterdir()} == {*STAGES, "recipe.json", ".lock", "visualdl"}
    for model in MODELS:
        record = read_json(path / model / "record.json")
        assert record["epochs"] == 2 and record["steps"] == 8
        assert not (path / model / "checkpoints").exists()
        steps = [entry for entry in read_metrics(path / model / "metrics.jsonl") if entry["kind"] == "step"]
        assert [entry["epoch"] for entry in steps] == [1] * 4 + [2] * 4
        bundle = path / f"export-{model}" / f"tiny-{model}.temper"
        assert (bundle / "graphs" / "fp32.onnx").is_file()
        assert read_json(bundle / "manifest.json")["made_by"]["weights_sha256"] == record["weights_sha256"]
    assert "<h1>tiny</h1>" in (path / "report" / "report.html").read_text()
    assert recipe_from_plain(read_json(path / "recipe.json"), "recipe.json").name == "tiny"
    assert not list(path.rglob("*.partial"))


def test_json_tells_of_every_stage(finished_run: FinishedRun) -> None:
    events = finished_run.events
    assert events[0] == {"event": "run_started", "run": "runs/tiny"}
    report = str(finished_run.path / "report" / "report.html")
    assert events[-1] == {"event": "run_done", "run": "runs/tiny", "report": report}
    assert kinds(events, "stage_started") == kinds(events, "stage_done") == list(STAGES)
    steps = [event for event in events if event["event"] == "step" and event["stage"] == "distilled"]
    assert [event["done"] for event in steps] == list(range(1, 9))
    assert all(event["loss"] > 0 and event["seconds_left"] >= 0 for event in steps)
    assert kinds(events, "evaluated") == [model for model in MODELS for _ in range(2)]


def test_again_nothing_is_done_and_the_report_is_named(run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(run.path)
    assert main(["run", "tiny.yml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Run 'tiny' in runs/tiny"
    assert lines[1:10] == [line for line in lines if line.endswith("already done")]
    assert "MGD student" in " ".join(lines[10:-1])
    assert lines[-1] == str(run.path.absolute() / "report" / "report.html")
    assert contents(run.path) == before


@pytest.mark.parametrize("place", ["runs/tiny", "."])
def test_a_runs_folder_stands_for_its_recipe(
    run: FinishedRun, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if place == ".":
        monkeypatch.chdir(run.path)
    assert main(["run", place, "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert kinds(events, "stage_skipped") == list(STAGES)
    assert not (run.path / "runs").exists()


def test_a_renamed_folder_is_not_taken_for_another_run(run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    run.path.rename("runs/old")
    assert main(["run", "runs/old"]) == 2
    assert "The folder runs/old holds the run 'tiny'. Give it that name again, or" in capsys.readouterr().err
    assert os.listdir("runs") == ["old"]


def test_a_changed_benchmark_leaves_models_and_bundles_alone(
    run: FinishedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(run.path)
    assert main(["run", "tiny.yml", "--json", "--set", "benchmark.min_samples=12"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert kinds(events, "stage_started") == ["benchmark", "report"]
    after = contents(run.path)
    changed = {name.split("/")[0] for name in before | after if before.get(name) != after.get(name)}
    assert changed == {"benchmark", "report", "recipe.json"}


def test_a_changed_distillation_leaves_teacher_and_student_alone(
    run: FinishedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    before, weights = contents(run.path), weights_of(run.path)
    words = ["distill", "mgd", "tiny.yml", "--json", "--set", "distillation.inherit=false"]
    assert main(words) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert kinds(events, "stage_started") == ["distilled"]
    assert kinds(events, "stage_skipped") == ["data", "teacher"]
    changed = {name for name, state in contents(run.path).items() if before.get(name) != state}
    logs = {name for name in changed if name.startswith("visualdl/")}
    assert all(name.startswith("visualdl/distilled/") for name in logs)
    assert {name.split("/")[0] for name in changed - logs} == {"before", "distilled", "recipe.json"}
    assert os.listdir(run.path / "before") == ["distilled"], "what was taught otherwise is set aside"
    assert weights_of(run.path)["distilled"] != weights["distilled"]


def test_a_run_on_the_same_recipe_elsewhere_makes_the_same_weights(
    run: FinishedRun, finished_run: FinishedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the folder nor the number of loaders counts."""
    assert main(["distill", "student", "tiny.yml", "--runs", "others", "--set", "training.workers=0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"mAP \d+\.\d", lines[-2])
    assert Path(lines[-1]) == Path("others/tiny/student/weights.safetensors").absolute()
    assert Path(lines[-1]).read_bytes() == weights_of(finished_run.path)["student"]


def test_a_terminal_gets_a_live_display(run: FinishedRun, tmp_path: Path) -> None:
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        temper_command("run", "tiny.yml", "--again", "report"),
        cwd=tmp_path,
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(secondary)
    shown = b""
    while True:
        try:
            block = os.read(primary, 65536)
        except OSError:  # the other end has been closed
            break
        if not block:
            break
        shown += block
    os.close(primary)
    assert process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "9/9 Report" in text and "━━━━" in text
    assert "100%" in text and "done in" in text
    assert b"\x1b[?25h" in shown


def test_it_needs_no_terminal_at_all(run: FinishedRun, tmp_path: Path) -> None:
    done = run_temper("run", "tiny.yml", cwd=tmp_path, environment={"TERM": "dumb", "LANG": "C", "LC_ALL": "C"})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout


def test_help_and_a_mistake_load_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text("name: x\n")
    code = """
import sys
from temper.cli import main
main(["run", "--help"])
heavy = {"numpy", "cv2", "onnxruntime", "pydantic", "yaml", "rich", "paddle", "matplotlib"}
print(sorted(heavy & set(sys.modules)))
main(["run", "bad.yml"])
print(sorted({"sqlalchemy", "onnxruntime", "paddle", "matplotlib"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if line.startswith("[")] == ["[]", "[]"]
