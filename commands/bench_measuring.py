"""The options of ``temper bench run`` that say how work arrives, and how long and how often it is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..core.errors import UsageError

if TYPE_CHECKING:
    from ..benchmarks.measurement import BenchmarkSettings

#: As in ``benchmarks/latency_rows.py``, which costs more to import than help may take; a test holds them together.
SCENARIO_NAMES = ("single-stream", "multi-stream", "offline", "line")

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--scenario",
        "scenarios",
        multiple=True,
        type=click.Choice(SCENARIO_NAMES),
        help="How pictures arrive; several times for several.  [default: single-stream]",
    ),
    click.option(
        "--frame-rate",
        type=click.FloatRange(0, 100_000, min_open=True),
        metavar="HZ",
        help="Of a line: frames that arrive per second.",
    ),
    click.option(
        "--deadline-ms",
        type=click.FloatRange(0, 3_600_000, min_open=True),
        metavar="MS",
        help="Of a line: a result later than this after its frame arrived is a miss.  [default: one frame interval]",
    ),
    click.option(
        "--queue",
        type=click.IntRange(1, 100_000),
        help="Of a line: frames that may wait; of more the oldest is dropped, which is a miss.  [default: 4]",
    ),
    click.option(
        "--query-pictures",
        type=click.IntRange(1, 100_000),
        help="Of multi-stream: pictures in a query.  [default: 8]",
    ),
    click.option(
        "--driver",
        default="auto",
        show_default=True,
        type=click.Choice(("auto", "temper", "loadgen")),
        help="Who issues the queries; auto is MLPerf's LoadGen where it is installed, but for a line.",
    ),
    click.option(
        "--starts",
        default=10,
        show_default=True,
        type=click.IntRange(3, 100),
        help="Start each anew so often and take a turn in each process; the intervals rest on the starts.",
    ),
    click.option(
        "--seconds",
        default=3.0,
        show_default=True,
        type=click.FloatRange(0.1, 3600),
        help="Sample each at least this long, all starts together.",
    ),
    click.option(
        "--samples",
        default=100,
        show_default=True,
        type=click.IntRange(11),
        help="Sample each at least this often; p90 needs 64, p99 662, p99.9 6636.",
    ),
    click.option(
        "--time-box",
        default=60.0,
        show_default=True,
        type=click.FloatRange(0.1, 36000),
        help="Sample each no longer than this in each scenario, in seconds; starting and warming up come on top.",
    ),
    click.option(
        "--energy",
        type=click.FloatRange(1, 3600),
        metavar="SECONDS",
        help="After the latencies run each by itself for so long, and read the sensors of power and heat.",
    ),
    click.option(
        "--soak",
        type=click.IntRange(2, 10_080),
        metavar="MINUTES",
        help="After that run each on for so long: the last minute beside the first.",
    ),
)


def measuring_options(command: Command) -> Command:
    """Give a command these options; it hands them on to :func:`settings_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings_of(
    found_iou: float,
    *,
    scenarios: Sequence[str],
    frame_rate: float | None,
    deadline_ms: float | None,
    queue: int | None,
    query_pictures: int | None,
    driver: str,
    starts: int,
    seconds: float,
    samples: int,
    time_box: float,
    energy: float | None,
    soak: int | None,
) -> BenchmarkSettings:
    """What the options ask for.

    Raises:
        UsageError: if an option is missing that a scenario needs, or is given for one that is not measured.
    """
    from ..benchmarks.latency_rows import SCENARIOS
    from ..benchmarks.measurement import BenchmarkSettings, LineSettings

    chosen = tuple(scenario for scenario in SCENARIOS if scenario in (scenarios or SCENARIOS[:1]))
    if "line" not in chosen:
        given = {"--frame-rate": frame_rate, "--deadline-ms": deadline_ms, "--queue": queue}
        for option, value in given.items():
            if value is not None:
                raise UsageError(
                    f"{option} is about a line, and none is measured. Add --scenario line, or leave it out."
                )
    elif frame_rate is None:
        raise UsageError("A line needs to know how many frames arrive per second, for example --frame-rate 30.")
    if query_pictures is not None and "multi-stream" not in chosen:
        raise UsageError("--query-pictures is about multi-stream, which is not measured. Add --scenario multi-stream.")
    line = None if frame_rate is None else LineSettings(frame_rate, deadline_ms or 1000 / frame_rate, queue or 4)
    return BenchmarkSettings(
        min_seconds=seconds,
        min_samples=samples,
        max_seconds=time_box,
        rounds=starts,
        found_iou=found_iou,
        scenarios=chosen,
        driver=driver,  # type: ignore[arg-type]  # one of click's choices
        query_pictures=query_pictures or 8,
        line=line,
        energy_seconds=energy,
        soak_minutes=soak,
    )
