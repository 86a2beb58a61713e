"""A tiny bundle and pictures of which it is known how they end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from steel_pictures import steel
from temper.bundle.loader import open_bundle
from temper.deploy.detector import BundleDetector, open_detector
from tiny_bundle import make_tiny_bundle


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grey bundle of 64 x 64 pixels."""
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def detector(bundle_path: Path) -> Iterator[BundleDetector]:
    """The tiny bundle on ONNX Runtime."""
    with open_bundle(bundle_path) as bundle:
        opened = open_detector(bundle, threads=1)
        yield opened
        opened.runtime.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Six pictures (1 and 4 with a defect), one that is none, and a text file."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(6):
        cv2.imwrite(str(folder / f"{index}.png"), steel(index in (1, 4)))
    (folder / "broken.jpg").write_bytes(b"not a picture")
    (folder / "notes.txt").write_text("shift 2")
    return folder
