"""A runner of stages that makes small files instead of models, so that the order of things can be seen in no time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from temper.core.events import Event, Reporter
from temper.core.files import sha256_file, sha256_json, write_text
from temper.distill.recipe import Recipe, to_plain
from temper.distill.recipe_file import recipe_from_plain
from temper.flow.folder import RunFolder
from temper.flow.keys import MODELS

SECTION = {"depth": 18, "width": 0.125, "neck_channels": 16, "strides": (8, 16, 32)}


def make_recipe(**changes: Any) -> Recipe:
    """A recipe on synthetic data; ``training__epochs=3`` changes a field of a section."""
    plain: dict[str, Any] = {
        "name": "fake",
        "data": {"synthetic": {"train": 8, "val": 4}},
        "teacher": dict(SECTION),
        "student": dict(SECTION),
    }
    plain = to_plain(recipe_from_plain(plain, "fake"))
    for name, value in changes.items():
        *around, last = name.split("__")
        place = plain
        for part in around:
            place = place[part]
        place[last] = value
    return recipe_from_plain(plain, "fake")


class FakeStages:
    """Does stages by writing a file, and remembers which.

    Attributes:
        done: the stages that were done, in order.
        meanwhile: called in the middle of each stage, when half of it is written.
    """

    def __init__(self, meanwhile: Callable[[RunFolder, str], None] | None = None) -> None:
        self.done: list[str] = []
        self.meanwhile = meanwhile

    def __call__(self, recipe: Recipe, run: RunFolder, stage: str, report: Reporter) -> dict[str, Any]:
        write_text(run.stage(stage) / "half.txt", stage)
        report(Event("step", stage, {"done": 1, "total": 2, "unit": "halves"}))
        if self.meanwhile is not None:
            self.meanwhile(run, stage)
        write_text(run.stage(stage) / "whole.txt", f"{stage} {recipe.seed}")
        self.done.append(stage)
        if stage == "data":
            # the same pictures, however they are to be split, as with synthetic ones
            source = to_plain(recipe)["data"]["synthetic"] or _files(Path(str(recipe.data.path)))
            # files named after the test split are of it alone
            test = [file for file in source if file.startswith("test")]
            content = [file for file in source if file not in test] if isinstance(source, list) else source
            return {"content_sha256": sha256_json(content), "test_sha256": sha256_json(test)}
        if stage in MODELS:
            # another key, other weights; the same key, the same weights
            weights = run.stage(stage) / "weights.safetensors"
            write_text(weights, f"{stage} {run.started_key(stage)}")
            return {"weights_sha256": sha256_file(weights), "seconds": 7.0}
        return {}


def _files(folder: Path) -> list[str]:
    return sorted(f"{path.name} {path.read_bytes()!r}" for path in folder.iterdir())
