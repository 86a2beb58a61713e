from __future__ import annotations

import json
from pathlib import Path

import pytest
from temper.cli import main
from temper.flow.folder import RunFolder
from tiny_run import FinishedRun


@pytest.fixture
def run(finished_run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FinishedRun:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return finished_run.copy_to(tmp_path)


def rows(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """The cells of the table."""
    lines = capsys.readouterr().out.splitlines()
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]


def test_a_finished_run(run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "tiny"]) == 0
    table = rows(capsys)
    assert [row[0] for row in table] == [
        "Data",
        "Teacher",
        "Student alone",
        "MGD student",
        "Export teacher",
        "Export student",
        "Export MGD student",
        "Benchmark",
        "Report",
    ]
    assert {row[1] for row in table} == {"done"}
    assert all(row[2].endswith(" s") for row in table)
    assert [row[3] for row in table[1:4]] == ["2/2"] * 3
    assert all(float(row[4]) > 0 and float(row[5]) >= 0 for row in table[1:4])
    assert table[0][3:] == table[8][3:] == ["", "", ""]


def test_json(run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(run.path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["run"] == str(run.path)
    teacher = told["stages"][1]
    assert (teacher["stage"], teacher["state"], teacher["epoch"], teacher["epochs"]) == ("teacher", "done", 2, 2)
    assert set(teacher) == {"stage", "state", "seconds", "epoch", "epochs", "loss", "map", "why"}


def test_while_it_runs(run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder(run.path)
    with folder.locked():
        folder.tell("report")
        (run.path / "report" / "stage.json").unlink()
        assert main(["status", "tiny"]) == 0
    assert [row[1] for row in rows(capsys)] == ["done"] * 8 + ["running"]
    assert main(["status", "tiny"]) == 0
    assert [row[1] for row in rows(capsys)] == ["done"] * 8 + ["interrupted"]


def test_no_such_run(run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "tinny"]) == 2
    told = capsys.readouterr().err
    assert told == "Error: There is no run tinny. Did you mean 'tiny'? 'temper run RECIPE' starts one.\n"
    assert main(["status", "x", "--runs", "nowhere"]) == 2
    assert capsys.readouterr().err == "Error: There is no run x. 'temper run RECIPE' starts one.\n"
