from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from temper.cli import main
from temper.detection.dataset import save_split
from tiny_bundle import LABELS, make_tiny_bundle
from toy_data import toy_data

#: A level at which a few starts are enough.
QUICK = ("--starts", "6", "--level", "5", "--seconds", "0.3", "--threads", "1")


def bench(*words: object) -> int:
    return main(["bench", *(str(word) for word in words)])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    save_split(replace(toy_data(folder / "data" / "images", 24), labels=LABELS), folder / "data", "val")
    make_tiny_bundle(folder, name="small", golden=True)
    make_tiny_bundle(folder, size=(96, 96), name="big")
    # the next version of a bundle has its name
    make_tiny_bundle(folder / "next", size=(96, 96), name="small")
    return folder


def test_two_versions_are_compared_shown_and_written(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    a, b = place / "small.temper", place / "next" / "small.temper:fp32@onnxruntime"
    assert bench("compare", a, b, "--data", place / "data", "--out", out, "--only", "accuracy") == 0
    told = capsys.readouterr().out
    assert "mAP [points]" in told
    assert "99.9 % interval" in told
    (found,) = re.findall(r"They disagree on (\d+) of 24 pictures", told)
    assert int(found) > 0
    kept = json.loads((out / "comparison.json").read_text())
    assert len(kept["disagreements"]) == int(found)
    page = (out / "comparison.html").read_text()
    # of every picture the truth and both sides, in a page that loads nothing
    assert page.count('<img src="data:image/jpeg;base64,') == 3 * int(found)
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    for one in kept["disagreements"]:
        assert one["file"] in page


def test_latency_alone_runs_on_golden_pictures(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("compare", place / "small.temper", place / "small.temper", *QUICK, "--json")
    assert bench(*words, "--fail-if", "latency_ratio>100") == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["event"], last["data"], set(last["effects"])) == ("compared", None, {"latency"})
    assert len(last["starts"]) == 6
    assert (
        last["values"]["latency_ratio_low"] <= last["values"]["latency_ratio"] <= last["values"]["latency_ratio_high"]
    )
    assert last["samples"] >= 2 * 6 * 4 * 3


def test_a_condition_that_holds_is_exit_code_one_with_the_reason(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("compare", place / "small.temper", place / "big.temper", "--data", place / "data", "--only", "accuracy")
    assert bench(*words, "--fail-if", "map_drop<=100", "--fail-if", "escape_rise>100") == 1
    told = capsys.readouterr()
    assert "mAP [points]" in told.out, "the figures are there, too"
    assert re.search(r"B fails against A: map_drop is \S+ points, and map_drop<=100 was to fail\.", told.err)
    assert "escape_rise" not in told.err
    assert bench(*words, "--fail-if", "ap_large_drop>0") == 1
    assert "ap_large_drop>0 cannot be judged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["small.temper", "none.temper", "--data", "data"], 2, "There is no bundle none.temper"),
        (["small.temper", "small.temper:int8", "--data", "data"], 2, "no variant 'int8'; it has fp32"),
        (
            ["small.temper", "small.temper@openvin", "--data", "data"],
            2,
            "no runtime 'openvin'. Did you mean 'openvino'",
        ),
        (["small.temper", "small.temper", "--fail-if", "map_dorp>1"], 2, "Did you mean 'map_drop'"),
        (["small.temper", "small.temper", "--fail-if", "map_drop>1"], 2, "not compared; give --data"),
        (["small.temper", "small.temper", "--fail-if", "import os"], 2, "'import os' is no condition"),
        (["small.temper", "small.temper", "--only", "accuracy"], 2, "Accuracy needs pictures with their truth"),
        (["big.temper", "big.temper"], 2, "big.temper has no golden pictures to time, and no data was given"),
        (["small.temper", "small.temper", "--starts", "5"], 2, "5 starts are too few for a level of 0.1 %"),
        (["small.temper", "small.temper", "--smallest", "mpa=1"], 2, "there is no 'mpa'. Did you mean 'map'"),
        (["small.temper", "small.temper", "--smallest", "map=0"], 2, "map=0 is not above 0 and below 100"),
        (["small.temper", "small.temper", "--data", "empty"], 1, "has no pictures to compare on"),
        (
            ["small.temper", "small.temper", "--data", "others"],
            1,
            "has one, two, three, and the bundle small knows dark, bright, rough",
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
    from temper.detection.dataset import load_split

    monkeypatch.chdir(place)
    data = load_split(place / "data", "val")
    save_split(data.subset([]), place / "empty", "val")
    save_split(replace(data, labels=("one", "two", "three")), place / "others", "val")
    assert bench("compare", *words) == code
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def test_a_picture_that_cannot_be_read_is_named(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_split(replace(toy_data(tmp_path / "images", 4), labels=LABELS), tmp_path, "val")
    (tmp_path / "images" / "0002.png").write_bytes(b"no picture")
    words = ("compare", place / "small.temper", place / "small.temper", "--data", tmp_path, "--only", "accuracy")
    assert bench(*words) == 0
    told = capsys.readouterr()
    assert "1 picture of 4 could not be used" in told.out + told.err
    assert "0002.png" in told.out + told.err
    assert "of 3 pictures" in told.out
