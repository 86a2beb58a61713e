"""``scripts/repeat_agreement.py``: it counts what overlaps, and fails where too little does."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from bench_rows import benchmark_row, footprint, latency, manifest, subject
from temper.benchmarks.measurement import write_rows
from temper.detection.dataset import DataSet


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[2] / "scripts" / "repeat_agreement.py"
    spec = importlib.util.spec_from_file_location("repeat_agreement", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def benchmark(folder: Path, data: DataSet, ms: float, load_ms: float = 30.0) -> Path:
    one = subject("student")
    cost = replace(footprint(one, 8.0), intervals={"load_ms": (0.9 * load_ms, 1.1 * load_ms)})
    folder.mkdir()
    first = benchmark_row(data, [manifest("student", data.labels, ["fp32"])])
    write_rows(folder / "measurements.jsonl", [first, latency(one, ms), cost])
    return folder


def test_the_share_that_overlaps_is_counted(
    script: ModuleType, tmp_path: Path, data: DataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    same, again = (str(benchmark(tmp_path / name, data, 10.0)) for name in ("a", "b"))
    slow = str(benchmark(tmp_path / "c", data, 20.0))
    assert script.main([same, again]) == 0
    assert "(100.0 %)" in capsys.readouterr().out
    assert script.main([same, slow]) == 1
    said = capsys.readouterr().out
    assert "| end_to_end | p50_ms | 0 | 1 |" in said
    assert "| start | load_ms | 1 | 1 |" in said
    assert script.main([same, again, slow]) == 1
    assert "| end_to_end | p50_ms | 1 | 3 |" in capsys.readouterr().out


def test_one_benchmark_agrees_with_nothing(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        script.main(["alone"])
    assert "one benchmark has nothing to agree with" in capsys.readouterr().err
