from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from temper.benchmarks.latency_rows import SCENARIOS
from temper.cli import main
from temper.commands.bench_measuring import SCENARIO_NAMES
from temper.detection.dataset import load_split, save_split
from tiny_bundle import LABELS, make_tiny_bundle
from toy_data import toy_data

QUICK = ["--seconds", "0.1", "--samples", "11", "--time-box", "1", "--threads", "1", "--driver", "temper"]


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


def test_every_scenario_in_every_format(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = place / "out-scenarios"
    words = [word for scenario in SCENARIO_NAMES for word in ("--scenario", scenario)]
    line = ["--frame-rate", "100", "--deadline-ms", "500", "--queue", "20", "--query-pictures", "2"]
    assert bench("run", place / "small.temper", "--data", place / "data", "--out", out, *QUICK, *words, *line) == 0
    told = capsys.readouterr().out.splitlines()
    assert [row.split()[3] for row in told if row.startswith("small")] == list(SCENARIO_NAMES)
    # a line of 100 pictures a second gives too few of them in a tenth of a second, however fast the machine is
    assert "INVALID" in next(row for row in told if row.startswith("small") and " line " in row)
    (reasons,) = [row for row in told if row.startswith("INVALID: ")]
    assert reasons.endswith("p99 needs 662 samples.")
    assert bench("report", out) == 0
    with (out / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["scenario"] for row in rows] == list(SCENARIO_NAMES)
    assert {row["driver"] for row in rows} == {"temper"}
    assert all(row["end_to_end_p999_ms"].startswith("INVALID: needs 6636 samples, ") for row in rows)
    assert {row["host_to_device_mean_ms"] for row in rows} == {""}, "no GPU: empty, not 0"
    assert all(float(row["compute_mean_ms"]) > 0 for row in rows)
    assert [row["deadline_ms"] for row in rows] == ["", "", "", "500.0"]
    content = json.loads((out / "results.json").read_text())
    on_line = content["results"][-1]
    assert on_line["punctuality"]["frames"] == int(rows[-1]["frames"])
    assert on_line["stages"]["end_to_end"]["p99_ms"] is None
    assert on_line["stages"]["end_to_end"]["invalid"]["p99_ms"].startswith("needs 662 samples")
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "On a line of 100 pictures a second" in page
    assert "INVALID: " in page
    assert "p99 needs 662 samples" in page
    for scenario in SCENARIO_NAMES:
        assert f"<td>{scenario}" in page


def test_the_scenarios_of_the_command_are_those_of_the_benchmark() -> None:
    assert SCENARIO_NAMES == SCENARIOS


def test_json_for_machines(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = place / "out-json"
    assert bench("run", place / "small.temper", "--data", place / "data", "--out", out, "--json", *QUICK) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1] == {"event": "written", "path": str(out / "measurements.jsonl")}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "none.temper", "--data", "data"], 2, "There is no bundle"),
        (["run", "small.temper", "--data", "none"], 2, "There is no data set folder"),
        (["run", "small.temper", "--data", "data", "--split", "test"], 2, "has no split 'test'"),
        (["run", "small.temper", "--data", "data", "--precision", "int8"], 2, "no variant 'int8'"),
        (["run", "small.temper", "--data", "data", "--runtime", "onnx"], 2, "There is no runtime 'onnx'"),
        (["run", "small.temper", "--data", "empty"], 1, "has no pictures"),
        (
            ["run", "small.temper", "--data", "others"],
            1,
            "has one, two, three, and the bundle small knows dark, bright, rough",
        ),
        (["report", "none"], 2, "There are no measurements"),
        (["run", "small.temper", "--data", "data", "--scenario", "line"], 2, "for example --frame-rate 30"),
        (["run", "small.temper", "--data", "data", "--frame-rate", "30"], 2, "--frame-rate is about a line"),
        (["run", "small.temper", "--data", "data", "--queue", "3"], 2, "--queue is about a line"),
        (["run", "small.temper", "--data", "data", "--query-pictures", "3"], 2, "Add --scenario multi-stream"),
        (["run", "small.temper", "--data", "data", "--scenario", "server"], 2, "'server' is not one of"),
        (
            ["run", "small.temper", "--data", "data", "--scenario", "multi-stream", "--batch", "9"],
            2,
            "A call of 9 pictures does not fit into a multi-stream query of 8",
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


def test_several_folders_make_one_page(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        assert bench("run", place / "small.temper", "--data", place / "data", "--out", place / name, *QUICK) == 0
    assert bench("report", place / "one", place / "two") == 2
    assert "give --out" in capsys.readouterr().err
    assert bench("report", place / "one", "--out", place / "all") == 2
    assert bench("report", place / "one", place / "two", "--out", place / "one") == 2
    assert "Choose another --out" in capsys.readouterr().err
    assert bench("report", place / "one", place / "two", "--out", place / "all", "--name", "both") == 0
    assert "<h1>both</h1>" in (place / "all" / "report.html").read_text(encoding="utf-8")
