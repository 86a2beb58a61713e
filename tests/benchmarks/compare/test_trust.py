"""The short form of ``scripts/compare_trust.py``: real processes, one of them really slower."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from temper.benchmarks.compare.effect import Effect
from temper.benchmarks.compare.latency import LatencySettings
from temper.benchmarks.compare.run import ComparisonSettings
from temper.benchmarks.compare.side import Defaults
from temper.detection.dataset import DataSet


@pytest.fixture(scope="module")
def trust(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare_trust", root / "scripts" / "compare_trust.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["compare_trust"] = module
    spec.loader.exec_module(module)
    return module


def compare(trust: ModuleType, bundle: Path, data: DataSet, level: float, slowed: float) -> Effect:
    settings = ComparisonSettings(parts=("latency",), level=level, latency=LatencySettings.quick(level))
    effect: Effect = trust.compare_once(str(bundle), Defaults(threads=1), data, settings, slowed)
    return effect


def test_a_bundle_is_not_slower_than_itself(trust: ModuleType, bundles: dict[str, Path], data: DataSet) -> None:
    effect = compare(trust, bundles["teacher"], data, 0.001, 0.0)
    assert effect.verdict in ("equivalent", "no difference shown")
    assert effect.change is not None
    assert effect.change.low <= 1 <= effect.change.high


def test_a_copy_that_takes_twice_as_long_is_worse(trust: ModuleType, bundles: dict[str, Path], data: DataSet) -> None:
    """Twice, not a tenth more, so that the test holds on a machine that is busy with the other tests."""
    effect = compare(trust, bundles["teacher"], data, 0.05, 1.0)
    assert effect.verdict == "worse"
    assert effect.change is not None
    assert 1.4 < effect.change.value < 3


def test_the_table_counts_what_was_right(trust: ModuleType) -> None:
    from temper.benchmarks.compare.effect import Interval

    right = Effect(1.0, 1.1, Interval(1.1, 1.06, 1.13), 0.02, "less", "worse")
    wrong = replace(right, change=Interval(1.08, 0.99, 1.2), verdict="no difference shown")
    assert trust.table({"slowed": (right, wrong)}, {"slowed": ("worse",)})[-1] == (
        "| slowed | 1 of 2 | 1.080 to 1.100 | 0.990 to 1.200 |"
    )
