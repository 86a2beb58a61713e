"""docs/how-to/add-a-detector.md: its code is run as it stands there."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from temper.core.events import silent
from temper.detection.decode import DecodeSettings
from temper.distill.recipe import InputSection
from temper.distill.recipe_distillation import DistillationSection, MgdSection
from temper.distill.recipe_training import TrainingSection
from toy_data import toy_data

paddle = pytest.importorskip("paddle", reason="detectors are built on PaddlePaddle")

from temper.distill.detectors import build as build_module  # noqa: E402
from temper.distill.detectors.build import build_detector  # noqa: E402
from temper.distill.training.job import TrainingJob  # noqa: E402
from temper.distill.training.log import read_metrics  # noqa: E402
from temper.distill.training.train import train_model  # noqa: E402

#: What the two files that the code goes into have at their top.
IMPORTS = """
from types import MappingProxyType
from typing import Literal

from pydantic import Field
from temper.distill.detectors.base import HeadOutputs, Targets
from temper.distill.detectors.point_losses import TERMS, HeadAnswer
from temper.distill.detectors.points import PointDetector, distances, grid_of, joined
from temper.distill.detectors.ppdet_bridge import paddle_detection
from temper.distill.detectors.resnet import build_resnet, output_channels
from temper.distill.detectors.task_aligned import TaskAlignedLoss
from temper.distill.paddle_import import paddle
from temper.distill.recipe_detectors import DetectorSection

F = paddle.nn.functional
"""


@pytest.fixture(scope="module")
def blocks(root: Path) -> list[str]:
    text = (root / "docs/how-to/add-a-detector.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def example(blocks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the document's two classes, with the detector in the closed list."""
    path = tmp_path / "example_detector.py"
    path.write_text(IMPORTS + "\n\n".join(blocks))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(build_module.DETECTORS, "gfl", module.Gfl)
    return module


def test_it_is_short(blocks: list[str]) -> None:
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    assert len(blocks) == 2 and len(lines) < 40
    assert max(map(len, lines)) <= 120


def test_it_learns_teaches_and_is_taught(example: ModuleType, tmp_path: Path) -> None:
    data = toy_data(tmp_path / "toy", 16, 1)
    section = example.GflSection(width=0.125, neck_channels=16)

    def job(role: str, **fields: Any) -> TrainingJob:
        training = TrainingSection(
            epochs=14, batch_size=8, learning_rate=3e-3, warmup_steps=4, workers=0, evaluate_every=0
        )
        values = {
            "role": role,
            "detector": section,
            "training": training,
            "input": InputSection(width=64, height=64),
            "decode": DecodeSettings(),
            "train": data,
            "val": data,
            "seed": 5,
        }
        return TrainingJob(**values | fields)

    record = train_model(job("teacher"), tmp_path / "teacher", silent)
    totals = [e["total"] for e in read_metrics(tmp_path / "teacher/metrics.jsonl") if e["kind"] == "step"]
    assert np.mean(totals[-4:]) < 0.7 * np.mean(totals[:4])
    assert record.accuracy["ap50"] > 10
    taught = job(
        "distilled",
        training=TrainingSection(epochs=1, batch_size=8, workers=0),
        distillation=DistillationSection(mgd=MgdSection(alpha=1, alpha_form="mean")),
        teacher=section,
        teacher_weights=tmp_path / "teacher/weights.safetensors",
    )
    assert train_model(taught, tmp_path / "taught", silent).inherited > 10


def test_it_is_exported(example: ModuleType) -> None:
    pytest.importorskip("paddle2onnx", reason="export goes through paddle2onnx")
    import onnxruntime
    from temper.export.trace import trace_network

    detector = build_detector(example.GflSection(width=0.125, neck_channels=16), ("a", "b"), 1)
    detector.eval()
    network = trace_network(detector, (96, 64)).SerializeToString()
    images = np.random.default_rng(0).normal(size=(2, 3, 64, 96)).astype(np.float32)
    found = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"]).run(None, {"image": images})
    expected = detector.raw_predictions(detector.neck_features(paddle.to_tensor(images)))
    for ours, theirs in zip(found, expected, strict=True):
        assert np.allclose(ours, theirs.numpy(), atol=1e-3)
    assert found[0].shape == (2, len(detector.box_coding((96, 64)).references), 2)
