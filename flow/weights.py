"""The weights that a run's models start from: at hand and readable before any work begins."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..core.errors import TemperError
from ..core.events import Event, Reporter
from ..core.files import explain_os_errors, sha256_file
from ..core.models import MODELS
from ..distill.recipe import Recipe
from ..distill.recipe_detectors import DetectorSection
from ..distill.remote_weights import known_sha256, local_weights
from ..distill.weights import load_weights
from ..distill.weights_address import is_address
from .folder import RunFolder


def fetch_unpinned(recipe: Recipe, stages: Iterable[str], report: Reporter) -> None:
    """Fetch what has to be fetched to know what it is: weights whose SHA-256 the recipe does not say.

    Raises:
        TemperError: if they cannot be had.
    """
    for model, section in _models(recipe, stages):
        weights = str(section.weights)
        if is_address(weights) and section.weights_sha256 is None and known_sha256(weights) is None:
            _at_hand(model, section, report)


def require_weights(recipe: Recipe, stages: Iterable[str], report: Reporter) -> None:
    """Fetch and read what trainings start from, before hours of work lead up to a file that is not one.

    Raises:
        TemperError: if it cannot be had or read, or has another SHA-256 than the recipe says.
    """
    for model, section in _models(recipe, stages):
        load_weights(_at_hand(model, section, report))


def require_as_trained(run: RunFolder, models: Iterable[str]) -> None:
    """Refuse trained weights that are not what the training wrote, before anything is made of them.

    Args:
        run: whose models of these are trained.
        models: teacher, student or distilled.

    Raises:
        TemperError: naming the first file that was damaged or replaced.
    """
    from ..distill.training.job import WEIGHTS_NAME

    for model in models:
        record, weights = run.record(model), run.stage(model) / WEIGHTS_NAME
        if record is None or WEIGHTS_NAME not in record.files:
            continue
        with explain_os_errors(weights):
            same = sha256_file(weights) == record.result["weights_sha256"]
        if not same:
            raise TemperError(
                f"The weights {weights} are not those that the training wrote: they were damaged or replaced since. "
                f"Put them back, or train again with 'temper run {run.path} --again {model}'."
            )


def _models(recipe: Recipe, stages: Iterable[str]) -> list[tuple[str, DetectorSection]]:
    """The models among the stages that start from weights, each file or address once."""
    wanted = set(stages)
    found: dict[str, tuple[str, DetectorSection]] = {}
    for model in MODELS:
        section = recipe.section_of(model)
        if model in wanted and section.weights:
            found.setdefault(section.weights, (model, section))
    return list(found.values())


def _at_hand(model: str, section: DetectorSection, report: Reporter) -> Path:
    def tell(message: str) -> None:
        report(Event("note", model, {"message": message}))

    return local_weights(str(section.weights), section.weights_sha256, tell)
