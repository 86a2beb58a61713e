from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from temper.cli import main
from temper.detection.dataset import load_split, save_split
from tiny_bundle import LABELS, make_tiny_bundle
from toy_data import toy_data

QUICK = ["--seconds", "0.1", "--samples", "10", "--time-box", "1", "--threads", "1"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data`` (6 pictures in val) and ``small.temper``."""
    folder = tmp_path_factory.mktemp("bench")
    save_split(replace(toy_data(folder / "data" / "images", 6), labels=LABELS), folder / "data", "val")
    make_tiny_bundle(folder, name="small")
    return folder


def bench(*words: object) -> int:
    return main(["bench", *(str(word) for word in words)])


def test_measured_then_reported(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = place / "out"
    assert bench("run", place / "small.temper", "--data", place / "data", "--out", out, "--limit", 4, *QUICK) == 0
    told = capsys.readouterr().out
    assert "small" in told
    assert "(measured)" in told
    assert f"temper bench report {out}" in told
    rows = [json.loads(line) for line in (out / "measurements.jsonl").read_text().splitlines()]
    assert rows[0]["images"] == 4
    assert bench("report", out, "--name", "my steel") == 0
    assert "report.html" in capsys.readouterr().out
    assert "<h1>my steel</h1>" in (out / "report.html").read_text()


def test_json_for_machines(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = place / "out-json"
    assert bench("run", place / "small.temper", "--data", place / "data", "--out", out, "--json", *QUICK) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1] == {"event": "written", "path": str(out / "measurements.jsonl")}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "none.temper", "--data", "data"], 1, "There is no bundle"),
        (["run", "small.temper", "--data", "none"], 1, "There is no data set folder"),
        (["run", "small.temper", "--data", "data", "--split", "test"], 1, "has no split 'test'"),
        (["run", "small.temper", "--data", "data", "--precision", "int8"], 2, "no variant 'int8'"),
        (["run", "small.temper", "--data", "data", "--runtime", "onnx"], 2, "There is no runtime 'onnx'"),
        (["run", "small.temper", "--data", "empty"], 1, "has no pictures"),
        (["run", "small.temper", "--data", "others"], 1, "differ: only the bundle has bright, dark, rough"),
        (["report", "none"], 1, "There are no measurements"),
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
    data = load_split(place / "data", "val")
    save_split(data.subset([]), place / "empty", "val")
    save_split(replace(data, labels=("one", "two", "three")), place / "others", "val")
    extra = ["--out", "fresh"] if words[0] == "run" else []
    assert bench(*words, *extra) == code
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
    assert not (place / "fresh" / "measurements.jsonl").exists()


def test_help_needs_nothing_heavy() -> None:
    import subprocess
    import sys

    program = (
        "import sys\n"
        "from temper.cli import main\n"
        "try:\n    main(['bench', 'run', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('numpy', 'cv2', 'onnxruntime', 'pydantic', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
