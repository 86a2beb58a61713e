from __future__ import annotations

from dataclasses import replace

import pytest
from bench_rows import benchmark_row, figures, footprint, latency, manifest, subject
from temper.benchmarks.latency_rows import Punctuality
from temper.benchmarks.measurement import AccuracyRow, BenchmarkRow, Measurements, UnreadPicture
from temper.benchmarks.report.results import Result, collect_results
from temper.benchmarks.report.summary import summary_sentences
from temper.benchmarks.subject import Role
from temper.detection.dataset import DataSet
from temper.detection.intervals import Estimate

#: role, precision, mAP, milliseconds, megabytes
Line = tuple[Role, str, float | None, float, float]


def results(benchmark: BenchmarkRow, *lines: Line) -> list[Result]:
    subjects = [subject(role, precision) for role, precision, *_ in lines]
    return collect_results(
        Measurements(
            benchmark,
            tuple(latency(s, line[3]) for s, line in zip(subjects, lines, strict=True)),
            tuple(AccuracyRow(s, figures(line[2]), "d.json") for s, line in zip(subjects, lines, strict=True)),
            tuple(footprint(s, line[4]) for s, line in zip(subjects, lines, strict=True)),
        )
    )


@pytest.fixture
def benchmark_of(data: DataSet) -> BenchmarkRow:
    return benchmark_row(data, [manifest(role, data.labels, ["fp32", "int8"]) for role in ("student", "distilled")])


def test_a_student_of_unknown_losses_is_called_distilled(data: DataSet) -> None:
    benchmark = benchmark_row(data, [])
    found = results(benchmark, ("distilled", "fp32", 54.2, 12.0, 6.2))
    assert "the distilled student reaches 54.2 mAP" in summary_sentences(found, benchmark)[0]


def test_a_student_that_gained(benchmark_of: BenchmarkRow) -> None:
    found = results(
        benchmark_of,
        ("teacher", "fp32", 56.24, 34.0, 33.0),
        ("student", "fp32", 51.1, 12.4, 6.2),
        ("distilled", "fp32", 54.2, 12.0, 6.2),
        ("distilled", "int8", 53.9, 8.0, 1.7),
    )
    assert summary_sentences(found, benchmark_of) == [
        f"On the 6 pictures of {benchmark_of.data} the MGD student reaches 54.2 mAP, 3.1 points more than the same "
        "student trained alone (51.1) and 2.0 points less than its teacher (56.2).",
        "At fp32 it takes 12.0 ms per picture (median, from encoded picture to boxes), 2.8 times as fast as its "
        "teacher (34.0 ms); the student alone takes 12.4 ms.",
        "As int8 it takes 8.0 ms, 1.5 times as fast as at fp32 (12.0 ms), and reaches 53.9 mAP, 0.3 points less than "
        "before; its file shrinks from 6.2 MB to 1.7 MB.",
    ]


def test_a_line_has_a_sentence(benchmark_of: BenchmarkRow) -> None:
    found = results(benchmark_of, ("distilled", "fp32", 54.2, 12.0, 6.2))
    kept = Punctuality(30.0, 33.333, 4, 1000, 7, 3, Estimate(0.01, 0.0054, 0.0183))
    row = latency(found[0].subject, 15.0, scenario="line", punctuality=kept)
    both = [*found, replace(found[0], latency=row)]
    assert summary_sentences(both, benchmark_of)[-1] == (
        "On a line of 30 pictures a second with a deadline of 33.3 ms, the MGD student at fp32 misses 10 of 1000 "
        "pictures (0.54 to 1.83 % at 95 %)."
    )
    assert "12.0 ms" in summary_sentences(both, benchmark_of)[1], "the other sentences are about the first scenario"


def test_too_few_calls_for_a_median(benchmark_of: BenchmarkRow) -> None:
    found = results(
        benchmark_of,
        ("teacher", "fp32", 56.24, 34.0, 33.0),
        ("distilled", "fp32", 54.2, 12.0, 6.2),
        ("distilled", "int8", 53.9, 8.0, 1.7),
    )
    few = [replace(one, latency=latency(one.subject, 5.0, samples=9)) for one in found]
    sentences = summary_sentences(few, benchmark_of)
    assert sentences[1] == "Too few calls ended within the time box to say how long one takes."
    assert sentences[2].startswith("Of its int8 graph too few calls ended within the time box")
    only_teacher = [few[0], *found[1:]]
    assert "its teacher" not in summary_sentences(only_teacher, benchmark_of)[1]


def test_a_student_that_lost_is_told_so(benchmark_of: BenchmarkRow) -> None:
    found = results(
        benchmark_of,
        ("teacher", "fp32", 40.0, 10.0, 33.0),
        ("student", "fp32", 51.0, 20.0, 6.2),
        ("distilled", "fp32", 50.0, 20.0, 6.2),
        ("distilled", "int8", 50.04, 30.0, 7.0),
    )
    first, second, third = summary_sentences(found, benchmark_of)
    assert "1.0 point less than the same student trained alone (51.0) and 10.0 points more than its teacher" in first
    assert first.endswith("; in this run, distillation did not help.")
    assert "2.0 times as slow as its teacher (10.0 ms)" in second
    assert "1.5 times as slow as at fp32 (20.0 ms)" in third
    assert "level with before" not in third
    assert "the same as before" in third
    assert "grows from 6.2 MB to 7.0 MB" in third


