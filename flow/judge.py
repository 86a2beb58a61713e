"""mAP of a run's trained models, still in Paddle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import TemperError
from ..core.models import MODELS
from ..detection.metrics import AccuracyFigures
from .folder import RunFolder
from .requirements import require_packages
from .stages import data_split
from .status import recipe_of, run_status
from .weights import require_as_trained


@dataclass(frozen=True)
class Judgement:
    """What one model reached.

    Attributes:
        model: teacher, student or distilled.
        data: name of the data it was judged on.
        figures: COCO figures.
    """

    model: str
    data: str
    figures: AccuracyFigures


def judge_models(path: Path, models: Sequence[str], split: str) -> list[Judgement]:
    """Judge trained models of the run in a folder.

    Args:
        path: the run's folder.
        models: which; none given means all that are trained.
        split: of the run's data.

    Raises:
        TemperError: if nothing is trained, one of the models was trained by another recipe or on other data than the
            run's now, the split is not there or has no pictures, or the recipe's device is not there.
    """
    run, recipe = RunFolder(path), recipe_of(path)
    wanted = list(models) or [model for model in MODELS if run.record(model) is not None]
    untrained = [model for model in wanted if run.record(model) is None]
    if untrained or not wanted:
        which = " and ".join(untrained) or "model"
        raise TemperError(f"No {which} is trained in {path}. Train it with 'temper run' or 'temper distill' first.")
    require_packages(wanted)
    from ..detection.decode import DecodeSettings
    from ..distill.detectors.build import build_detector, load_into
    from ..distill.detectors.normalise import normalisation_for
    from ..distill.training.evaluate import evaluate_detector
    from ..distill.training.job import WEIGHTS_NAME
    from ..distill.training.loader import PictureStore
    from ..distill.training.train import use_device

    data = data_split(recipe, run, split)
    if not len(data):
        raise TemperError(f"The split '{split}' of {path} has no pictures to judge on.")
    use_device(recipe.device)
    _require_standing(path, wanted)
    require_as_trained(run, wanted)
    store = PictureStore(data, recipe.input.rule(), recipe.input.channels)
    judged = []
    for model in dict.fromkeys(wanted):
        section = recipe.section_of(model)
        detector = build_detector(section, data.labels, recipe.seed)
        load_into(detector, run.stage(model) / WEIGHTS_NAME, whole=True, labels=data.labels)
        normalisation = normalisation_for(recipe.input.channels, section.pixel_scale)
        figures = evaluate_detector(detector, store, normalisation, DecodeSettings())
        judged.append(Judgement(model, data.name, figures))
    return judged


def _require_standing(path: Path, models: Sequence[str]) -> None:
    """Refuse weights that the run's recipe does not describe any more: they would be judged as another model."""
    standing = [status.stage for status in run_status(path) if status.state == "done"]
    outdated = [model for model in dict.fromkeys(models) if model not in standing]
    if outdated:
        others = " ".join(f"--model {model}" for model in MODELS if model in standing)
        instead = f", or judge the others with {others}" if others else ""
        raise TemperError(
            f"The {' and the '.join(outdated)} in {path} {'was' if len(outdated) == 1 else 'were'} trained by another "
            f"recipe or on other data than those of the run now. Train again with 'temper run {path}'{instead}."
        )
