from __future__ import annotations

from collections.abc import Callable

import pytest
from temper.detection.dataset import DataSet
from temper.detection.decode import DecodeSettings
from temper.distill.recipe import InputSection
from temper.distill.recipe_detectors import DetectorSection, RetinaNetSection
from temper.distill.recipe_training import TrainingSection
from toy_data import toy_data


@pytest.fixture(scope="session")
def toy_sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataSet, DataSet]:
    """24 pictures to learn from and 8 to judge on."""
    folder = tmp_path_factory.mktemp("toy")
    return toy_data(folder / "train", 24, 1), toy_data(folder / "val", 8, 2)


@pytest.fixture
def make_job(toy_sets: tuple[DataSet, DataSet]) -> Callable[..., object]:
    """A very small training job; keyword arguments change fields of ``training`` or of the job itself.

    ``detector`` changes fields of a thin RetinaNet, or is another detector altogether.
    """
    pytest.importorskip("paddle", reason="training needs PaddlePaddle")
    from temper.distill.training.job import TrainingJob

    def make(
        role: str = "student",
        *,
        detector: dict | DetectorSection | None = None,
        training: dict | None = None,
        **fields: object,
    ):
        section = {
            "epochs": 3,
            "batch_size": 4,
            "warmup_steps": 4,
            "workers": 1,
            "checkpoint_seconds": 0,
            "evaluate_every": 2,
        }
        thin = {
            "depth": 18,
            "width": 0.125,
            "neck_channels": 16,
            "head_convs": 1,
            "head_norm": "level_batch",
            "strides": (8, 16, 32),
        }
        values = {
            "role": role,
            "detector": detector
            if isinstance(detector, DetectorSection)
            else RetinaNetSection(**thin | (detector or {})),
            "training": TrainingSection(**section | (training or {})),
            "input": InputSection(width=64, height=64),
            "decode": DecodeSettings(),
            "train": toy_sets[0],
            "val": toy_sets[1],
            "seed": 5,
        }
        return TrainingJob(**values | fields)

    return make
