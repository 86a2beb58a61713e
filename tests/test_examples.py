"""The examples run as they stand, and agree with Temper."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from temper.bundle.loader import open_bundle
from temper.bundle.pack import pack_bundle
from temper.deploy.detector import open_detector
from tiny_bundle import make_tiny_bundle

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "run_bundle.py"


SIZES = {"smaller": (80, 50), "larger": (200, 150), "wider": (200, 50), "the same": (96, 64)}


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
@pytest.mark.parametrize("channels", ["grey", "rgb"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_fifty_lines_are_enough_to_use_a_bundle(
    tmp_path: Path, channels: Literal["grey", "rgb"], resize: Literal["stretch", "letterbox"], size: tuple[int, int]
) -> None:
    bundle = make_tiny_bundle(tmp_path, channels, (96, 64), resize=resize)
    picture = tmp_path / ("steel.pgm" if channels == "grey" else "steel.ppm")
    spots = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (10, 14, 3))
    drawn = cv2.resize(spots, size, interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(picture), drawn[..., 0] if channels == "grey" else drawn)
    with open_bundle(bundle) as opened:
        detector = open_detector(opened, threads=1)
        (found,) = detector.detect_encoded([picture.read_bytes()])
        defects = detector.verdict(found).defects
        labels = opened.manifest.labels
    assert len(defects)
    done = run_example(bundle, picture)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    boxes, scores = np.array([line[2:] for line in lines], float), np.array([line[1] for line in lines], float)
    same = np.array([line[0] for line in lines])[:, None] == np.array(labels)[defects.labels]
    same &= abs(scores[:, None] - defects.scores) < 0.02  # a grey level more or less is worth some of it
    same &= (abs(boxes[:, None] - defects.boxes) < 1).all(axis=2)
    assert same.any(axis=1).mean() > 0.9 and same.any(axis=0).mean() > 0.9


def test_the_example_reads_what_a_bundle_comes_as_with_two_libraries_alone(tmp_path: Path) -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 50
    imported = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported - sys.stdlib_module_names == {"numpy", "onnxruntime"}
    bundle = make_tiny_bundle(tmp_path, "grey", (96, 64))
    picture = tmp_path / "steel.pgm"
    spots = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (64, 96))
    picture.write_bytes(b"P5\n# of a camera\n96 64\n255\n" + spots.tobytes())
    holding = Path(shutil.make_archive(str(tmp_path / "holding"), "zip", tmp_path, bundle.name))
    told = [run_example(path, picture) for path in (bundle, pack_bundle(bundle), holding)]
    assert {one.returncode for one in told} == {0}, told
    assert told[0].stdout.count("\n") > 5
    assert {one.stdout for one in told} == {told[0].stdout}
    picture.write_bytes(b"no picture")
    assert run_example(bundle, picture).returncode == 1


def run_example(bundle: Path, picture: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLE), str(bundle), str(picture)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)
