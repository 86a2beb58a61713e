from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.benchmarks.report.curves import read_curve
from temper.benchmarks.report.training import read_moments


def write(path: Path, *entries: object) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def step(epoch: int, rate: float = 0.1, **losses: float) -> dict[str, object]:
    parts = {"losses": losses, "distillation": {"mgd": 3.0}, "total": sum(losses.values()) + 3.0}
    return {"kind": "step", "step": 1, "epoch": epoch, "learning_rate": rate, **parts}


def test_every_loss_is_a_mean_by_epoch(tmp_path: Path) -> None:
    path = write(
        tmp_path / "metrics.jsonl",
        step(1, 0.5, classification=1.0, regression=1.0),
        step(1, 0.25, classification=0.5, regression=0.5),
        {"kind": "evaluated", "step": 2, "epoch": 1, "ap": 12.5, "per_class": {"dark": 25.0, "rough": 0.0}},
        step(2, 0.1, classification=0.25, regression=0.25),
        {"kind": "evaluated", "step": 3, "epoch": 2, "ap": None, "per_class": {"dark": 5.0, "rough": None}},
    )
    curve = read_curve("distilled", path)
    assert curve.losses == {"classification": ((1, 0.75), (2, 0.25)), "regression": ((1, 0.75), (2, 0.25))}
    assert curve.distillation == {"mgd": ((1, 3.0), (2, 3.0))}
    assert curve.learning_rates == ((1, 0.375), (2, 0.1))
    assert curve.accuracies == ((1, 12.5),)
    assert curve.per_class == {"dark": ((1, 25.0), (2, 5.0)), "rough": ((1, 0.0),)}


def test_a_torn_line_and_a_missing_file_are_survived(tmp_path: Path) -> None:
    path = write(tmp_path / "metrics.jsonl", step(1, classification=1.0), {"kind": "other", "epoch": 1})
    path.write_text(path.read_text() + '{"kind": "step", "ep')
    assert read_curve("student", path).losses == {"classification": ((1, 1.0),)}
    assert read_curve("student", tmp_path / "none.jsonl").losses == {}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("losses", "distillation", "learning_rate", "ap", "per_class", "pictures")
ENTRY = st.fixed_dictionaries(
    {"kind": st.sampled_from(["step", "evaluated", "examples"]) | ANYTHING, "epoch": st.integers(0, 3) | ANYTHING},
    optional=dict.fromkeys(FIELDS, ANYTHING),
)


@given(st.lists(ENTRY | ANYTHING, max_size=5))
@settings(max_examples=80, deadline=None)
def test_no_line_breaks_the_report(tmp_path_factory: pytest.TempPathFactory, lines: list[object]) -> None:
    path = write(tmp_path_factory.mktemp("curves") / "metrics.jsonl", *lines)
    curve = read_curve("student", path)
    assert all(points for points in (*curve.losses.values(), *curve.per_class.values()))
    read_moments(path)
