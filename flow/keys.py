"""What each stage's result depends on, as a hash: the reason to skip it, or to do it again.

A stage depends on parts of the recipe and on what the stages before it *made*, not on how they came to it: data that is
imported again and turns out the same leaves the models trained on it standing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import TemperError, UsageError
from ..core.files import sha256_file, sha256_json, walk_folder
from ..core.models import MODELS
from ..distill.data.listing import list_files
from ..distill.data.reader import read_source
from ..distill.recipe import Recipe
from ..distill.recipe_detectors import MODEL_SECTIONS, ModelSection, section_name
from ..distill.remote_weights import known_sha256, require_sha256
from ..distill.weights_address import is_address
from .folder import StageRecord

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
#: What the data stage makes besides that no training may see: its test pictures have an identity of their own.
TEST = "test"
#: Raised for a stage when its code changes what it writes, so that older results are not taken for new ones.
VERSIONS = {
    **dict.fromkeys(STAGES, 1),
    "data": 2,
    **dict.fromkeys((f"export-{model}" for model in MODELS), 4),
    "benchmark": 4,
    "report": 4,
}
#: How a training reaches its result, not what the result is.
_COSMETIC = {"workers", "checkpoint_seconds", "evaluate_every", "visualdl"}
_COSMETIC_IN_DISTILLATION = {"cache"}


@dataclass(frozen=True)
class Sources:
    """What a recipe reads from outside the run.

    Attributes:
        data: changes when the files behind ``data.path`` do; None for synthetic data.
        unlabelled: the folder of ``data.unlabelled``, whatever lies in it: a distillation keeps the list of what it
            began with, and an archive that grows is no reason to do it again. None where there is none.
        weights: the SHA-256 of the weight files that models start from, by the model's section.
        golden: changes when the files behind ``export.golden_images`` do; None where there are none.
    """

    data: str | None = None
    unlabelled: str | None = None
    weights: Mapping[str, str] = field(default_factory=dict)
    golden: str | None = None


def stages_for(goals: Iterable[str]) -> tuple[str, ...]:
    """The stages that lead to ``goals``, these included, in order."""
    wanted = set(goals)
    open_ends = list(wanted)
    while open_ends:
        for need in NEEDS[open_ends.pop()]:
            if need not in wanted:
                wanted.add(need)
                open_ends.append(need)
    return tuple(stage for stage in STAGES if stage in wanted)


def read_sources(recipe: Recipe) -> Sources:
    """Look at the files a recipe names.

    Raises:
        TemperError: if the data or a weight file is not there, or ``data.unlabelled`` is no folder with pictures.
    """
    sections = {name: recipe.section_of(name) for name in MODEL_SECTIONS}
    weights = {name: _weights_hash(name, section) for name, section in sections.items() if section.weights}
    unlabelled = _unlabelled_folder(recipe.data.unlabelled)
    golden = _fingerprint("export.golden_images", recipe.export.golden_images)
    return Sources(_fingerprint("data.path", recipe.data.path), unlabelled, weights, golden)


def stage_key(recipe: Recipe, stage: str, sources: Sources, made: Mapping[str, str]) -> str:
    """The key of a stage.

    Args:
        recipe: of the run.
        stage: one of :data:`STAGES`.
        sources: what the recipe reads from outside.
        made: the identities of what the stages before it made (see :func:`identities`).
    """
    upstream = [made[need] for need in NEEDS[stage]]
    if _reads_test(recipe, stage):
        upstream.append(made[TEST])
    return sha256_json([stage, VERSIONS[stage], upstream, _reads(recipe, stage, sources)])


def identities(stage: str, record: StageRecord) -> dict[str, str]:
    """What later stages depend on of a finished one: its content where that has a hash, else when it was made.

    Returns:
        By the stage's name; the data has a second one, :data:`TEST`, of its test pictures.
    """
    if stage == "data":
        result = record.result
        return {stage: str(result["content_sha256"]), TEST: str(result["test_sha256"])}
    if stage in MODELS:
        return {stage: str(record.result["weights_sha256"])}
    return {stage: f"{record.key} {record.finished_at}"}


def _reads_test(recipe: Recipe, stage: str) -> bool:
    if stage == "benchmark":
        return recipe.benchmark.split == "test"
    if stage == "distilled":  # copies of them are left out of the unlabelled pictures
        return recipe.data.unlabelled is not None
    # int8 is calibrated on training pictures of which none is a test picture's near copy
    return stage.startswith("export-") and any(name.startswith("int8") for name in recipe.export.precisions)


def _reads(recipe: Recipe, stage: str, sources: Sources) -> Any:
    """The parts of the recipe that a stage reads."""
    plain = recipe.model_dump(mode="json")
    if stage == "data":
        # where the files lie is not in it, only what they are
        outside = {"path", "unlabelled"}
        return [{name: value for name, value in plain["data"].items() if name not in outside}, sources.data]
    if stage in MODELS:
        section = recipe.section_of(stage)
        own = {
            **{part: plain[part] for part in ("seed", "device", "input")},
            "model": section.architecture(),
            "weights": sources.weights.get(section_name(stage)),
            "training": recipe.training_of(section).model_dump(mode="json", exclude=_COSMETIC),
        }
        if stage == "distilled":
            distillation = recipe.distillation.model_dump(mode="json", exclude=_COSMETIC_IN_DISTILLATION)
            own |= {"distillation": distillation, "teacher": recipe.teacher.architecture()}
            own |= {"unlabelled": sources.unlabelled}
        return own
    if stage.startswith("export-"):
        section = recipe.section_of(stage.removeprefix("export-"))
        # where the golden pictures lie is not in it, only what they are
        export = {name: value for name, value in plain["export"].items() if name != "golden_images"}
        return [plain["name"], export, sources.golden, plain["input"], section.architecture()]
    if stage == "benchmark":
        return plain["benchmark"]
    # the report prints the recipe as it is
    return plain


def _weights_hash(name: str, section: ModelSection) -> str:
    if is_address(str(section.weights)):
        # what is not fetched yet has no content that could be known
        return section.weights_sha256 or known_sha256(str(section.weights)) or "not fetched"
    path = Path(str(section.weights))
    try:
        if section.weights_sha256 is not None:
            require_sha256(path, section.weights_sha256)
        return sha256_file(path)
    except OSError as error:
        raise UsageError(
            f"The recipe's {name}.weights is '{path}', which cannot be read: {error.strerror}. Give the file with "
            f"--set {name}.weights=FILE, or start from nothing with --set {name}.weights=null{_thawed(name, section)}."
        ) from error


def _thawed(name: str, section: ModelSection) -> str:
    """What else has to change, as more options, for a model that starts from nothing."""
    changes = {"backbone_norm": "train", "freeze_stages": 0}
    return "".join(
        f" --set {name}.{field}={value}" for field, value in changes.items() if getattr(section, field, value) != value
    )


def _fingerprint(field_name: str, value: str | None) -> str | None:
    """Changes when the files behind a path do: names, sizes and times of change, not their content."""
    if value is None:
        return None
    path = _existing(field_name, value)
    if path.is_file():
        return sha256_json([_file_state(path, path.name), *_picture_states(path)])
    entries = []
    for folder, _, files in walk_folder(path):
        for name in files:
            file = Path(folder, name)
            entries.append(_file_state(file, file.relative_to(path).as_posix()))
    return sha256_json(sorted(entries))


def _picture_states(file: Path) -> list[Any]:
    """Of the pictures that a COCO json file names, which lie beside it; none of any other file."""
    if file.suffix.lower() != ".json":
        return []
    try:
        source = read_source(file, lambda _: None)
    except TemperError:  # the import says what is wrong with it
        return []
    return sorted(_file_state(source.root / picture.file, picture.file.as_posix()) for picture in source.pictures)


def _existing(field_name: str, value: str) -> Path:
    path = Path(value)
    if not path.exists():
        what = "folder or archive of your data set" if field_name == "data.path" else "folder of your pictures"
        raise UsageError(
            f"The recipe's {field_name} is '{value}', and there is nothing at {path.absolute()}. Give the {what}, for "
            f"example with --set {field_name}=FOLDER."
        )
    return path


def _unlabelled_folder(value: str | None) -> str | None:
    """Told before a teacher has been trained for hours; those that are judged on are only left out once data is there.

    Raises:
        UsageError: if it is no folder, or has no pictures.
    """
    if value is None:
        return None
    folder = _existing("data.unlabelled", value)
    if not folder.is_dir():
        raise UsageError(
            f"The recipe's data.unlabelled is '{folder}', which is no folder. Give one with pictures in it, or set it "
            "to null."
        )
    if not list_files(folder).pictures:
        raise UsageError(
            f"The recipe's data.unlabelled is '{folder}', which has no pictures. Give another folder, or set it to "
            "null."
        )
    return str(folder.absolute())


def _file_state(path: Path, name: str) -> list[Any]:
    # names that are no UTF-8 are kept apart all the same
    name = name.encode("utf-8", "surrogateescape").hex() if not name.isprintable() else name
    try:
        state = path.stat()
    except OSError:  # a link to nowhere: the importer says so, if it matters
        return [name, -1, -1]
    return [name, state.st_size, state.st_mtime_ns]
