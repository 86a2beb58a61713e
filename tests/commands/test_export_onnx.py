from __future__ import annotations

import json
from pathlib import Path

import pytest
from temper.bundle.loader import open_bundle
from temper.cli import main
from tiny_run import FinishedRun


@pytest.fixture
def run(finished_run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FinishedRun:
    monkeypatch.chdir(tmp_path)
    return finished_run.copy_to(tmp_path)


def test_bundles_that_are_there_are_named(run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", "onnx", "tiny.yml", "--model", "student", "--model", "teacher", "--model", "student"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [Path(line).name for line in lines[-2:]] == ["tiny-student.temper", "tiny-teacher.temper"]
    assert all(line.endswith("already done") for line in lines[1:-2])
    assert open_bundle(Path(lines[-1])).manifest.name == "tiny-teacher"


def test_another_precision_makes_a_new_bundle(run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", "onnx", "runs/tiny", "--model", "student", "--set", "export.precisions=[fp32, int8]", "--json"]
    assert main(words) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["stage"] for event in events if event["event"] == "stage_started"] == ["export-student"]
    (bundle,) = events[-1]["bundles"]
    assert [variant.name for variant in open_bundle(Path(bundle)).manifest.variants] == ["fp32", "int8"]
    assert not list(run.path.rglob("*.partial"))


def test_sizes_and_the_budget_on_the_command_line(run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", "onnx", "runs/tiny", "--model", "student", "--set", "export.precisions=[fp32]", "--json"]
    assert main([*words, "--input", "70x50, dynamic", "--max-map-drop", "0.25"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    manifest = open_bundle(Path(events[-1]["bundles"][0])).manifest
    assert [(variant.name, variant.any_size) for variant in manifest.variants] == [
        ("fp32", False),
        ("fp32-dynamic", True),
    ]
    assert (manifest.input.width, manifest.input.height) == (70, 50)
    assert manifest.made_by.recipe["export"]["max_map_drop"] == 0.25


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--input", "200"], "'200' is no size of a picture"),
        (["--input", "64x64,64x64"], "64x64 is there twice"),
        (["--max-map-drop", "-1"], "-1.0 is not in the range"),
    ],
)
def test_what_is_no_size_and_no_budget(
    run: FinishedRun, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert main(["export", "onnx", "runs/tiny", *words]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
