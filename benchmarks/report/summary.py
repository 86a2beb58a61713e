"""What the figures say, in plain sentences computed from them."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.models import in_sentence
from ..measurement import BenchmarkRow
from .judged import graphs_first
from .latency import SPANS, one_sample
from .results import ROLE_TITLES, Result, leading

_CHANCE = "may be chance, the intervals overlap"
#: Latencies with a ratio in this range are called level.
_LEVEL = (0.95, 1.05)


def summary_sentences(results: Sequence[Result], benchmark: BenchmarkRow) -> list[str]:
    """Three sentences: how well, how fast, and what int8 changes; and a fourth where a line was measured.

    They are about the distilled student where there is one, held against the student alone and the teacher at the
    same precision; else about the best and the fastest model.

    Args:
        results: of one benchmark, not empty.
        benchmark: its first row.
    """
    same = leading(results)
    reference = _reference_results(same)
    distilled = _by_role(reference, "distilled")
    if distilled is None:
        return _without_distilled(reference, benchmark) + _line_sentence(results, reference[0])
    student, teacher = _by_role(reference, "student"), _by_role(reference, "teacher")
    return [
        _accuracy_sentence(distilled, student, teacher, benchmark),
        _latency_sentence(distilled, student, teacher, benchmark),
        _int8_sentence(distilled, same, teacher),
        *_line_sentence(results, distilled),
    ]


def _reference_results(results: Sequence[Result]) -> list[Result]:
    """One result per model: the smallest batch, and fp32 where the model has it; Paddle's where there is no other."""
    chosen: dict[str, Result] = {}
    smallest = min(result.batch for result in results)
    for result in graphs_first(results):  # sorted: fp32 comes first
        if result.batch == smallest:
            chosen.setdefault(result.subject.model, result)
    return list(chosen.values())


def _judged_on(benchmark: BenchmarkRow) -> int:
    """How many pictures the figures rest on."""
    return benchmark.images - len(benchmark.unread)


def _same_network(one: Result, other: Result, benchmark: BenchmarkRow) -> bool:
    """Whether two students have the same layers and input, by the recipes they were made with."""
    recipes = {entry.manifest.name: entry.manifest.made_by.recipe for entry in benchmark.bundles}
    mine, theirs = (recipes.get(result.subject.model, {}) for result in (one, other))
    return all(mine.get(part) == theirs.get(part) is not None for part in ("student", "input"))


def _by_role(results: Sequence[Result], role: str) -> Result | None:
    return next((result for result in results if result.subject.role == role), None)


def _accuracy_sentence(
    distilled: Result, student: Result | None, teacher: Result | None, benchmark: BenchmarkRow
) -> str:
    where = f"On the {_judged_on(benchmark)} pictures of {benchmark.data}"
    ap = _ap(distilled)
    if ap is None:
        return f"{where} there are no true boxes, so nothing can be said about accuracy."
    parts = []
    helped = None
    if student is not None and (alone := _ap(student)) is not None:
        gap = _difference(ap, alone)
        twin = "same " if _same_network(distilled, student, benchmark) else ""
        parts.append(f"{gap} the {twin}student trained alone ({_with_doubt(alone, distilled, student)})")
        helped = _rounded_gap(ap, alone) > 0
    if teacher is not None and (taught := _ap(teacher)) is not None:
        parts.append(f"{_difference(ap, taught)} its teacher ({_with_doubt(taught, distilled, teacher)})")
    sentence = f"{where} the {_name(distilled)} reaches {ap:.1f} mAP"
    if parts:
        sentence += ", " + " and ".join(parts)
    sentence += _escaping(distilled)
    return sentence + ("; in this run, distillation did not help." if helped is False else ".")


def _latency_sentence(
    distilled: Result, student: Result | None, teacher: Result | None, benchmark: BenchmarkRow
) -> str:
    own = distilled.median_ms
    if own is None:
        return "Too few calls ended within the time box to say how long one takes."
    call = one_sample(distilled, benchmark.settings.query_pictures)
    sentence = f"At {distilled.subject.precision} it takes {_ms(own)} per {call} (median, from {_span(distilled)})"
    if teacher is not None and teacher.median_ms is not None:
        sentence += f", {_speed(distilled, teacher)} its teacher ({_ms(teacher.median_ms)})"
    if student is not None and student.median_ms is not None:
        sentence += f"; the student alone takes {_ms(student.median_ms)}"
        level = _LEVEL[0] <= student.median_ms / own <= _LEVEL[1]
        if not level and _same_network(distilled, student, benchmark):
            # the same layers; its NMS has other boxes to sort, and the machine drifts
            sentence += ", and as it is the same network, the difference is no gain of distilling"
    return sentence + "."


def _int8_sentence(distilled: Result, results: Sequence[Result], teacher: Result | None) -> str:
    for result in results:
        same = result.subject.model == distilled.subject.model and result.subject.runtime == distilled.subject.runtime
        if same and result.subject.precision == "int8" and result.batch == distilled.batch and result is not distilled:
            return _quantised_sentence(distilled, result)
    if distilled.footprint is None:
        return "It was not measured as int8."
    sentence = f"Its graph takes {_megabytes(distilled)} on the disk"
    if teacher is not None and teacher.footprint is not None:
        sentence += f", its teacher's {_megabytes(teacher)}"
    return sentence + "."


