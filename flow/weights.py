"""Weights that a run's models start from and that lie on the network: fetched before any work begins."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.events import Event, Reporter
from ..distill.recipe import Recipe
from ..distill.recipe_detectors import DetectorSection
from ..distill.remote_weights import fetch_weights, known_sha256
from ..distill.weights_address import is_address

#: The section of the recipe that each training stage builds its model from.
_SECTIONS = {"teacher": "teacher", "student": "student", "distilled": "student"}


def fetch_unpinned(recipe: Recipe, stages: Iterable[str], report: Reporter) -> None:
    """Fetch what has to be fetched to know what it is: weights whose SHA-256 the recipe does not say.

    Raises:
        TemperError: if they cannot be had.
    """
    for name, section in _remote(recipe, stages):
        if section.weights_sha256 is None and known_sha256(str(section.weights)) is None:
            _fetch(name, section, report)


def fetch_needed(recipe: Recipe, stages: Iterable[str], report: Reporter) -> None:
    """Fetch the weights that ``stages`` will need, so that none is missed after hours of training.

    Raises:
        TemperError: if they cannot be had, or have another SHA-256 than the recipe says.
    """
    for name, section in _remote(recipe, stages):
        _fetch(name, section, report)


def _remote(recipe: Recipe, stages: Iterable[str]) -> list[tuple[str, DetectorSection]]:
    names = dict.fromkeys(_SECTIONS[stage] for stage in stages if stage in _SECTIONS)
    sections: list[tuple[str, DetectorSection]] = [(name, getattr(recipe, name)) for name in names]
    return [(name, section) for name, section in sections if section.weights and is_address(section.weights)]


def _fetch(name: str, section: DetectorSection, report: Reporter) -> None:
    def tell(message: str) -> None:
        report(Event("note", name, {"message": message}))

    fetch_weights(str(section.weights), section.weights_sha256, tell)
