"""From a recipe's words to a detector: the closed list of detectors, and loading weights into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.errors import TemperError, UsageError, nearest
from ..weights import load_weights

if TYPE_CHECKING:
    from ..recipe_detectors import DetectorSection
    from .base import Detector


def build_detector(section: DetectorSection, labels: Sequence[str], seed: int) -> Detector:
    """Build a detector with fresh weights; the same arguments give the same weights to the bit.

    Args:
        section: the recipe's description.
        labels: class names; only their number matters here.
        seed: of the initial weights.

    Raises:
        UsageError: if the recipe names an unknown detector.
        MissingDependencyError: if Paddle is not installed.
    """
    from ..paddle_import import paddle
    from .retinanet import RetinaNet

    known = {"retinanet": RetinaNet}
    if section.detector not in known:
        raise UsageError(f"There is no detector '{section.detector}'.{nearest(section.detector, known)}")
    # Paddle numbers tensors from a global counter; starting it afresh gives them the same names in every process,
    # which the optimizer's saved state relies on
    with paddle.utils.unique_name.guard(""):
        paddle.seed(seed)
        return known[section.detector](section, len(labels))


def load_into(detector: Detector, path: Path, *, whole: bool) -> list[str]:
    """Load a weight file into a detector.

    Args:
        detector: what to fill.
        path: a .safetensors or .pdparams file.
        whole: True if every parameter must be there (a trained model); False takes what fits (a pretrained
            backbone, a head with other classes).

    Returns:
        Names of the detector's parameters that the file did not have in the right shape.

    Raises:
        TemperError: if ``whole`` and something is missing, or if nothing at all fits.
    """
    weights = load_weights(path)
    own = detector.state_dict()
    # weights of a bare backbone carry no prefix
    if not any(name.startswith("backbone.") for name in weights):
        weights = {**weights, **{f"backbone.{name}": value for name, value in weights.items()}}
    fitting: dict[str, NDArray[np.generic]] = {
        name: weights[name]
        for name, value in own.items()
        if name in weights and list(weights[name].shape) == value.shape
    }
    missing = sorted(set(own) - set(fitting))
    if not fitting or (whole and missing):
        example = missing[0] if missing else next(iter(own))
        there = f"shape {list(weights[example].shape)}" if example in weights else "nothing"
        raise TemperError(
            f"The weights {path} do not fit this detector: {len(missing)} of {len(own)} parameters differ, for example "
            f"'{example}' wants shape {own[example].shape} and the file has {there}. Use the recipe they "
            "were trained with."
        )
    assign_tensors(detector, fitting)
    return missing


def assign_tensors(detector: Detector, values: Mapping[str, NDArray[np.generic]]) -> None:
    """Give some of a detector's tensors new values; the others stay (Paddle's own loading warns of each)."""
    own = detector.state_dict()
    for name, value in values.items():
        own[name].set_value(value)
