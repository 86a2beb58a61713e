"""What int8 wins on this processor: ``python -m temper.benchmarks.int8_speed``.

The fp32 and the int8 graph of two detectors, made with Temper's own export from untrained weights (how fast a graph
is does not depend on them), run on ONNX Runtime in one process and take turns, so that whatever else the machine does
meets both alike. Told are the medians of a picture, batch 1, and how many times as fast int8 is; the spread of that
ratio over the rounds says how far it can be trusted.

Like ``distill_cost.py`` this loads Paddle, ``distill`` and ``export``, inside functions.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

LABELS = ("crazing", "inclusion", "patches", "pitted", "rolled", "scratches")
CALIBRATION_IMAGES = 8


@dataclass(frozen=True)
class Case:
    """A detector in the words of a recipe, the side of its square picture in pixels, and what int8 should win."""

    size: int
    detector: Mapping[str, Any]
    wanted: float


CASES = {
    "retinanet-r50": Case(224, {"depth": 50, "neck_channels": 256, "head_convs": 4}, 3.0),
    # the student of recipes/neu-det-cpu.yml
    "student": Case(
        128,
        {
            "depth": 18,
            "width": 0.25,
            "neck_channels": 48,
            "head_convs": 1,
            "head_norm": "level_batch",
            "strides": [8, 16, 32, 64],
            "anchor_scale": 2,
        },
        2.5,
    ),
}


@dataclass(frozen=True)
class Figures:
    """What was measured of a case.

    Attributes:
        case: its name.
        fp32_ms: median of a picture.
        int8_ms: median of a picture.
        ratio: the median over the rounds of how many times as fast int8 is.
        least: the smallest ratio of a round.
        most: the largest.
        wanted: what it should be.
    """

    case: str
    fp32_ms: float
    int8_ms: float
    ratio: float
    least: float
    most: float
    wanted: float


def make_graphs(case: Case, folder: Path) -> tuple[Path, Path]:
    """Write the fp32 and the int8 graph of a case and give their paths.

    Raises:
        MissingDependencyError: if Paddle or paddle2onnx is not installed.
    """
    from ..core.files import write_bytes
    from ..detection.decode import DecodeSettings
    from ..distill.detectors.build import build_detector
    from ..distill.detectors.normalise import normalisation_for
    from ..distill.recipe_detectors import RetinaNetSection
    from ..export.calibrate import measure_ranges
    from ..export.graph import build_graph
    from ..export.quantize import activations, cut_scores, quantize
    from ..export.stem import for_processors
    from ..export.trace import trace_network

    size = (case.size, case.size)
    settings = DecodeSettings()
    detector = build_detector(RetinaNetSection(**case.detector), LABELS, seed=1)
    fp32 = build_graph(
        trace_network(detector, size, folder),
        detector.box_coding(size),
        len(LABELS),
        size,
        "grey",
        normalisation_for("grey"),
        settings,
        LABELS,
    )
    like, pixels = for_processors(fp32)
    images = _pictures(case)
    given = [partial(images.__getitem__, row) for row in range(len(images))]
    ranges = measure_ranges(like, activations(like), given, ("min_max",))
    int8 = quantize(like, cut_scores(like, ranges["min_max"] | pixels, settings.score_floor), "cpu")
    paths = folder / "fp32.onnx", folder / "int8.onnx"
    for path, model in zip(paths, (fp32, int8), strict=True):
        write_bytes(path, model.SerializeToString())
    return paths


def _pictures(case: Case) -> np.ndarray[Any, np.dtype[np.uint8]]:
    shape = (CALIBRATION_IMAGES, case.size, case.size)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def measure(name: str, rounds: int, calls: int, threads: int | None) -> Figures:
    """Make the graphs of a case and measure them in turns.

    Args:
        name: of :data:`CASES`.
        rounds: how often both take their turn.
        calls: of a graph in a round, after one that is not counted.
        threads: of ONNX Runtime; None lets it choose.
    """
    from ..export.latency import latencies_ms

    case = CASES[name]
    with tempfile.TemporaryDirectory(prefix="temper-int8-speed-") as folder:
        graphs = make_graphs(case, Path(folder))
        slow, fast = latencies_ms(graphs, _pictures(case)[0], rounds, calls, threads)
    ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(slow, fast, strict=True)]
    return Figures(
        name,
        statistics.median(time for turn in slow for time in turn),
        statistics.median(time for turn in fast for time in turn),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        case.wanted,
    )


@click.command(help=__doc__.split("\n\n")[0])
@click.option("--case", "cases", multiple=True, type=click.Choice(list(CASES)), help="Which.  [default: both]")
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True, help="Turns of both graphs.")
@click.option("--calls", type=click.IntRange(1), default=20, show_default=True, help="Pictures in a turn.")
@click.option("--threads", type=click.IntRange(1), help="Of ONNX Runtime.  [default: it chooses]")
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="File for all figures.")
def main(cases: tuple[str, ...], rounds: int, calls: int, threads: int | None, out: Path | None) -> None:
    """Measure and tell; see the head of the file."""
    from ..core.files import write_json
    from .machine import machine_state, machine_warnings

    state = machine_state()
    for warning in machine_warnings(state):
        click.echo(f"warning: {warning}", err=True)
    found = []
    for name in cases or tuple(CASES):
        figures = measure(name, rounds, calls, threads)
        found.append(figures)
        click.echo(
            f"{name:<14} fp32 {figures.fp32_ms:7.2f} ms   int8 {figures.int8_ms:7.2f} ms   {figures.ratio:.2f} times "
            f"as fast ({figures.least:.2f} to {figures.most:.2f} over {rounds} rounds; wanted {figures.wanted:g})"
        )
    if out is not None:
        write_json(out, {"cases": list(map(asdict, found)), "machine": asdict(state), "threads": threads})


if __name__ == "__main__":
    main()
