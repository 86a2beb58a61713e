from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.benchmarks.report.curves import read_curve


def write(path: Path, *entries: object) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def step(epoch: int, **losses: float) -> dict[str, object]:
    distillation = {"mgd": 3.0}
    total = sum(losses.values()) + 3.0
    return {"kind": "step", "step": 1, "epoch": epoch, "losses": losses, "distillation": distillation, "total": total}


def test_losses_are_the_detectors_own_mean_by_epoch(tmp_path: Path) -> None:
    path = write(
        tmp_path / "metrics.jsonl",
        step(1, classification=1.0, regression=1.0),
        step(1, classification=0.5, regression=0.5),
        {"kind": "evaluated", "step": 2, "epoch": 1, "ap": 12.5, "ap50": 20.0},
        step(2, classification=0.25, regression=0.25),
        {"kind": "evaluated", "step": 3, "epoch": 2, "ap": None},
    )
    curve = read_curve("distilled", path)
    assert curve.losses == ((1, 1.5), (2, 0.5))
    assert curve.accuracies == ((1, 12.5),)


def test_a_torn_line_and_a_missing_file_are_survived(tmp_path: Path) -> None:
    path = write(tmp_path / "metrics.jsonl", step(1, classification=1.0), {"kind": "other", "epoch": 1})
    path.write_text(path.read_text() + '{"kind": "step", "ep')
    assert read_curve("student", path).losses == ((1, 1.0),)
    assert read_curve("student", tmp_path / "none.jsonl").losses == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "epoch", "ap", "losses", "total"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.lists(JSON, max_size=6))
@settings(max_examples=60, deadline=None)
def test_no_line_breaks_the_report(tmp_path_factory: pytest.TempPathFactory, lines: list[object]) -> None:
    read_curve("student", write(tmp_path_factory.mktemp("curves") / "metrics.jsonl", *lines))
