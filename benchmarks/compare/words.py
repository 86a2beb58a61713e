"""A comparison in words and numbers as people read them, for the terminal and the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ...detection.figure_names import FIGURE_TITLES
from .disagreement import Disagreement
from .effect import Effect
from .run import Comparison, titles


@dataclass(frozen=True)
class FigureRow:
    """One figure's row of the table, every cell a text."""

    title: str
    a: str
    b: str
    change: str
    interval: str
    verdict: str
    smallest: str
    note: str


#: Of each figure that has a row: its title, its unit, and how it is written.
_SHOWN: dict[str, tuple[str, str, str]] = {
    "ap": (FIGURE_TITLES["ap"], "points", ".1f"),
    "ap_small": (FIGURE_TITLES["ap_small"], "points", ".1f"),
    "escape_rate": ("Escape rate", "%", ".1f"),
    "false_alarms": ("False alarms per picture", "", ".2f"),
    "latency": ("Median latency", "ms", ".2f"),
}


def titles_of(comparison: Comparison) -> tuple[str, str]:
    """The two sides, with the files they come from."""
    return (
        f"{titles(comparison)[0]}  ({comparison.a.candidate.bundle})",
        f"{titles(comparison)[1]}  ({comparison.b.candidate.bundle})",
    )


def figure_rows(comparison: Comparison) -> list[FigureRow]:
    """The rows of the table; a figure that both sides lack has none."""
    rows = []
    for name, (title, unit, form) in _SHOWN.items():
        effect = comparison.effects.get(name)
        if effect is None or (effect.a is None and effect.b is None):
            continue
        written = _ratio_cells(effect) if name == "latency" else _difference_cells(effect, form)
        rows.append(
            FigureRow(
                title=f"{title} [{unit}]" if unit else title,
                a=_number(effect.a, form),
                b=_number(effect.b, form),
                change=written[0],
                interval=written[1],
                verdict=effect.verdict or "–",
                smallest=written[2],
                note=effect.note,
            )
        )
    return rows


def verdict_sentences(comparison: Comparison) -> list[str]:
    """What the comparison comes to, a sentence for each of the figures that matter most."""
    sentences = []
    for name, subject, said in (
        ("ap", "B's mAP", _points),
        ("escape_rate", "B's escape rate", _points),
        ("latency", "B's median latency", _times),
    ):
        effect = comparison.effects.get(name)
        if effect is not None and effect.change is not None and effect.verdict is not None:
            sentences.append(f"{subject} is {_VERDICTS[effect.verdict]}: {said(effect)}.")
    return sentences


_VERDICTS = {
    "better": "better than A's",
    "worse": "worse than A's",
    "equivalent": "equivalent to A's",
    "no difference shown": "not shown to differ from A's",
}


def disagreement_line(one: Disagreement) -> str:
    """The picture's name and what differs on it."""
    parts = [
        _part(one.lost, "missed by B alone"),
        _part(one.gained, "missed by A alone"),
        _part(one.alarms_added, "flagged wrongly by B alone"),
        _part(one.alarms_gone, "flagged wrongly by A alone"),
    ]
    return f"{one.file}: {'; '.join(part for part in parts if part)}"


def _part(labels: Sequence[str], what: str) -> str:
    counted = ", ".join(f"{count} {label}" for label, count in Counter(labels).items())
    return f"{counted} {what}" if counted else ""


def _difference_cells(effect: Effect, form: str) -> tuple[str, str, str]:
    signed, change = f"+{form}", effect.change
    smallest = f"{effect.smallest:g}"
    if change is None:
        return "–", "–", smallest
    return format(change.value, signed), f"{change.low:{signed}} to {change.high:{signed}}", smallest


def _ratio_cells(effect: Effect) -> tuple[str, str, str]:
    change, smallest = effect.change, f"{100 * effect.smallest:g} %"
    if change is None:
        return "–", "–", smallest
    return f"× {change.value:.3f}", f"{change.low:.3f} to {change.high:.3f}", smallest


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _points(effect: Effect) -> str:
    change = effect.change
    assert change is not None
    return f"{change.value:+.1f} points ({change.low:+.1f} to {change.high:+.1f})"


def _times(effect: Effect) -> str:
    change = effect.change
    assert change is not None
    return f"× {change.value:.3f} ({change.low:.3f} to {change.high:.3f})"
