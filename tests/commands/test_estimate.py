from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from bench_rows import benchmark_row, latency
from temper.benchmarks.estimate.row import read_estimates
from temper.benchmarks.measurement import BundleEntry, write_rows
from temper.benchmarks.subject import Subject
from temper.bundle.loader import open_bundle
from temper.cli import main
from tiny_bundle import make_tiny_bundle
from toy_data import toy_data


def test_a_bundle_is_estimated_and_every_figure_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_tiny_bundle(tmp_path)
    words = ["--device", "jetson-orin-nano-8gb@7W,l4", "--precision", "int8,fp32", "--batch", "1", "--batch", "8"]
    assert main(["estimate", "tiny.temper", *words, "--out", "est"]) == 0
    told = capsys.readouterr().out
    table = [line for line in told.splitlines() if line.startswith(("jetson-orin-nano-8gb", "l4"))]
    assert len(table) == 8
    assert all(line.count("~") == 2 for line in table)
    assert "Estimated, not measured" in told
    rows = read_estimates(tmp_path / "est" / "estimates.jsonl")
    places = [(row.device, row.power_mode, row.batch) for row in rows[::4]]
    assert places == [("jetson-orin-nano-8gb", "7W", 1), ("l4", "72W", 1)]
    assert {row.kind for row in rows} == {"estimated"}
    for row in rows:
        low, high = row.interval_ms
        assert low < row.latency_ms < high
        assert math.isclose(row.latency_ms / low, high / row.latency_ms)
        assert row.fits


def test_what_was_measured_on_a_device_puts_its_estimates_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = toy_data(tmp_path / "toy", 2)
    with open_bundle(make_tiny_bundle(tmp_path)) as bundle:
        entry = BundleEntry("tiny.temper", bundle.manifest_sha256, bundle.manifest)
    device = ["--device", "l4,t4", "--precision", "fp32", "--json"]
    assert main(["estimate", "tiny.temper", *device]) == 0
    before = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    measured = latency(Subject("tiny", "student", "fp32", "fp32", "tensorrt"), 2 * before[0]["latency_ms"])
    other = replace(measured, subject=replace(measured.subject, runtime="onnxruntime"))  # on the processor
    row = replace(benchmark_row(data, []), bundles=[entry])
    write_rows(tmp_path / "out" / "measurements.jsonl", [row, measured, other])
    assert main(["estimate", "tiny.temper", *device, "--measured", "out=l4"]) == 0
    after = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert before[0]["latency_ms"] < after[0]["latency_ms"] < 2 * before[0]["latency_ms"]
    assert after[0]["recalibrated_by"] == ["l4@72W: tiny fp32, batch 1"]
    widths = [math.log(one["interval_ms"][1] / one["interval_ms"][0]) for one in (before[0], after[0])]
    assert widths[1] < widths[0]
    assert after[1] == before[1], "another device's stay as they are"
    of_another = replace(row, bundles=[replace(entry, manifest_sha256="e" * 64)])
    write_rows(tmp_path / "out" / "measurements.jsonl", [of_another, measured])
    assert main(["estimate", "tiny.temper", *device, "--measured", "out=l4"]) == 2
    assert "measured another bundle than tiny" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["none.temper"], 2, "There is no bundle"),
        ([], 2, "Which bundle?"),
        (["tiny.temper", "--device", "l5"], 2, "There is no device 'l5'"),
        (["tiny.temper", "--device", "l4@7W"], 2, "has no power mode '7W'"),
        (["tiny.temper", "--precision", "int4"], 2, "There is no precision 'int4'"),
        (["tiny.temper", "--measured", "out"], 2, "say on which device"),
        (["tiny.temper", "--measured", "out=l4"], 2, "There are no measurements"),
        (["tiny.temper", "--devices", "my.yml"], 2, "There is no device table"),
    ],
)
def test_wrong_use(
    tmp_path: Path,
    words: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    make_tiny_bundle(tmp_path)
    assert main(["estimate", *words]) == code
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_a_table_to_add_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my.yml"
    assert main(["estimate", "--write-devices", str(path)]) == 0
    assert main(["estimate", "--write-devices", str(path)]) == 2
    path.write_text(path.read_text().replace("  l4:\n", "  box-7:\n"))
    capsys.readouterr()
    assert main(["estimate", "--devices", str(path), "--list-devices", "--json"]) == 0
    keys = [json.loads(line)["key"] for line in capsys.readouterr().out.splitlines()]
    assert {"l4", "box-7"} <= set(keys)
