"""The figures of ``distill_cost``: what was measured, its ratios, their targets, and all of it as tables."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

SIDES = {
    "a": "Temper, student alone",
    "a0": "PaddleDetection, student alone, as it comes",
    "a1": "PaddleDetection, student alone, our CPU settings",
    "b0": "PaddleDetection, MGD, as it comes",
    "b1": "PaddleDetection, MGD, our CPU settings",
    "c": "Temper, MGD, features on disk",
}


@dataclass
class Measured:
    """One side.

    Attributes:
        title: in words.
        rounds_ms: milliseconds per image, the median of each round.
        rounds_cpu_ms: processor time per image of each round, all threads together.
        filling_ms_per_picture: the teacher's time for all flips of a picture, once.
        peak_memory_mib: the most that was resident.
    """

    title: str
    rounds_ms: list[float] = field(default_factory=list)
    rounds_cpu_ms: list[float] = field(default_factory=list)
    filling_ms_per_picture: float | None = None
    peak_memory_mib: float | None = None

    @property
    def ms_per_image(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.rounds_ms)


def ratios(found: Mapping[str, Measured], epochs: int) -> dict[str, float]:
    """The figures that have a target, as far as their sides were measured.

    Times are compared round by round, and the median of those ratios is taken: what slowed a whole round meets both.
    """
    result: dict[str, float] = {}

    def add(name: str, above: str, below: str, value: Callable[[Measured, float], float] | None = None) -> None:
        if above in found and below in found:
            pairs = zip(found[above].rounds_ms, found[below].rounds_ms, strict=True)
            read = value or (lambda side, ms: ms)
            result[name] = statistics.median(read(found[above], over) / under for over, under in pairs)

    add("c_over_a", "c", "a")
    add("c_over_a_with_filling", "c", "a", lambda side, ms: ms + (side.filling_ms_per_picture or 0.0) / epochs)
    add("b0_over_c", "b0", "c")
    add("b1_over_c", "b1", "c")
    add("a0_over_a", "a0", "a")
    add("a1_over_a", "a1", "a")
    if "a" in found and "c" in found and found["a"].peak_memory_mib and found["c"].peak_memory_mib:
        result["memory_c_over_a"] = found["c"].peak_memory_mib / found["a"].peak_memory_mib
    return result


#: Figure -> (in words, target, whether more is better).
TARGETS: dict[str, tuple[str, float, bool]] = {
    "c_over_a": ("Temper's MGD, features there / student alone", 1.12, False),
    "c_over_a_with_filling": ("the same, the filling counted", 1.25, False),
    "b0_over_c": ("PaddleDetection's MGD as it comes / Temper's MGD", 5.0, True),
    "memory_c_over_a": ("peak memory, Temper's MGD / student alone", 1.2, False),
}


def print_case(title: str, found: Mapping[str, Measured], figures: Mapping[str, float], epochs: int) -> None:
    """A table of the sides and one of the figures with their targets."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    columns = ("", "side", "ms per image", "of the rounds", "CPU ms", "MiB at most")
    title = f"{title}; the filling is shared by {epochs} epochs"
    sides = Table(*columns, title=title, title_justify="left")
    for key, side in found.items():
        span = f"{min(side.rounds_ms):.0f} to {max(side.rounds_ms):.0f}"
        memory = "-" if side.peak_memory_mib is None else f"{side.peak_memory_mib:.0f}"
        cpu = f"{statistics.median(side.rounds_cpu_ms):.1f}"
        sides.add_row(key, side.title, f"{side.ms_per_image:.1f}", span, cpu, memory)
    console.print(sides)
    if "c" in found and found["c"].filling_ms_per_picture is not None:
        console.print(f"Filling: {found['c'].filling_ms_per_picture:.0f} ms per picture, all its flips together, once.")
    targets = Table("", "measured", "target", "")
    for key, (words, target, more) in TARGETS.items():
        if key in figures:
            met = figures[key] >= target if more else figures[key] <= target
            limit = f"at {'least' if more else 'most'} {target:g}"
            targets.add_row(words, f"{figures[key]:.2f}", limit, "met" if met else "missed")
    console.print(targets)
