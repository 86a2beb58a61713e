"""What a sweep found: a table, a Markdown page, and the recipe of the best trial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.files import write_json, write_text
from ...core.models import in_sentence
from ...detection.figure_names import FIGURE_TITLES
from ...distill.recipe import Recipe
from ...distill.recipe_template import write_recipe
from ..progress import duration, titles_of
from .space import SweptField, show_value
from .study import TrialResult

PAGE_NAME, FIGURES_NAME, BEST_NAME = "result.md", "result.json", "best.yml"


def best_of(results: Sequence[TrialResult]) -> TrialResult | None:
    """The finished trial with the highest score, the earlier one of equals; None if none is finished."""
    done = [result for result in results if result.outcome == "done" and result.score is not None]
    return max(done, key=lambda result: (result.score or 0.0, -result.place), default=None)


def ranked(results: Sequence[TrialResult]) -> list[TrialResult]:
    """Finished trials by score, then the pruned ones, then those that failed."""
    order = {"done": 0, "pruned": 1, "failed": 2}
    return sorted(results, key=lambda one: (order[one.outcome], -(one.score or 0.0), one.place))


def table_heads(space: Sequence[SweptField], metric: str) -> list[str]:
    """The heads of the columns of :func:`table_rows`."""
    fields = short_names([field.name for field in space])
    return ["Trial", *fields, *dict.fromkeys([FIGURE_TITLES[metric], "mAP", "AP50"]), "Took", ""]


def short_names(names: Sequence[str]) -> list[str]:
    """Dotted names cut to as many of their last words as tell them apart: ``alpha``; ``mgd.alpha``, ``cwd.alpha``."""
    parts = [name.split(".") for name in names]
    for words in range(1, max(map(len, parts)) + 1):
        short = [".".join(part[-words:]) for part in parts]
        if len(set(short)) == len(short):
            return short
    return list(names)


def table_rows(results: Sequence[TrialResult], space: Sequence[SweptField], metric: str) -> list[list[str]]:
    """One row of texts per trial, the best first."""
    best = best_of(results)
    return [
        [
            str(one.place),
            *(show_value(one.values[field.name]) for field in space),
            *(_points(one, key) for key in dict.fromkeys([metric, "ap", "ap50"])),
            duration(one.seconds),
            "best" if one is best else _outcome(one, metric),
        ]
        for one in ranked(results)
    ]


def write_results(
    folder: Path,
    recipe: Recipe,
    best_recipe: Recipe | None,
    space: Sequence[SweptField],
    results: Sequence[TrialResult],
    about: dict[str, Any],
) -> None:
    """Write ``result.md``, ``result.json`` and, once a trial is done, ``best.yml`` into a sweep's folder.

    Args:
        folder: of the sweep.
        recipe: that was swept.
        best_recipe: the same with the best trial's values.
        space: what was varied.
        results: of the trials so far.
        about: the sweep's settings as plain values: model, metric, judged_on, seed, pruner, trials, and as "own" the
            place of the trial with the recipe's own values, if there is one.
    """
    plain = [one.to_dict() for one in results]
    write_json(folder / FIGURES_NAME, {**about, "fields": {f.name: str(f) for f in space}, "results": plain})
    if best_recipe is not None:
        write_text(folder / BEST_NAME, write_recipe(best_recipe, BEST_NAME))
    write_text(folder / PAGE_NAME, _page(folder, recipe, space, results, about))


def _page(
    folder: Path, recipe: Recipe, space: Sequence[SweptField], results: Sequence[TrialResult], about: dict[str, Any]
) -> str:
    metric = about["metric"]
    model, judged = in_sentence(titles_of(recipe)[about["model"]]), about["judged_on"]
    lines = [
        f"# {recipe.name}: sweep of the {model}",
        "",
        f"{len(results)} of {about['trials']} trials, judged by {FIGURE_TITLES[metric]} on {judged}; points from 0 to "
        f"100. Seed {about['seed']}, pruning: {about['pruner']}.",
        "",
        *(f"- `{field.name}`: {field}" for field in space),
        "",
        *_verdict(folder, results, metric, about["own"]),
        "",
        *_table(table_heads(space, metric), table_rows(results, space, metric), texts=1 + len(space)),
        "",
        "One training per trial: another seed moves mAP, too, so a small difference may be chance. "
        "The test pictures were not looked at.",
        "",
    ]
    return "\n".join(lines)


def _verdict(folder: Path, results: Sequence[TrialResult], metric: str, own: int | None) -> list[str]:
    best = best_of(results)
    if best is None:
        return ["No trial is done yet."]
    values = ", ".join(f"`{name}` {show_value(value)}" for name, value in best.values.items())
    words = f"Best: trial {best.place} with {values}: **{best.score:.1f} {FIGURE_TITLES[metric]}**"
    first = next((one for one in results if one.place == own and one.outcome == "done"), None)
    if first is best:
        words += ", the recipe's own values"
    elif first is not None and first.score is not None and best.score is not None:
        # of the rounded figures, so that the reader's own subtraction agrees
        gap = round(best.score, 1) - round(first.score, 1)
        words += f", {gap:.1f} more than with the recipe's own values (trial {own})"
    return [f"{words}. Its recipe is `{BEST_NAME}`; train it with `temper run {folder / BEST_NAME}`."]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> list[str]:
    """A Markdown table whose columns after the first ``texts`` are numbers but for the last."""
    marks = [*["---"] * texts, *["---:"] * (len(heads) - texts - 1), "---"]
    return [f"| {' | '.join(cells)} |" for cells in (heads, marks, *(map(_escaped, row) for row in rows))]


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _points(result: TrialResult, key: str) -> str:
    value = result.figures.get(key)
    return "–" if value is None else f"{value:.1f}"


def _outcome(result: TrialResult, metric: str) -> str:
    if result.outcome == "pruned":
        reached = "" if result.score is None else f" at {result.score:.1f} {FIGURE_TITLES[metric]}"
        return f"stopped after epoch {result.epoch}{reached}"
    return f"failed: {result.why}" if result.outcome == "failed" else ""
