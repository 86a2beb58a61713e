from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.distill.recipe import Recipe
from temper.flow.comparison.result import Training, differences, main_rows, page, spread, verdicts

RECIPE = Recipe.model_validate({"name": "steel", "data": {"synthetic": {}}, "teacher": {}, "student": {}})
NAMES = {"teacher": "Teacher", "student": "Student alone", "distilled": "MGD student", "cwd": "cwd"}


def training(model: str, seed: int, ap: float | None, seconds: float = 60) -> Training:
    figures: dict[str, Any] = dict.fromkeys(("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"), ap)
    return Training(
        model, seed, {"accuracy": {**figures, "per_class": {"dark": ap, "bright": None}}, "seconds": seconds}
    )


TRAININGS = [
    training("teacher", 1, 41.3),
    training("student", 1, 40.0),
    training("distilled", 1, 41.5),
    training("student", 2, 39.0),
    training("distilled", 2, 42.5, seconds=120),
    training("student", 3, 41.0),
    training("distilled", 3, 40.5),
]


def test_a_figure_over_seeds() -> None:
    found = spread([40.0, None, 42.0])
    assert found is not None
    assert (found.mean, found.deviation, found.count) == (41.0, pytest.approx(2**0.5), 2)
    assert str(found) == "41.0 ± 1.4"
    assert str(spread([40.0])) == "40.0", "one seed has no spread"
    assert spread([None]) is None


@given(st.lists(st.floats(0, 100), min_size=2, max_size=20))
def test_the_mean_lies_between_the_seeds(values: list[float]) -> None:
    found = spread(values)
    assert found is not None and found.deviation is not None
    assert found.lowest - 1e-9 <= found.mean <= found.highest + 1e-9
    assert 0 <= found.deviation <= found.highest - found.lowest + 1e-9


def test_models_are_compared_seed_by_seed() -> None:
    assert differences(TRAININGS, "distilled", "student") == pytest.approx([1.5, 3.5, -0.5])
    assert differences(TRAININGS, "student", "distilled") == pytest.approx([-1.5, -3.5, 0.5])
    assert differences(TRAININGS[:3] + TRAININGS[4:], "distilled", "student") == pytest.approx([1.5, -0.5]), "both"
    assert differences([training("student", 1, None), training("distilled", 1, 4.0)], "distilled", "student") == []


def test_a_teacher_of_all_seeds_stands_at_each() -> None:
    trainings = [training("teacher", 1, 26.0), *(training("distilled", s, m) for s, m in ((1, 25.0), (2, 25.4)))]
    assert differences(trainings, "distilled", "teacher") == pytest.approx([-1.0, -0.6])
    own = [*trainings, training("teacher", 2, 25.0)]
    assert differences(own, "distilled", "teacher") == pytest.approx([-1.0, 0.4]), "each its own"


def test_the_verdict_counts_the_seeds() -> None:
    (said,) = verdicts({m: NAMES[m] for m in ("teacher", "student", "distilled")}, TRAININGS)
    assert "+1.5 (-0.5 to +3.5) points of mAP against the student alone, above it in 2 of 3 seeds." in said
    assert said.endswith("Against its teacher: +0.2 (-0.8 to +1.2).")


def test_the_table() -> None:
    rows = main_rows({m: NAMES[m] for m in ("teacher", "student", "distilled")}, TRAININGS)
    assert rows[0][:2] == ["Teacher", "41.3"] and rows[0][-2:] == ["", "1 min 00 s"]
    assert rows[1][1] == "40.0 ± 1.0"
    assert rows[2][-2:] == ["+1.5 (-0.5 to +3.5)", "1 min 20 s"]


def test_the_page_of_an_unfinished_comparison() -> None:
    text = page(RECIPE, (1, 2, 3, 4), TRAININGS)
    assert "3 of 4 seeds (1, 2, 3)" in text
    assert "| MGD student | 41.5 ± 1.0 |" in text
    assert "| Student alone | 40.0 ± 1.0 | – |" in text, "a class without truth has no AP"
    assert "| Teacher | 41.3 | – | – |" in text, "one teacher for all"
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| MGD student")}
    assert widths == {10, 4, 5}
