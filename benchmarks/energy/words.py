"""Sentences about energy and heat: what a reader of the figures has to know of how they came about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..machine import OTHER_LOAD_LIMIT
from ..subject import Subject
from .rows import EnergyRow, SoakRow


def heat_warnings(energy: Sequence[EnergyRow], soaks: Sequence[SoakRow]) -> list[str]:
    """Throttling that was seen, candidates that slowed, soaks that were cut off, and other programs' load."""
    return list(dict.fromkeys([*_of_energy(energy), *(text for one in soaks for text in _of_soak(one))]))


def soak_sentence(row: SoakRow) -> str:
    """Whether a candidate slowed over its soak, in a sentence."""
    who = candidate_title(row.subject, row.batch)
    count = len(row.minutes)
    if count < 2 or row.slowdown is None or row.slowdown.value is None:
        return f"{who}: {count} of {row.asked_minutes} minutes were measured, so there is no last one beside the first."
    change = 100 * (row.slowdown.value - 1)
    if row.slowdown.low is None or row.slowdown.high is None:
        return f"{who}: too few calls in a minute to say whether it slowed."
    span = f"95 % interval {100 * (row.slowdown.low - 1):+.1f} to {100 * (row.slowdown.high - 1):+.1f} %"
    told = {"slowed": "it slowed", "faster": "it became faster", "no change shown": "no change is shown"}
    verdict = told[row.verdict or "no change shown"]
    return f"{who}: {verdict}; a call of minute {count} took {change:+.1f} % against the first minute ({span})."


def candidate_title(subject: Subject, batch: int) -> str:
    """How sentences call a candidate."""
    return f"{subject.model} {subject.variant} on {subject.runtime}, batch {batch}"


def _of_energy(rows: Sequence[EnergyRow]) -> Iterator[str]:
    for row in rows:
        who = candidate_title(row.subject, row.batch)
        if row.heat.throttled:
            yield (
                f"{who}: throttling was seen while its energy was measured ({row.sensor.name}: "
                f"{', '.join(row.heat.throttle_reasons)}); cool it better, or measure at a lower power mode."
            )
        if row.other_cpu_share > OTHER_LOAD_LIMIT and row.sensor.part != "gpu" and row.sensor.method is not None:
            yield (
                f"{who}: other programs used {row.other_cpu_share:.0%} of the processors while its energy was "
                "measured, and theirs is in it; stop them and measure again."
            )


def _of_soak(row: SoakRow) -> Iterator[str]:
    who = candidate_title(row.subject, row.batch)
    if not row.complete:
        yield f"{who}: its soak was cut off after {len(row.minutes)} of {row.asked_minutes} minutes."
    reasons = sorted({reason for one in row.minutes for heat in one.heat for reason in heat.throttle_reasons})
    if reasons:
        yield f"{who}: throttling was seen in its soak ({', '.join(reasons)})."
    if row.verdict == "slowed":
        yield soak_sentence(row)
    ends = (row.minutes[0], row.minutes[-1]) if row.minutes else ()
    busiest = max((one.other_cpu_share for one in ends), default=0.0)
    if busiest > OTHER_LOAD_LIMIT:
        yield (
            f"{who}: other programs used up to {busiest:.0%} of the processors in the first or last minute of its "
            "soak, so a change between them need not be its own; stop them and measure again."
        )