def _quantised_sentence(full: Result, int8: Result) -> str:
    sentence = "Of its int8 graph too few calls ended within the time box to say how long one takes"
    if full.median_ms is not None and int8.median_ms is not None:
        sentence = (
            f"As int8 it takes {_ms(int8.median_ms)}, {_speed(int8, full)} at {full.subject.precision} "
            f"({_ms(full.median_ms)})"
        )
    ap_before, ap_after = _ap(full), _ap(int8)
    if ap_before is not None and ap_after is not None:
        difference = _difference(ap_after, ap_before).replace("level with", "the same as")
        chance = f" ({_CHANCE})" if _may_be_chance(int8, full) else ""
        sentence += f", and reaches {ap_after:.1f} mAP, {difference} before{chance}"
    if full.footprint is not None and int8.footprint is not None:
        before, after = _megabytes(full), _megabytes(int8)
        grown = int8.footprint.file_bytes > full.footprint.file_bytes
        sentence += (
            f"; its file stays at {after}"
            if before == after
            else f"; its file {'grows' if grown else 'shrinks'} from {before} to {after}"
        )
    return sentence + "."


def _without_distilled(reference: Sequence[Result], benchmark: BenchmarkRow) -> list[str]:
    where = f"On the {_judged_on(benchmark)} pictures of {benchmark.data}"
    judged = [(ap, result) for result in reference if (ap := _ap(result)) is not None]
    if judged:
        ap, best = max(judged, key=lambda pair: pair[0])
        first = f"{where} the highest mAP is {ap:.1f}, by {best.title} at {best.subject.precision}{_escaping(best)}."
    else:
        first = f"{where} there are no true boxes, so nothing can be said about accuracy."
    fastest = min(reference, key=_median)
    second = (
        f"The fastest is {fastest.title} at {fastest.subject.precision}: "
        f"{_ms(_median(fastest))} from {_span(fastest)} (median)."
        if fastest.median_ms is not None
        else "Too few calls ended within the time box to say which is the fastest."
    )
    third = "There is no distilled student among the models, so this report compares what there is."
    return [first, second, third]


def _line_sentence(results: Sequence[Result], subject: Result) -> list[str]:
    """How the graph that the sentences are about kept up with a line; nothing where none was measured."""
    for result in results:
        line = result.latency.punctuality
        if line is not None and result.subject == subject.subject and result.batch == subject.batch:
            share = line.miss_share
            who = result.title if result.title == result.subject.model else f"the {in_sentence(result.title)}"
            likely = (
                ""
                if share.low is None or share.high is None
                else f" ({100 * share.low:.2f} to {100 * share.high:.2f} % at 95 %)"
            )
            return [
                f"On a line of {line.frame_rate_hz:g} pictures a second with a deadline of {line.deadline_ms:.3g} ms, "
                f"{who} at {result.subject.precision} misses {line.late + line.dropped} of "
                f"{line.frames} pictures{likely}."
            ]
    return []


def _span(result: Result) -> str:
    return SPANS[result.latency.scenario]


def _escaping(result: Result) -> str:
    """What escapes at the bundle's thresholds, as the end of a sentence; empty where it was not measured."""
    missed = result.line.escape[None].escape if result.line else None
    if missed is None or missed.rate.value is None:
        return ""
    return f"; at its thresholds {missed.missed} of {missed.defects} defects escape ({100 * missed.rate.value:.1f} %)"


def _name(distilled: Result) -> str:
    # one of several has the model's own name for a title
    return in_sentence(distilled.title if distilled.title.endswith(" student") else ROLE_TITLES["distilled"])


def _ap(result: Result) -> float | None:
    return result.figures.ap if result.figures else None


def _difference(value: float, other: float) -> str:
    gap = _rounded_gap(value, other)
    if gap == 0:
        return "level with"
    unit = "point" if abs(gap) == 1 else "points"
    return f"{abs(gap):.1f} {unit} {'more' if gap > 0 else 'less'} than"


def _rounded_gap(value: float, other: float) -> float:
    # of the rounded figures, so that the reader's own subtraction agrees
    return round(round(value, 1) - round(other, 1), 1)


def _with_doubt(ap: float, one: Result, other: Result) -> str:
    return f"{ap:.1f}; {_CHANCE}" if _may_be_chance(one, other) else f"{ap:.1f}"


def _may_be_chance(one: Result, other: Result) -> bool:
    """Whether two mAPs that differ have intervals that overlap."""
    intervals = [result.line.precision[None].figures["ap"] for result in (one, other) if result.line]
    if _ap(one) is None or round(_ap(one) or 0, 1) == round(_ap(other) or 0, 1) or len(intervals) < 2:
        return False
    (low, high), (least, most) = ((interval.low, interval.high) for interval in intervals)
    if low is None or high is None or least is None or most is None:
        return False
    return max(low, least) <= min(high, most)


def _speed(own: Result, other: Result) -> str:
    """How fast one is against another, up to where the other is named: "2.8 times as fast as".

    Medians whose rounds overlap say nothing about which is faster: the machine moved more between two rounds than they
    are apart.
    """
    factor = _median(other) / _median(own)
    if _LEVEL[0] <= factor <= _LEVEL[1]:
        return "as fast as"
    if _rounds_overlap(own, other):
        return "on so restless a machine (the rounds overlap) neither faster nor slower than"
    return f"{factor:.1f} times as fast as" if factor > 1 else f"{1 / factor:.1f} times as slow as"


def _median(result: Result) -> float:
    return float("inf") if result.median_ms is None else result.median_ms


def _rounds_overlap(one: Result, other: Result) -> bool:
    mine, theirs = one.latency.round_p50_ms, other.latency.round_p50_ms
    return max(min(mine), min(theirs)) <= min(max(mine), max(theirs))


def _ms(value: float) -> str:
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 1 else f"{value:.2f} ms"


def _megabytes(result: Result) -> str:
    size = (result.footprint.file_bytes if result.footprint else 0) / 1e6
    return f"{size:.0f} MB" if size >= 10 else f"{size:.1f} MB"
