#!/usr/bin/env python3
"""Fit the estimator to public MLPerf results, judge it on devices and models it has not seen, and write all of it down.

    .venv/bin/python scripts/calibrate_estimates.py

Writes benchmarks/estimate/calibration.json, docs/results/estimates.md and docs/images/estimates.png. Needs SciPy, which
training brings. Its networks come from scripts/mlperf_networks.py.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from temper.benchmarks.devices.table import Device, PowerMode, load_devices
from temper.benchmarks.estimate.roofline import Graph, Parameters, reckon
from temper.benchmarks.estimate.work import GraphWork, LayerWork
from temper.core.files import write_json, write_text

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "benchmarks" / "estimate" / "mlperf"
CALIBRATION = ROOT / "benchmarks" / "estimate" / "calibration.json"
PAGE = ROOT / "docs" / "results" / "estimates.md"
PLOT = ROOT / "docs" / "images" / "estimates.png"

HEAD = """# Estimates against measurements

What `temper estimate` says of MLPerf Inference's edge networks, against what submitters measured: every row of
[results.csv](../../benchmarks/estimate/mlperf/results.csv), single stream, int8 on TensorRT, each with the file of the
log it was read from. Nothing here was measured by Temper. `scripts/calibrate_estimates.py` made this page on
{date}; it fits the estimator's parameters to the rows, and again without each device, and again without each network.

| | median error | largest |
| --- | --- | --- |"""
TABLE_HEAD = """
![Estimated against measured latencies](../images/estimates.png)

| round | device | network | measured, ms | estimated, device not seen | error | estimated, network not seen | error |
| --- | --- | --- | --- | --- | --- | --- | --- |"""
#: How far a parameter may go from where it is by what is known of such devices: standard deviation of its logarithm.
WIDTHS = {
    "compute_efficiency": 0.15,
    "bandwidth_efficiency": 0.2,
    "kernel_us": 0.4,
    "call_us": 0.5,
    "suppression_us": 0.5,
    "suppression_passes": 0.4,
    "overlap": 0.3,
    "watts_per_tops": 0.5,
    "power_exponent": 0.5,
    "multiprocessor_gb_s": 0.4,
    "split_us": 0.3,
    "tile_exponent": 0.4,
    "older_factor": 0.3,
    "step_us": 0.6,
    "grouped_factor": 0.3,
}
#: Relative error of a measurement as another submitter or software version would repeat it.
ROW_ERROR = 0.15
START = Parameters()
CENTRE = np.log([getattr(START, name) for name in WIDTHS])
SPREAD = np.array(list(WIDTHS.values()))


@dataclass(frozen=True)
class Row:
    """One public measurement."""

    round: str
    device: Device
    mode: PowerMode
    told: str
    model: str
    p50_ms: float
    source: str


def read_rows() -> list[Row]:
    """The measurements, each with its device as it ran."""
    devices = load_devices()
    rows = []
    with (SOURCES / "results.csv").open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            device = devices[line["device"]]
            mode = device.mode(None)
            if line["clock_share"]:  # a submitter's own mode, of which the clocks are told and not the watts
                mode = PowerMode(line["power_mode"], None, float(line["clock_share"]), float(line["bandwidth_share"]))
            told = f"{device.name}{', ' + mode.name if line['clock_share'] else ''}"
            rows.append(
                Row(line["round"], device, mode, told, line["model"], float(line["p50_ms"]), line["source_path"])
            )
    return rows


def read_graphs() -> dict[str, Graph]:
    """The networks' layers."""
    plain = json.loads((SOURCES / "networks.json").read_text(encoding="utf-8"))
    return {
        name: Graph(GraphWork(**{**work, "layers": tuple(LayerWork(**layer) for layer in work["layers"])}))
        for name, work in plain.items()
    }


def parameters_of(logarithms: NDArray[np.float64]) -> Parameters:
    """Parameters by their logarithms."""
    return Parameters(**dict(zip(WIDTHS, np.exp(logarithms).tolist(), strict=True)))


def log_ratios(rows: Sequence[Row], graphs: dict[str, Graph], parameters: Parameters) -> NDArray[np.float64]:
    """Logarithm of predicted by measured."""
    found = [reckon(graphs[row.model], row.device, row.mode, parameters).latency_ms / row.p50_ms for row in rows]
    return np.log(found)


