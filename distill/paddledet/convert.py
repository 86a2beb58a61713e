"""PaddleDetection's configurations as parts of a recipe, or as a whole one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ...core.errors import UsageError
from ..recipe import Recipe
from ..recipe_detectors import DetectorSection, ModelSection
from .architecture import detector_section
from .slim import distillation_section, require_channels
from .training import export_section, input_section, training_section
from .weights import pixel_scale, pretrained_weights
from .yaml_file import Values, read_config

_ADAPTER: TypeAdapter[DetectorSection] = TypeAdapter(ModelSection)
#: The teacher where none is named: the student's larger sister.
_LARGER: dict[str, Values] = {"retinanet": {"depth": 101}, "picodet": {"size": "l"}, "ppyoloe": {"size": "l"}}
_HEADS = {"retinanet": "RetinaHead", "picodet": "PicoHeadV2", "ppyoloe": "PPYOLOEHead"}
_ESNET_HEAD = "PicoHead"


@dataclass(frozen=True)
class Model:
    """A model as a configuration describes it.

    Attributes:
        file: the configuration.
        values: fields of a recipe's ``teacher`` or ``student``.
        classes: how many it tells apart, None if the file does not say.
        distils: whether it is a configuration for distilling, whose model is the trained teacher.
    """

    file: str
    values: Values
    classes: int | None
    distils: bool


def read_model(path: Path) -> Model:
    """The model of a configuration.

    A configuration that distils (``slim: Distill``) describes the teacher, and its ``pretrain_weights`` are the trained
    one: it is taken as it is.

    Raises:
        UsageError: if the file cannot be read, or describes what Temper does not have.
    """
    return _model(path, read_config(path))


def _model(path: Path, config: Values) -> Model:
    file = str(path)
    values = detector_section(file, config)
    values["weights"] = pretrained_weights(path, config)
    distils = "slim" in config
    if distils and values["weights"] is not None:
        values["training"] = {"epochs": 0}
    pixels = pixel_scale(file, config)
    if pixels is not None and pixels != _checked(file, values).pixel_scale:
        values["pixels"] = pixels
    classes = config.get("num_classes")
    return Model(file, values, classes if isinstance(classes, int) and not isinstance(classes, bool) else None, distils)


def _checked(file: str, values: Values) -> DetectorSection:
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        raise UsageError(f"{file}: its {where or 'model'} became {first['input']!r}, and {first['msg']}.") from error


def read_distillation(path: Path) -> Values:
    """The fields of a recipe's ``distillation``, of a configuration that distils.

    Raises:
        UsageError: if it does not distil, or by a method that Temper does not have.
    """
    return distillation_section(str(path), read_config(path))


def require_same_classes(student: Model, teacher: Model) -> None:
    """Refuse two models for different numbers of classes.

    Raises:
        UsageError: naming both.
    """
    if None not in (student.classes, teacher.classes) and student.classes != teacher.classes:
        raise UsageError(
            f"{student.file} is for {student.classes} classes and {teacher.file} for {teacher.classes} (num_classes). "
            "Teacher and student must know the same ones."
        )


@dataclass(frozen=True)
class Translation:
    """A recipe made of configurations.

    Attributes:
        recipe: the recipe.
        notes: what is not quite the same, one sentence each, without a full stop.
    """

    recipe: Recipe
    notes: tuple[str, ...]


def translate(name: str, student: Path, slim: Path | None, data: str | None) -> Translation:
    """A whole recipe from a student's configuration.

    Args:
        name: of the run.
        student: the student's configuration; its schedule, optimizer and sizes are those of the recipe.
        slim: the configuration that distils, with the teacher in it; without one, the student's larger sister teaches.
        data: where the pictures are, in place of the configuration's ``dataset_dir``.

    Raises:
        UsageError: naming what cannot be translated.
    """
    notes: list[str] = []
    config = read_config(student)
    pupil = _model(student, config)
    if pupil.distils:
        raise UsageError(
            f"{student} distils (slim: Distill): give it with --slim, and the student's own file as --from-paddledet."
        )
    values: Values = {"name": name, "student": pupil.values}
    if slim is None:
        kept = {
            field: value for field, value in pupil.values.items() if field in ("detector", "plus", "backbone", "pixels")
        }
        # a frozen norm of fresh weights would be none at all
        fresh = {"weights": None, "backbone_norm": "train", "freeze_stages": 0}
        same = {**pupil.values, **fresh} if pupil.values["detector"] == "retinanet" else kept
        values["teacher"] = {**same, **_LARGER[pupil.values["detector"]]}
        notes.append("no teacher was named, so the student's larger sister teaches, from fresh weights")
    else:
        slim_config = read_config(slim)
        teacher = _model(slim, slim_config)
        require_same_classes(pupil, teacher)
        values["teacher"] = teacher.values
        values["distillation"] = distillation_section(str(slim), slim_config)
        _require_necks(slim, slim_config, pupil, teacher)
        if teacher.values["weights"] is not None:
            notes.append("the teacher's pretrain_weights are taken as trained (teacher.training.epochs: 0)")
        else:
            notes.append(
                f"{slim} names no pretrain_weights, so the teacher is trained first, as the student's file says"
            )
    values["data"] = {"path": data or _dataset(config, notes)}
    values["device"] = "gpu" if config.get("use_gpu") else "cpu"
    values["input"] = input_section(config, notes.append)
    values["training"] = training_section(str(student), config, notes.append)
    head = _ESNET_HEAD if pupil.values.get("backbone") == "esnet" else _HEADS[pupil.values["detector"]]
    values["export"] = export_section(str(student), config, head, notes.append)
    if pupil.classes is not None:
        notes.append(f"num_classes is {pupil.classes} there; here the classes are those of the data")
    return Translation(_recipe(student, values), tuple(notes))


def _require_necks(slim: Path, config: Values, student: Model, teacher: Model) -> None:
    necks = [dict(zip(*_checked(model.file, model.values).neck(), strict=True)) for model in (student, teacher)]
    shared = sorted(set(necks[0]) & set(necks[1]))
    require_channels(str(slim), config, [necks[0][s] for s in shared], [necks[1][s] for s in shared])


def _dataset(config: Values, notes: list[str]) -> str:
    section: Any = config.get("TrainDataset")
    folder = section.get("dataset_dir") if isinstance(section, dict) else None
    if isinstance(folder, str) and folder:
        notes.append(f"the pictures are expected in {folder}, as the file says; a folder or an archive will do")
        return folder
    notes.append("the file names no pictures: give data.path")
    return "data"


def _recipe(student: Path, values: Values) -> Recipe:
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"{student}: what became {where} is {first['input']!r}, and that is not accepted: {first['msg']}."
        ) from error
