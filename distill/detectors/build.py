"""From a recipe's words to a detector: the closed list of detectors, and loading weights into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import TemperError, UsageError, nearest
from ..paddle_import import paddle
from ..weights import Weights, load_weights, read_labels
from .picodet import PicoDet
from .ppyoloe import PpYoloe
from .retinanet import RetinaNet

if TYPE_CHECKING:
    from ..recipe_detectors import DetectorSection
    from .base import Detector

#: Every detector, under the name a recipe calls it by; each takes its section and the number of classes.
DETECTORS: dict[str, Callable[[Any, int], Detector]] = {
    "retinanet": RetinaNet,
    "picodet": PicoDet,
    "ppyoloe": PpYoloe,
}
#: So many class names are quoted in a message.
_MOST_NAMES = 8


def build_detector(section: DetectorSection, labels: Sequence[str], seed: int) -> Detector:
    """Build a detector with fresh weights; the same arguments give the same weights to the bit.

    Args:
        section: the recipe's description.
        labels: class names; only their number matters here.
        seed: of the initial weights.

    Raises:
        UsageError: if the recipe names an unknown detector.
        MissingDependencyError: if PaddleDetection is not installed.
    """
    if section.detector not in DETECTORS:
        raise UsageError(f"There is no detector '{section.detector}'.{nearest(section.detector, DETECTORS)}")
    # Paddle numbers tensors from a global counter; starting it afresh gives them the same names in every process,
    # which the optimizer's saved state relies on
    with paddle.utils.unique_name.guard(""):
        paddle.seed(seed)
        return DETECTORS[section.detector](section, len(labels))


@dataclass(frozen=True)
class LoadReport:
    """What came of loading weights.

    Attributes:
        missing: names of the detector's tensors that the file did not have in the right shape, or for other classes.
        other_classes: a sentence if the file tells other classes apart; empty if not, or if it does not say.
    """

    missing: tuple[str, ...]
    other_classes: str


def load_into(detector: Detector, path: Path, *, whole: bool, labels: Sequence[str] = ()) -> LoadReport:
    """Load a weight file into a detector.

    Args:
        detector: what to fill.
        path: a .safetensors or .pdparams file.
        whole: True if every tensor must be there, for these very classes (a trained model); False takes what fits (a
            pretrained backbone, a head with other classes).
        labels: class names of the data; none given means that only their number is compared.

    Raises:
        TemperError: if ``whole`` and something is missing or meant for other classes, or if nothing at all fits.
    """
    weights = load_weights(path)
    own = detector.state_dict()
    # weights of a bare backbone carry no prefix
    if not any(name.startswith("backbone.") for name in weights):
        weights = {**weights, **{f"backbone.{name}": value for name, value in weights.items()}}
    difference = _class_difference(detector, weights, read_labels(path), labels)
    if difference and whole:
        raise TemperError(f"The weights {path} {difference} Use the recipe and the data they were trained with.")
    fitting: dict[str, NDArray[np.generic]] = {
        name: weights[name]
        for name, value in own.items()
        if name in weights
        and list(weights[name].shape) == value.shape
        and not (difference and name in detector.class_tensors)
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
    return LoadReport(tuple(missing), f"The weights {path} {difference}" if difference else "")


def _class_difference(
    detector: Detector, weights: Weights, known: tuple[str, ...] | None, labels: Sequence[str]
) -> str:
    """How the classes of a weight file differ from the data's, as the rest of a sentence; empty if they do not."""
    if known is not None and labels:
        if known == tuple(labels):
            return ""
        return f"tell the classes {_names(known)} apart, and the data has {_names(labels)}, in this order."
    for name, other_rows in detector.class_tensors.items():
        if name in weights and weights[name].ndim:
            per_class = (detector.state_dict()[name].shape[0] - other_rows) // detector.classes
            count = (weights[name].shape[0] - other_rows) / per_class
            if count != detector.classes:
                data = f"{detector.classes}{f' ({_names(labels)})' if labels else ''}"
                return f"tell {count:g} classes apart, and the data has {data}."
            return ""
    return ""


def _names(labels: Sequence[str]) -> str:
    rest = f" and {len(labels) - _MOST_NAMES} more" if len(labels) > _MOST_NAMES else ""
    return ", ".join(labels[:_MOST_NAMES]) + rest


def assign_tensors(detector: Detector, values: Mapping[str, NDArray[np.generic]]) -> None:
    """Give some of a detector's tensors new values; the others stay (Paddle's own loading warns of each)."""
    own = detector.state_dict()
    for name, value in values.items():
        # as the tensor has it: files hold half precision, doubles, or another byte order as well
        kind = np.dtype(str(own[name].dtype).rpartition(".")[2])
        own[name].set_value(np.ascontiguousarray(value, kind))
