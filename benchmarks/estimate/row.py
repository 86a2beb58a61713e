"""One estimate: what a device that nobody has measured is reckoned to do with one graph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from ..row_lines import read_row_lines
from ..subject import STRICT, Subject

ESTIMATES_NAME = "estimates.jsonl"


@dataclass(frozen=True)
class EstimateRow:
    """One line of ``estimates.jsonl``.

    Attributes:
        subject: model, role, variant, precision, and the runtime that is assumed: ``tensorrt`` for GPUs,
            ``onnxruntime`` for CPUs.
        manifest_sha256: of the bundle.
        device: its key in the device table.
        device_name: how people call it.
        power_mode: of the device.
        watts: what the maker says the mode allows; None where that is not known.
        batch: pictures per call.
        latency_ms: median of a single stream, of a call of ``batch`` pictures.
        interval_ms: lower and upper end, by the estimator's own error on devices and models it had not seen.
        memory_mib: that the graph needs.
        device_memory_mib: that the device has.
        fits: whether it does.
        bound: where most of the time goes.
        unknown_operators: that the estimator counts as bandwidth.
        recalibrated_by: own measurements that the estimate was scaled by.
        watts_of: what ``watts`` are of: a module without its carrier, or a board without the PC around it.
    """

    __pydantic_config__ = STRICT

    subject: Subject
    manifest_sha256: str
    device: str
    device_name: str
    power_mode: str
    watts: float | None
    batch: int
    latency_ms: float
    interval_ms: tuple[float, float]
    memory_mib: float
    device_memory_mib: float
    fits: bool
    bound: Literal["compute", "bandwidth", "launch"]
    unknown_operators: tuple[str, ...] = ()
    recalibrated_by: tuple[str, ...] = ()
    watts_of: Literal["module", "board"] = "board"
    row: Literal["estimate"] = "estimate"
    kind: Literal["estimated"] = "estimated"

    def __post_init__(self) -> None:
        low, high = self.interval_ms
        if not 0 < low <= self.latency_ms <= high or self.batch < 1:
            raise ValueError("latency_ms lies within interval_ms, all above 0, and batch is at least 1")


def read_estimates(path: Path) -> list[EstimateRow]:
    """Read a file of estimates, one JSON object a line.

    Raises:
        UsageError: if there is none.
        TemperError: naming file and line if it is damaged.
    """
    missing = f"There are no estimates at {path}. Make them with 'temper estimate --out DIR'."
    return read_row_lines(path, _adapter().validate_python, missing=missing, again="Estimate again.")


@cache
def _adapter() -> TypeAdapter[EstimateRow]:
    return TypeAdapter(EstimateRow)
