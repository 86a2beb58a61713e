"""What a reader of the report should know before believing it, in sentences computed from what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...core.models import in_sentence
from ...detection.figure_names import USEFUL_AP
from ..measurement import BenchmarkRow
from .curves import read_entries
from .results import Result, leading
from .training import TrainingFiles

#: Share of the trained model's detections that a graph of lower precision should give, too.
FEW_MATCHED = 0.5


def sentences_of_care(
    results: Sequence[Result],
    benchmark: BenchmarkRow,
    trainings: Mapping[str, TrainingFiles],
    titles: Mapping[str, str],
) -> list[str]:
    """All that spoils or limits the figures: of the measuring, the models, their graphs and their trainings.

    Args:
        results: of one benchmark, not empty.
        benchmark: its first row.
        trainings: what the trainings left, by role.
        titles: of the roles.
    """
    return [
        *benchmark.warnings,
        *_useless_models(results),
        *_weak_teacher(results),
        *_trained_once(results),
        *_own_validation(results, benchmark, bool(trainings)),
        *_unlike_graphs(results, benchmark),
        *_left_out_graphs(results, benchmark),
        *_training_warnings(trainings, titles),
    ]


def _useless_models(results: Sequence[Result]) -> list[str]:
    judged = [result.figures.ap for result in results if result.figures and result.figures.ap is not None]
    if not judged or max(judged) >= USEFUL_AP:
        return []
    return [
        f"No model detects usefully: the highest mAP is {max(judged):.1f} of 100, so what is said of accuracy means "
        "nothing yet. Train for longer."
    ]


def _weak_teacher(results: Sequence[Result]) -> list[str]:
    points: dict[str, float] = {}
    for result in leading(results):  # fp32 first, which the summary speaks of as well
        if result.figures and result.figures.ap is not None:
            points.setdefault(result.subject.role, result.figures.ap)
    if not {"teacher", "student", "distilled"} <= points.keys() or points["teacher"] > points["student"]:
        return []
    return [
        f"The teacher ({points['teacher']:.1f} mAP) is not better than the student alone "
        f"({points['student']:.1f} mAP), so there was little to learn from it. Train it longer, or choose a larger one."
    ]


def _trained_once(results: Sequence[Result]) -> list[str]:
    roles = {result.subject.role for result in results if result.figures}
    if not {"student", "distilled"} <= roles:
        return []
    return [
        "Each model was trained once. Another seed moves mAP by points, on small data by as much as distilling does: "
        "'temper distill compare' trains over several seeds and gives the spread."
    ]


def _own_validation(results: Sequence[Result], benchmark: BenchmarkRow, of_a_run: bool) -> list[str]:
    if not benchmark.data.endswith("/val") or not any(result.line for result in results):
        return []
    these = (
        "The export chose its thresholds on these very pictures, so"
        if of_a_run
        else "The export chose its thresholds on validation pictures, and if these are they,"
    )
    option = "--set benchmark.split=test" if of_a_run else "--split test"
    return [
        f"{these} what escapes and what is flagged on new steel is likely more: judge on pictures that nothing was "
        f"chosen on, where there is a test split with {option}."
    ]


def _unlike_graphs(results: Sequence[Result], benchmark: BenchmarkRow) -> list[str]:
    titles = {result.subject.model: result.title for result in results}
    return [
        f"The {variant.name} graph of the {in_sentence(titles[manifest.name])} gives only "
        f"{variant.parity.matched_share:.0%} of the trained model's detections at the same place (IoU 0.95): judge it "
        "by its own mAP and pictures."
        for manifest in (entry.manifest for entry in benchmark.bundles)
        for variant in manifest.variants
        if manifest.name in titles and variant.parity is not None and variant.parity.matched_share < FEW_MATCHED
    ]


def _left_out_graphs(results: Sequence[Result], benchmark: BenchmarkRow) -> list[str]:
    titles = {result.subject.model: result.title for result in results}
    return [
        f"The {in_sentence(titles[manifest.name])} has no {left_out.name} graph: {left_out.reason}."
        for manifest in (entry.manifest for entry in benchmark.bundles)
        for left_out in manifest.left_out
        if manifest.name in titles
    ]


def _training_warnings(trainings: Mapping[str, TrainingFiles], titles: Mapping[str, str]) -> list[str]:
    return [
        f"Training of the {in_sentence(titles[role])}, epoch {entry.get('epoch')}: {entry['message']}"
        for role, files in trainings.items()
        if role in titles
        for entry in read_entries(files.metrics)
        if entry.get("kind") == "warning" and isinstance(entry.get("message"), str)
    ]
