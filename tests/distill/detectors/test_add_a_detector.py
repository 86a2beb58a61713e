"""docs/how-to/add-a-detector.md: its code is run as it stands there."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from temper.core.events import silent
from temper.detection.decode import DecodeSettings
from temper.distill import recipe_detectors
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

#: A recipe of the new kind, and one with a mistake; in a Temper that has the page's code in it.
USER = """
from pathlib import Path
from temper.core.errors import UsageError
from temper.distill.detectors.build import build_detector
from temper.distill.recipe_file import read_recipe

student = read_recipe(Path("recipe.yml")).student
print(build_detector(student, ("a", "b"), 1).neck_channels)
try:
    read_recipe(Path("mistaken.yml"))
except UsageError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs/how-to/add-a-detector.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


@pytest.fixture
def example(blocks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The document's two classes, each where it says, with the detector in the closed list."""
    section, detector = blocks
    inside: dict[str, Any] = dict(vars(recipe_detectors))
    exec(compile(section, "recipe_detectors.py", "exec"), inside)  # noqa: S102  # the page's own code
    monkeypatch.setattr(recipe_detectors, "GflSection", inside["GflSection"], raising=False)
    path, name = tmp_path / "gfl.py", "temper.distill.detectors.gfl"
    path.write_text(detector)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(build_module.DETECTORS, "gfl", module.Gfl)
    return SimpleNamespace(GflSection=inside["GflSection"], Gfl=module.Gfl)


def test_it_is_short(blocks: list[str]) -> None:
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    told = [line for line in lines if not re.match(r"\s*(from|import|if TYPE_CHECKING)\b", line)]
    assert len(blocks) == 2 and len(told) < 40
    assert max(map(len, lines)) <= 120


def put_in(file: Path, before: str, text: str) -> None:
    """Put text into a file, before what stands there once."""
    content = file.read_text()
    assert content.count(before) == 1, before
    file.write_text(content.replace(before, f"{text}{before}"))


def test_pasted_as_it_stands_a_recipe_may_name_it(page: str, blocks: list[str], tmp_path: Path) -> None:
    copy = tmp_path / "site/temper"
    shutil.copytree(Path(build_module.__file__).parents[2], copy, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    build, sections = copy / "distill/detectors/build.py", copy / "distill/recipe_detectors.py"
    _, line, entry, _, _, tag, _ = re.findall(r"`([^`]+)`", page.partition("## 3.")[2].partition("A recipe may")[0])
    assert line.startswith("from .gfl") and entry.startswith('"gfl"') and tag.startswith("| Annotated")
    (copy / "distill/detectors/gfl.py").write_text(blocks[1])
    put_in(build, "from .picodet", f"{line}\n")
    put_in(build, '    "ppyoloe": PpYoloe', f"    {entry},\n")
    put_in(sections, "#: A recipe's ``teacher`` or", f"{blocks[0]}\n\n")
    put_in(sections, ",\n    Discriminator(_kind)", f"\n    {tag}")
    recipe = "name: steel\ndata: {synthetic: {}}\nteacher: {}\nstudent: {detector: gfl, width: 0.125, %s: 16}\n"
    for name, field in (("recipe", "neck_channels"), ("mistaken", "neck_chanels")):
        (tmp_path / f"{name}.yml").write_text(recipe % field)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-c", USER]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert not done.returncode, done.stderr
    told = done.stdout.splitlines()
    assert told[0] == "(16, 16, 16)"
    assert "mistaken.yml, line 4" in told[1] and "neck_channels" in told[1]


def test_it_learns_teaches_and_is_taught(example: SimpleNamespace, tmp_path: Path) -> None:
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


def test_it_is_exported(example: SimpleNamespace) -> None:
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
