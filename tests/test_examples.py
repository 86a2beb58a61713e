"""The examples run as they stand, and agree with Temper."""

from __future__ import annotations

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


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
@pytest.mark.parametrize("channels", ["grey", "rgb"])
def test_fifty_lines_are_enough_to_use_a_bundle(
    tmp_path: Path, channels: Literal["grey", "rgb"], resize: Literal["stretch", "letterbox"]
) -> None:
    bundle = make_tiny_bundle(tmp_path, channels, (96, 64), resize=resize)
    spots = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (10, 14, 3))
    picture = cv2.resize(spots, (200, 150), interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(tmp_path / "steel.png"), picture)
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 50
    with open_bundle(bundle) as opened:
        detector = open_detector(opened, threads=1)
        (found,) = detector.detect_encoded([(tmp_path / "steel.png").read_bytes()])
        defects = detector.verdict(found).defects
        labels = opened.manifest.labels
    assert len(defects)
    for path in (bundle, pack_bundle(bundle)):
        command = [sys.executable, str(EXAMPLE), str(path), str(tmp_path / "steel.png")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        lines = [line.split() for line in done.stdout.splitlines()]
        assert [line[0] for line in lines] == [labels[label] for label in defects.labels]
        np.testing.assert_allclose([float(line[1]) for line in lines], defects.scores, atol=2e-3)
        boxes = np.array([line[2:] for line in lines], float)
        np.testing.assert_allclose(boxes.clip(0, (200, 150, 200, 150)), defects.boxes, atol=0.2)
