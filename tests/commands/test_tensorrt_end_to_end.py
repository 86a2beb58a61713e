"""Every command that TensorRT has a part in, as a user types it, on stand-ins for driver, CUDA and TensorRT."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from standin import STANDINS, make_driver
from temper.core.files import read_json
from temper.detection.dataset import save_split
from tiny_bundle import LABELS, make_tiny_bundle
from toy_data import toy_data

QUICK = ["--seconds", "0.1", "--samples", "11", "--time-box", "1"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a zipped bundle, a data set of six pictures, and the stand-in for the driver."""
    folder = tmp_path_factory.mktemp("device")
    made = make_tiny_bundle(folder / "made", name="small")
    shutil.make_archive(str(folder / "small.temper"), "zip", made)
    save_split(replace(toy_data(folder / "data" / "images", 6), labels=LABELS), folder / "data", "val")
    (folder / "driver").mkdir()
    make_driver(folder / "driver")
    return folder


def temper(place: Path, *words: object) -> str:
    """What a command prints; it must end well."""
    environment = {
        **os.environ,
        "STANDIN_TENSORRT": "10.16",
        "PYTHONPATH": str(STANDINS),
        "LD_LIBRARY_PATH": str(place / "driver"),
    }
    command = [str(Path(sys.executable).parent / "temper"), *map(str, words)]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_from_the_engine_to_the_line_and_the_benchmark(place: Path) -> None:
    bundle = "small.temper.zip"
    folder = place / "small.engines" / "nvidia-h100-80gb-hbm3-sm90-132mp"
    built = temper(place, "export", "trt", bundle)
    assert built.splitlines()[-1].startswith(
        f"{folder / 'fp32.engine'}  NVIDIA H100 80GB HBM3, TensorRT 10.16.1.11, built"
    )
    before = (folder / "fp32.json").read_bytes()

    checked = temper(place, "bundle", "check", bundle, "--runtime", "tensorrt", "--data", "data")
    assert "fp32 on tensorrt  ok: 6 pictures, 100.0% of the detections found again" in checked
    result = read_json(place / "small.check-tensorrt.json")
    assert result["passed"] and result["variants"][0]["engine"]["gpu"] == "NVIDIA H100 80GB HBM3"

    ran = temper(place, "deploy", "run", bundle, "--source", "data/images", "--out", "out", "--runtime", "tensorrt")
    assert "6 frames" in ran and "0 not inspected" in ran

    words = ["--runtime", "tensorrt", "--runtime", "openvino", "--batch", 1, "--batch", 8]
    measured = temper(place, "bench", "run", bundle, "--data", "data", "--out", "bench", *words, *QUICK)
    lines = [line.split() for line in measured.splitlines() if line.startswith("small ")]
    assert sorted((line[2], line[4]) for line in lines) == [
        ("openvino", "1"),
        ("openvino", "8"),
        ("tensorrt", "1"),
        ("tensorrt", "8"),
    ]
    assert {line[5] for line in lines} == {lines[0][5]}, "the same mAP on both"
    assert (folder / "fp32.json").read_bytes() == before, "the engine beside the zip served them all"


def test_a_run_that_must_build_first_says_so(place: Path) -> None:
    shutil.rmtree(place / "small.engines", ignore_errors=True)
    words = ["--source", "data/images", "--out", "out-json", "--runtime", "tensorrt", "--limit", 1, "--json"]
    events = [json.loads(line) for line in temper(place, "deploy", "run", "small.temper.zip", *words).splitlines()]
    assert events[0]["kind"] == "note" and events[0]["message"].startswith(
        "Building the engine of fp32 for NVIDIA H100"
    )
    assert {"kind": "engine", "percent": 100} in events
    assert events[-1]["kind"] == "summary" and events[-1]["frames"] == 1