def fit(rows: Sequence[Row], graphs: dict[str, Graph]) -> Parameters:
    """The parameters that are likeliest by the rows and by what is known beforehand."""

    def residuals(logarithms: NDArray[np.float64]) -> NDArray[np.float64]:
        errors = log_ratios(rows, graphs, parameters_of(logarithms)) / ROW_ERROR
        return np.concatenate([errors, (logarithms - CENTRE) / SPREAD])

    best = least_squares(residuals, CENTRE, bounds=(CENTRE - 1.5, CENTRE + 1.5), diff_step=1e-4, xtol=1e-4, ftol=1e-4)
    return parameters_of(best.x)


def leave_out(rows: Sequence[Row], graphs: dict[str, Graph], part: Callable[[Row], str]) -> NDArray[np.float64]:
    """Each row predicted by a fit that has seen no row of its part."""
    found = np.zeros(len(rows))
    for one in sorted({part(row) for row in rows}):
        fitted = fit([row for row in rows if part(row) != one], graphs)
        places = [place for place, row in enumerate(rows) if part(row) == one]
        found[places] = log_ratios([rows[place] for place in places], graphs, fitted)
        print(f"without {one}: {', '.join(f'{np.expm1(found[place]):+.0%}' for place in places)}", flush=True)
    return found


def percent(logarithm: float) -> str:
    """Relative error, signed."""
    return f"{100 * np.expm1(logarithm):+.0f} %"


def summary(logarithms: NDArray[np.float64]) -> tuple[float, float]:
    """Median and largest of the relative errors, in percent."""
    errors = 100 * np.abs(np.expm1(logarithms))
    return float(np.median(errors)), float(errors.max())


def draw(rows: Sequence[Row], by_device: NDArray[np.float64], by_model: NDArray[np.float64]) -> None:
    """Predicted against measured."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    measured = np.array([row.p50_ms for row in rows])
    figure, axes = pyplot.subplots(figsize=(7, 6), layout="constrained")
    ends = np.array([0.2, 60])
    axes.plot(ends, ends, color="#52514e", linewidth=1)
    axes.fill_between(ends, ends / 1.4, ends * 1.4, color="#52514e", alpha=0.08, linewidth=0, label="within 40 %")
    for logarithms, colour, marker, label in (
        (by_device, "#2a78d6", "o", "the device not seen"),
        (by_model, "#eb6834", "^", "the model not seen"),
    ):
        predicted = measured * np.exp(logarithms)
        axes.scatter(measured, predicted, facecolors="none", edgecolors=colour, marker=marker, label=label)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="measured p50, ms", ylabel="estimated p50, ms")
    axes.legend(frameon=False)
    figure.savefig(PLOT, dpi=110)


def page(
    rows: Sequence[Row], seen: NDArray[np.float64], by_device: NDArray[np.float64], by_model: NDArray[np.float64]
) -> str:
    """The page of results."""
    lines = [HEAD.format(date=f"{datetime.now(timezone.utc):%Y-%m-%d}")]
    titles = ("all rows seen", "the row's device left out", "the row's network left out")
    for title, logarithms in zip(titles, (seen, by_device, by_model), strict=True):
        median, largest = summary(logarithms)
        lines.append(f"| {title} | {median:.0f} % | {largest:.0f} % |")
    lines.append(TABLE_HEAD)
    for row, device, model in zip(rows, by_device, by_model, strict=True):
        lines.append(
            f"| {row.round} | {row.told} | {row.model} | {row.p50_ms:.3g} | ~{row.p50_ms * np.exp(device):.3g} | "
            f"{percent(device)} | ~{row.p50_ms * np.exp(model):.3g} | {percent(model)} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Fit, judge, write."""
    rows, graphs = read_rows(), read_graphs()
    fitted = fit(rows, graphs)
    seen = log_ratios(rows, graphs, fitted)
    print(fitted)
    by_device = leave_out(rows, graphs, lambda row: row.device.key)
    by_model = leave_out(rows, graphs, lambda row: row.model)
    both = np.abs(np.concatenate([by_device, by_model]))
    for title, logarithms in (("seen", seen), ("device out", by_device), ("model out", by_model)):
        print(title, "median {:.1f} %, largest {:.1f} %".format(*summary(logarithms)))
    write_json(
        CALIBRATION,
        {
            "schema_version": 1,
            "parameters": {name: float(f"{value:.5g}") for name, value in dataclasses.asdict(fitted).items()},
            "log_error_90": round(float(np.quantile(both, 0.9)), 4),
            "median_error_percent": round(100 * float(np.expm1(np.median(both))), 1),
            "rows": len(rows),
            "precisions": ["int8"],
        },
    )
    draw(rows, by_device, by_model)
    write_text(PAGE, page(rows, seen, by_device, by_model))


if __name__ == "__main__":
    main()
