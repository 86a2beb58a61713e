from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from temper.detection.dataset import DataSet, save_split
from tiny_bundle import LABELS, make_tiny_bundle
from toy_data import toy_data


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set folder with 6 pictures in ``val`` and the labels of the tiny bundles."""
    folder = tmp_path_factory.mktemp("toy")
    save_split(replace(toy_data(folder / "images", 6), labels=LABELS), folder, "val")
    return folder


@pytest.fixture(scope="session")
def data(data_folder: Path) -> DataSet:
    from temper.detection.dataset import load_split

    return load_split(data_folder, "val")


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny bundles by role."""
    folder = tmp_path_factory.mktemp("bundles")
    return {
        "teacher": make_tiny_bundle(folder, size=(96, 96), name="big", role="teacher"),
        "student": make_tiny_bundle(folder, size=(64, 64), name="small", role="student"),
    }
