"""What each stage's result depends on, as a hash: the reason to skip it, or to do it again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..core.errors import TemperError
from ..core.files import sha256_file, sha256_json
from ..distill.recipe import DataSection, ModelSection, Recipe

#: Raised when a stage's code changes what it writes, so that older results are not taken for new ones.
FORMAT = 1
#: How a result is reached, not what it is.
_COSMETIC = {"workers", "checkpoint_seconds", "evaluate_every"}

MODELS = ("teacher", "student", "distilled")
#: All stages in the order they run.
STAGES = ("data", *MODELS, *(f"export-{model}" for model in MODELS), "benchmark", "report")
#: The stages whose results a stage reads.
NEEDS: dict[str, tuple[str, ...]] = {
    "data": (),
    "teacher": ("data",),
    "student": ("data",),
    "distilled": ("data", "teacher"),
    "export-teacher": ("data", "teacher"),
    "export-student": ("data", "student"),
    "export-distilled": ("data", "distilled"),
    "benchmark": ("data", "export-teacher", "export-student", "export-distilled"),
    "report": ("data", *MODELS, "benchmark"),
}


def stages_for(goal: str) -> tuple[str, ...]:
    """The stages that lead to ``goal``, it included, in order."""
    wanted, open_ends = {goal}, [goal]
    while open_ends:
        for need in NEEDS[open_ends.pop()]:
            if need not in wanted:
                wanted.add(need)
                open_ends.append(need)
    return tuple(stage for stage in STAGES if stage in wanted)


def stage_keys(recipe: Recipe, stages: tuple[str, ...]) -> dict[str, str]:
    """The key of every stage in ``stages`` (which must contain what they need).

    Raises:
        TemperError: if the data or a weight file the recipe names is not there.
    """
    keys: dict[str, str] = {}
    for stage in STAGES:
        if stage in stages:
            upstream = [keys[need] for need in NEEDS[stage]]
            keys[stage] = sha256_json([FORMAT, stage, upstream, _reads(recipe, stage)])
    return keys


def _reads(recipe: Recipe, stage: str) -> Any:
    plain = recipe.model_dump(mode="json")
    if stage == "data":
        return [plain["data"], _fingerprint(recipe.data)]
    if stage in MODELS:
        section = recipe.teacher if stage == "teacher" else recipe.student
        shared = {"seed": recipe.seed, "device": recipe.device, "input": plain["input"]}
        own = shared | {"model": _model(section), "training": _training(recipe, section)}
        return own | {"distillation": plain["distillation"]} if stage == "distilled" else own
    if stage.startswith("export-"):
        return [plain["export"], plain["name"]]
    # the report prints the recipe as it is
    return plain["benchmark"] if stage == "benchmark" else plain


def _model(section: ModelSection) -> dict[str, Any]:
    plain = section.model_dump(mode="json", exclude={"training"})
    if section.weights is not None:
        path = Path(section.weights)
        if not path.is_file():
            raise TemperError(f"The recipe starts from the weights {path}, and there is no such file.")
        plain["weights"] = sha256_file(path)
    return plain


def _training(recipe: Recipe, section: ModelSection) -> dict[str, Any]:
    return recipe.training_of(section).model_dump(mode="json", exclude=_COSMETIC)


def _fingerprint(data: DataSection) -> Any:
    """Changes when the files behind ``data.path`` do: names, sizes and times of change, not their content."""
    if data.path is None:
        return None
    path = Path(data.path)
    if not path.exists():
        raise TemperError(
            f"The recipe's data.path is '{data.path}', and there is nothing at {path.resolve()}. Give the folder or "
            "archive of your data set, for example with --set data.path=FOLDER."
        )
    if path.is_file():
        return [path.name, path.stat().st_size, path.stat().st_mtime_ns]
    entries = []
    for folder, _, files in os.walk(path, followlinks=True):
        for name in files:
            file = Path(folder, name)
            stat = file.stat()
            entries.append([str(file.relative_to(path)), stat.st_size, stat.st_mtime_ns])
    return sha256_json(sorted(entries))
