from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from temper.cli import main
from temper.detection.dataset import load_split, save_split
from tiny_bundle import LABELS, make_tiny_bundle
from toy_data import toy_data


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data`` (8 pictures in val, 4 in test) and ``small.temper``."""
    folder = tmp_path_factory.mktemp("thresholds")
    data = replace(toy_data(folder / "data" / "images", 12), labels=LABELS)
    save_split(data.subset(range(8)), folder / "data", "val")
    save_split(data.subset(range(8, 12)), folder / "data", "test")
    save_split(data.subset(range(8)), folder / "half", "val")
    (folder / "half" / "images").symlink_to(folder / "data" / "images")
    make_tiny_bundle(folder, name="small")
    return folder


def thresholds(*words: object) -> int:
    return main(["bench", "thresholds", *(str(word) for word in words)])


def test_a_bundle_is_written_and_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = place / "strict.temper"
    words = (place / "small.temper", "--data", place / "data", "--escape-rate", "90%", "--found-iou", 0.1)
    assert thresholds(*words, "--closest", "--out", out) == 0
    told = capsys.readouterr().out
    assert "chosen on 8 pictures of data/val, judged on 4 of data/test" in told
    assert "On the pictures that had no say" in told
    assert f"Written: {out}" in told
    assert main(["bundle", "inspect", str(out)]) == 0
    assert "thresholds  for an escape rate of 90 %" in capsys.readouterr().out


def test_one_split_is_dealt_in_two_and_told_to_machines(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (place / "small.temper", "--data", place / "half", "--escape-rate", 0.5, "--judge-on", "val", "--closest")
    assert thresholds(*words, "--json") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (chosen,) = [event for event in events if event.get("event") == "chosen"]
    assert chosen["chosen_on"]["images"] + chosen["judged_on"]["images"] == 8
    assert set(chosen["thresholds"]) == set(LABELS)
    assert all(event.get("event") != "written" for event in events)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--escape-rate", "2"], 2, "'2' is not from 0% to below 100%; write 2% or 0.02"),
        (["--escape-rate", "few"], 2, "'few' is no share; write 2% or 0.02"),
        (["--escape-rate", "-1%"], 2, "is not from 0% to below 100%"),
        (["--escape-rate", "nan"], 2, "is not from 0% to below 100%"),
        (["--escape-rate", "2%", "--out", "new"], 2, "write to new.temper instead"),
        (["--escape-rate", "2%", "--data", "half"], 2, "Give --judge-on val to choose on one half"),
        (["--escape-rate", "2%", "--choose-on", "train"], 2, "has no split 'train'"),
        (["--escape-rate", "2%", "--precision", "int8"], 2, "no variant 'int8'"),
        (["--escape-rate", "2%", "--runtime", "onnx"], 2, "There is no runtime 'onnx'"),
        (
            ["--escape-rate", "0%", "--found-iou", "1", "--out", "none.temper"],
            1,
            "An escape rate of 0 % cannot be reached",
        ),
    ],
)
def test_mistakes_are_one_sentence(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(place)
    data = [] if "--data" in words else ["--data", "data"]
    assert thresholds("small.temper", *data, *words) == code
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
    assert not (place / "none.temper").exists()


def test_other_classes_are_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("val", "test"):
        data = load_split(place / "data", split)
        save_split(replace(data, labels=("one", "two", "three")), place / "others", split)
    assert thresholds(place / "small.temper", "--data", place / "others", "--escape-rate", "2%") == 1
    assert "has one, two, three, and the bundle small knows dark, bright, rough" in capsys.readouterr().err
