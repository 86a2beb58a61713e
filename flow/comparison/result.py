"""What a comparison found: every figure as mean and spread over the seeds, as JSON and as a Markdown page."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...core.files import write_json, write_text
from ...detection.figure_names import FIGURE_TITLES
from ...distill.recipe import Recipe
from ..progress import duration, titles_of

PAGE_NAME, FIGURES_NAME = "result.md", "result.json"


@dataclass(frozen=True)
class Training:
    """One training of the comparison.

    Attributes:
        model: teacher, student, distilled, or the name of another way.
        seed: of the training.
        record: what it left, see ``distill.training.job.TrainingRecord``.
    """

    model: str
    seed: int
    record: Mapping[str, Any]

    def figure(self, name: str) -> float | None:
        """One of COCO's figures, or a class's AP, in points; None where it is not defined."""
        accuracy = self.record["accuracy"]
        value = accuracy["per_class"].get(name) if name not in FIGURE_TITLES else accuracy[name]
        return None if value is None else float(value)


@dataclass(frozen=True)
class Spread:
    """A figure over seeds.

    Attributes:
        mean: over the seeds for which it is defined.
        deviation: sample standard deviation (n - 1); None for fewer than two.
        lowest: of the seeds.
        highest: of the seeds.
        count: of the seeds.
    """

    mean: float
    deviation: float | None
    lowest: float
    highest: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.1f}" if self.deviation is None else f"{self.mean:.1f} ± {self.deviation:.1f}"


def spread(values: Iterable[float | None]) -> Spread | None:
    """Mean and spread; None where no value is defined."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    deviation = statistics.stdev(known) if len(known) > 1 else None
    return Spread(statistics.fmean(known), deviation, min(known), max(known), len(known))


def differences(trainings: Sequence[Training], model: str, other: str, figure: str = "ap") -> list[float]:
    """How far ``model`` is above ``other``, in points, at each seed that both have.

    A teacher that was trained once has taught at all seeds, and stands at each of them.
    """
    values = {(one.model, one.seed): one.figure(figure) for one in trainings}
    teachers = [one.figure(figure) for one in trainings if one.model == other == "teacher"]
    only = teachers[0] if len(teachers) == 1 else None
    pairs = [(values.get((model, seed)), values.get((other, seed), only)) for seed in seeds_of(trainings)]
    return [own - reference for own, reference in pairs if own is not None and reference is not None]


def seeds_of(trainings: Sequence[Training]) -> list[int]:
    """The seeds, in their order."""
    return list(dict.fromkeys(one.seed for one in trainings))


def titles(recipe: Recipe, trainings: Sequence[Training]) -> dict[str, str]:
    """The title of each model; another way's is its name."""
    own = titles_of(recipe)
    return {one.model: own.get(one.model, one.model) for one in trainings}


def write_results(folder: Path, recipe: Recipe, seeds: Sequence[int], trainings: Sequence[Training]) -> None:
    """Write ``result.json`` and ``result.md`` into a comparison's folder.

    Args:
        folder: of the comparison.
        recipe: of its teacher, student and first way.
        seeds: that were asked for.
        trainings: those that are done.
    """
    write_json(
        folder / FIGURES_NAME,
        {"recipe": recipe.name, "seeds": list(seeds), "trainings": [asdict(t) for t in trainings]},
    )
    write_text(folder / PAGE_NAME, page(recipe, seeds, trainings))


def page(recipe: Recipe, seeds: Sequence[int], trainings: Sequence[Training]) -> str:
    """The Markdown page."""
    done = seeds_of(trainings)
    names = titles(recipe, trainings)
    classes = list(trainings[0].record["accuracy"]["per_class"])
    lines = [
        f"# {recipe.name}: teacher, student and ways to teach it",
        "",
        f"{len(done)} of {len(seeds)} seeds ({', '.join(map(str, done))}); points from 0 to 100 on the validation "
        "pictures; mean ± sample standard deviation over the seeds.",
        "",
        *verdicts(names, trainings),
        "",
        *_table(["", *FIGURE_TITLES.values(), "Above the student alone", "Took"], main_rows(names, trainings)),
        "",
        "AP of each class:",
        "",
        *_table(["", *classes], [[t, *(_cell(trainings, m, c) for c in classes)] for m, t in names.items()]),
        "",
        "mAP of each seed:",
        "",
        *_table(["", *(f"seed {seed}" for seed in done)], [[t, *_by_seed(trainings, m)] for m, t in names.items()]),
        "",
    ]
    return "\n".join(lines)


def main_rows(names: Mapping[str, str], trainings: Sequence[Training]) -> list[list[str]]:
    """One row of texts per model: its figures, its lead over the student alone, and the time of one training."""
    rows = []
    for model, title in names.items():
        seconds = statistics.fmean(one.record["seconds"] for one in trainings if one.model == model)
        lead = "" if model in ("teacher", "student") else _lead(differences(trainings, model, "student"))
        rows.append([title, *(_cell(trainings, model, figure) for figure in FIGURE_TITLES), lead, duration(seconds)])
    return rows


def verdicts(names: Mapping[str, str], trainings: Sequence[Training]) -> list[str]:
    """For every way to teach, in a sentence, whether it helped, and how the student stands to its teacher."""
    lines = []
    for model, title in names.items():
        gaps = differences(trainings, model, "student")
        if model in ("teacher", "student") or not gaps:
            continue
        helped = sum(gap > 0 for gap in gaps)
        behind = differences(trainings, model, "teacher")
        teacher = f" Against its teacher: {_lead(behind)}." if behind else ""
        lines.append(
            f"- **{title}**: {_lead(gaps)} points of mAP against the student alone, above it in {helped} of "
            f"{len(gaps)} seeds.{teacher}"
        )
    return lines


def _lead(gaps: Sequence[float]) -> str:
    found = spread(gaps)
    if found is None:
        return "–"
    return (
        f"{found.mean:+.1f}" if found.count == 1 else f"{found.mean:+.1f} ({found.lowest:+.1f} to {found.highest:+.1f})"
    )


def _cell(trainings: Sequence[Training], model: str, figure: str) -> str:
    found = spread(one.figure(figure) for one in trainings if one.model == model)
    return "–" if found is None else str(found)


def _by_seed(trainings: Sequence[Training], model: str) -> list[str]:
    values = {one.seed: one.figure("ap") for one in trainings if one.model == model}
    return ["–" if (value := values.get(seed)) is None else f"{value:.1f}" for seed in seeds_of(trainings)]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    marks = ["---", *["---:"] * (len(heads) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (heads, marks, *rows)]
