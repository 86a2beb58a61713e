from __future__ import annotations

import json
from pathlib import Path

import pytest
from temper.cli import main
from temper.core.files import read_json
from tiny_run import FinishedRun


@pytest.fixture
def run(finished_run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FinishedRun:
    monkeypatch.chdir(tmp_path)
    return finished_run.copy_to(tmp_path)


def test_models_are_judged_as_they_were_at_the_end_of_their_training(
    run: FinishedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["distill", "evaluate", "tiny", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["teacher", "student", "distilled"]
    for model, figures in told.items():
        assert figures == read_json(run.path / model / "record.json")["accuracy"]


def test_figures_in_a_table(run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["distill", "evaluate", "tiny", "--model", "student", "--model", "student", "--split", "train"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "synthetic steel/train, 16 pictures; points from 0 to 100" in told
    assert told.count("Student alone") == 1
    assert "Teacher" not in told
    for row in ("mAP", "AP50", "AP small", "crazing", "scratches"):
        assert row in told


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--model", "distilled"], 1, "No distilled is trained in runs/tiny. Train it with 'temper run' or"),
        (["--split", "test"], 2, "has no split 'test'"),
    ],
)
def test_what_cannot_be_judged(
    run: FinishedRun, words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (run.path / "distilled" / "stage.json").unlink()
    assert main(["distill", "evaluate", "tiny", *words]) == code
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_a_model_of_another_recipe_is_not_judged_as_one_of_this(
    run: FinishedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = read_json(run.path / "recipe.json")
    recipe["student"]["pixels"] = "unit"
    (run.path / "recipe.json").write_text(json.dumps(recipe))
    assert main(["distill", "evaluate", "tiny"]) == 1
    told = capsys.readouterr().err
    assert "The student and the distilled in runs/tiny were trained by another recipe or on other data than" in told
    assert "'temper run runs/tiny', or judge the others with --model teacher." in told
    assert main(["distill", "evaluate", "tiny", "--model", "teacher"]) == 0


def test_the_same_stages_as_in_a_run(run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    for command, model in (("teacher", "teacher"), ("student", "student"), ("mgd", "distilled")):
        assert main(["distill", command, "tiny.yml", "--json"]) == 0
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert "stage_started" not in {event["event"] for event in events}
        assert events[-1]["weights"] == str((run.path / model / "weights.safetensors").absolute())
        assert events[-1]["accuracy"] == read_json(run.path / model / "record.json")["accuracy"]


def test_the_device_may_be_given(run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    import paddle

    if paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count():
        pytest.skip("this machine has a GPU")
    assert main(["distill", "teacher", "tiny.yml", "--device", "cpu"]) == 0
    assert main(["distill", "teacher", "tiny.yml", "--device", "gpu"]) == 1
    assert "The recipe asks for a GPU, but this Paddle is a build for CPUs" in capsys.readouterr().err
    recipe = run.path / "recipe.json"
    recipe.write_text(json.dumps({**read_json(recipe), "device": "gpu"}))
    assert main(["distill", "evaluate", "tiny"]) == 1
    assert "The recipe asks for a GPU, but this Paddle is a build for CPUs" in capsys.readouterr().err