def test_a_level_student_is_no_gain(benchmark_of: BenchmarkRow) -> None:
    found = results(benchmark_of, ("student", "fp32", 51.01, 20.0, 6.2), ("distilled", "fp32", 50.99, 20.0, 6.2))
    first, second, third = summary_sentences(found, benchmark_of)
    assert "level with the same student trained alone (51.0); in this run, distillation did not help." in first
    assert second.endswith("the student alone takes 20.0 ms.")
    assert third == "Its graph takes 6.2 MB on the disk."


def test_without_truth_nothing_is_claimed(benchmark_of: BenchmarkRow) -> None:
    first, _, _ = summary_sentences(results(benchmark_of, ("distilled", "fp32", None, 20.0, 6.2)), benchmark_of)
    assert "no true boxes" in first


def test_without_an_mgd_student_what_there_is_is_compared(benchmark_of: BenchmarkRow) -> None:
    found = results(benchmark_of, ("teacher", "fp32", 40.0, 100.0, 33.0), ("student", "int8", 39.0, 0.5, 6.2))
    assert summary_sentences(found, benchmark_of)[:2] == [
        f"On the 6 pictures of {benchmark_of.data} the highest mAP is 40.0, by Teacher at fp32.",
        "The fastest is Student alone at int8: 0.50 ms from encoded picture to boxes (median).",
    ]


@pytest.mark.parametrize(("other", "words"), [(10.4, "as fast as its teacher"), (20.0, "2.0 times as fast as")])
def test_small_ratios_are_not_dressed_up(benchmark_of: BenchmarkRow, other: float, words: str) -> None:
    found = results(benchmark_of, ("teacher", "fp32", 40.0, other, 1.0), ("distilled", "fp32", 39.0, 10.0, 1.0))
    assert f", {words}" in summary_sentences(found, benchmark_of)[1]


def test_rounds_that_overlap_tell_nothing(benchmark_of: BenchmarkRow) -> None:
    found = results(benchmark_of, ("distilled", "fp32", 50.0, 12.0, 6.2), ("distilled", "int8", 50.0, 10.0, 2.0))
    noisy = [replace(one, latency=replace(one.latency, round_p50_ms=(5.0, 11.0, 30.0))) for one in found]
    assert "1.2 times as fast as at fp32" in summary_sentences(found, benchmark_of)[2]
    assert (
        "on so restless a machine (the rounds overlap) neither faster nor slower than at fp32 (12.0 ms)"
        in (summary_sentences(noisy, benchmark_of)[2])
    )


def test_a_student_that_is_faster_than_its_twin_owes_it_to_no_teacher(benchmark_of: BenchmarkRow) -> None:
    found = results(benchmark_of, ("student", "fp32", 50.0, 12.0, 6.2), ("distilled", "fp32", 52.0, 10.0, 6.2))
    sentence = summary_sentences(found, benchmark_of)[1]
    assert sentence.endswith("takes 12.0 ms, and as it is the same network, the difference is no gain of distilling.")


def test_students_of_two_recipes_are_no_twins(data: DataSet) -> None:
    one, other = (manifest(role, data.labels, ["fp32"]) for role in ("student", "distilled"))
    made = other.made_by.model_copy(update={"recipe": {**other.made_by.recipe, "student": {"depth": 101}}})
    benchmark = benchmark_row(data, [one, other.model_copy(update={"made_by": made})])
    found = results(benchmark, ("student", "fp32", 60.0, 80.0, 6.2), ("distilled", "fp32", 52.0, 10.0, 60.2))
    first, second, _ = summary_sentences(found, benchmark)
    assert "less than the student trained alone (60.0)" in first
    assert second.endswith("the student alone takes 80.0 ms.")


def test_only_pictures_that_could_be_read_are_counted(benchmark_of: BenchmarkRow) -> None:
    benchmark = replace(benchmark_of, unread=[UnreadPicture("a.png", "it is empty")])
    found = results(benchmark, ("distilled", "fp32", 52.0, 10.0, 60.2))
    assert summary_sentences(found, benchmark)[0].startswith("On the 5 pictures of ")


@pytest.mark.parametrize(
    ("alone", "distilled", "words", "helped"),
    [(50.24, 50.26, "0.1 points more than", True), (50.16, 50.24, "level with", False)],
)
def test_figures_and_verdict_are_of_the_same_rounding(
    benchmark_of: BenchmarkRow, alone: float, distilled: float, words: str, helped: bool
) -> None:
    found = results(benchmark_of, ("student", "fp32", alone, 20.0, 6.2), ("distilled", "fp32", distilled, 20.0, 6.2))
    first = summary_sentences(found, benchmark_of)[0]
    assert words in first
    assert ("distillation did not help" not in first) is helped


def test_the_reference_in_paddle_is_not_taken_for_a_graph(benchmark_of: BenchmarkRow) -> None:
    found = results(benchmark_of, ("distilled", "int8", 53.9, 8.0, 1.7), ("distilled", "fp32", 54.2, 40.0, 6.2))
    paddle = [
        replace(one, subject=replace(one.subject, variant="reference", runtime="paddle"))
        if one.subject.precision == "fp32"
        else one
        for one in found
    ]
    told = " ".join(summary_sentences(paddle, benchmark_of))
    assert "53.9 mAP" in told and "8.0 ms" in told and "40.0" not in told
