"""What a configuration becomes: what tells positions, and lines that go on over connections."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from temper.deploy.cameras.track import ByEncoder, ByFrame, ByLine, BySpeed
from temper.deploy.frames import Frame
from temper.deploy.line.build import make_cameras
from temper.deploy.line.config import LineConfig

GENICAM = {"name": "a", "type": "aravis", "mm_per_pixel": 1}
FOLDER = {"name": "a", "type": "folder", "path": "incoming", "mm_per_pixel": 1}
LINES = {"line_scan": {"height": 16, "overlap": 4}}
BY_COUNT = {"by": "encoder", "metres_per_count": 0.5}


def line(camera: dict[str, Any], strip: dict[str, Any]) -> LineConfig:
    return LineConfig.model_validate({"line": "l", "cameras": [camera], "strip": strip})


@pytest.mark.parametrize(
    ("camera", "strip", "track"),
    [
        (GENICAM, {**BY_COUNT, "encoder_feature": "EncoderValue"}, ByEncoder),
        (GENICAM, {**BY_COUNT, "encoder_chunk": "ChunkEncoderValue"}, ByEncoder),
        (GENICAM | LINES, {**BY_COUNT, "encoder_chunk": "ChunkEncoderValue"}, ByEncoder),
        (GENICAM | LINES, BY_COUNT, ByLine),
        (FOLDER | LINES, {**BY_COUNT, "encoder_feature": "EncoderValue"}, ByLine),
        (FOLDER | LINES, {"by": "speed", "metres_per_second": 2}, BySpeed),
        (GENICAM, {"by": "frame", "metres_per_frame": 2}, ByFrame),
    ],
)
def test_what_tells_positions(camera: dict[str, Any], strip: dict[str, Any], track: type) -> None:
    (kept,) = make_cameras(line(camera, strip), "grey", {}, {})
    assert type(kept._track) is track


def test_lines_go_on_over_connections(tmp_path: Path) -> None:
    config = line({**FOLDER, **LINES, "path": str(tmp_path), "settle_seconds": 0.01}, BY_COUNT)
    (kept,) = make_cameras(config, "grey", {}, {})
    counts: list[int | None] = []
    for connection in range(2):
        camera = kept._open()
        for number in range(2):
            path = tmp_path / f"{connection}-{number}.png"
            assert cv2.imwrite(str(path.with_suffix(".part.png")), np.full((20, 8), 90, np.uint8))
            path.with_suffix(".part.png").rename(path)
        until = time.monotonic() + 10
        frames: list[Frame] = []
        while len(frames) < 3 and time.monotonic() < until:
            if (frame := camera.grab(0.1)) is not None:
                frames.append(frame)
        counts += [frame.encoder for frame in frames]
        camera.close()
        for path in tmp_path.iterdir():
            path.unlink()
    assert counts == [0, 12, 24, 40, 52, 64]
