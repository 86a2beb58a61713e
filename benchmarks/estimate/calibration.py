"""What the estimator was fitted to, how far off it was, and how one's own measurements put it right for a device."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from pydantic import TypeAdapter

from .roofline import Parameters

CALIBRATION_NAME = "calibration.json"
#: Logarithm of the factor that a device as a whole is off by, as a standard deviation; and what single graphs on one
#: device are off by besides. Of the fit's errors about two thirds are the device's.
_DEVICE_SPREAD, _GRAPH_SPREAD = 0.12, 0.08
#: By how much the interval's logarithm widens where the precision is another than that of the public measurements, and
#: for the share of the time that goes into layers whose operator is not known.
_OTHER_PRECISION, _UNKNOWN = 1.5, 1.0


@dataclass(frozen=True)
class Calibration:
    """The fit to public measurements.

    Attributes:
        schema_version: of the file.
        parameters: of the roofline.
        log_error_90: nine in ten of the estimates of devices or models left out were no further off, as the logarithm
            of the factor.
        median_error_percent: of the same.
        rows: how many measurements.
        precisions: of them.
    """

    schema_version: int
    parameters: Parameters
    log_error_90: float
    median_error_percent: float
    rows: int
    precisions: tuple[str, ...]


@dataclass(frozen=True)
class Correction:
    """What own measurements on a device say of its estimates.

    Attributes:
        log_factor: logarithm of measured by estimated, drawn towards 0 where there are few.
        log_spread: standard deviation that is left of the device's own error.
        graph_spread: standard deviation of what graphs on the device differ by.
        origins: the measurements, for people.
    """

    log_factor: float = 0.0
    log_spread: float = _DEVICE_SPREAD
    graph_spread: float = _GRAPH_SPREAD
    origins: tuple[str, ...] = ()


def load_calibration() -> Calibration:
    """The calibration that comes with Temper."""
    text = resources.files(__package__).joinpath(CALIBRATION_NAME).read_text(encoding="utf-8")
    return TypeAdapter(Calibration).validate_python(json.loads(text))


def correct(log_ratios: Sequence[float], origins: Sequence[str]) -> Correction:
    """What measurements say of a device, by Bayes' rule for normal errors.

    Args:
        log_ratios: logarithm of measured by estimated, of each graph measured on it.
        origins: the measurements, for people.
    """
    if not log_ratios:
        return Correction()
    mean = sum(log_ratios) / len(log_ratios)
    # measurements that contradict each other say that graphs differ by more here
    scatter = statistics.stdev(log_ratios) if len(log_ratios) > 1 else 0.0
    spread = max(_GRAPH_SPREAD, scatter)
    weight = len(log_ratios) / spread**2
    total = weight + 1 / _DEVICE_SPREAD**2
    return Correction(mean * weight / total, 1 / math.sqrt(total), spread, tuple(origins))


def log_half_width(
    calibration: Calibration, correction: Correction, precisions: Sequence[str], unknown_share: float
) -> float:
    """Half the interval of an estimate, as the logarithm of a factor.

    Args:
        calibration: the fit.
        correction: of the device.
        precisions: of the layers.
        unknown_share: of the time that goes into operators that are not known, from 0 to 1.
    """
    half = calibration.log_error_90
    # measured on the device: what is left of its own error, and what graphs differ by
    half *= math.hypot(correction.log_spread, correction.graph_spread) / math.hypot(_DEVICE_SPREAD, _GRAPH_SPREAD)
    matrix_precisions = set(precisions)
    if not matrix_precisions <= set(calibration.precisions) and not correction.origins:
        half *= _OTHER_PRECISION
    return half + _UNKNOWN * unknown_share
