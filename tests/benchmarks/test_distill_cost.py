from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from temper.benchmarks.distill_cost import measure_case, side_environment
from temper.benchmarks.distill_cost_cases import Case, case_named
from temper.benchmarks.distill_cost_figures import SIDES, TARGETS, Measured, print_case, ratios
from temper.distill.recipe_detectors import RetinaNetSection
from temper.distill.recipe_distillation import MgdSection
from temper.distill.recipe_file import read_recipe
from temper.distill.recipe_training import TrainingSection


def measured(**sides: tuple[float, float]) -> dict[str, Measured]:
    """Two rounds per side, the second one slowed by the machine to three times as long."""
    found = {side: Measured(SIDES[side], [ms, 3 * ms], [ms, ms], None, mib) for side, (ms, mib) in sides.items()}
    if "c" in found:
        found["c"].filling_ms_per_picture = 240.0
    return found


def test_ratios_are_taken_within_each_round() -> None:
    figures = ratios(measured(a=(100.0, 1000.0), b0=(660.0, 1500.0), c=(110.0, 1100.0)), epochs=24)
    assert figures["c_over_a"] == pytest.approx(1.1)
    # 10 ms of filling per image and epoch, on 110 of 100 and on 330 of 300
    assert figures["c_over_a_with_filling"] == pytest.approx((1.2 + 340 / 300) / 2)
    assert figures["b0_over_c"] == pytest.approx(6.0)
    assert figures["memory_c_over_a"] == pytest.approx(1.1)
    assert "a0_over_a" not in figures


def test_tables_say_what_was_met_and_what_was_missed(capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(a=(100.0, 1000.0), b0=(300.0, 1500.0), c=(110.0, 1300.0))
    print_case("a case", found, ratios(found, 24), 24)
    words = capsys.readouterr().out
    assert "Filling: 240 ms per picture" in words
    assert words.count("met") >= 2 and words.count("missed") == 2
    assert set(ratios(found, 24)) >= set(TARGETS)


def test_as_it_comes_means_without_our_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert "OMP_NUM_THREADS" not in side_environment(ours=False)
    assert side_environment(ours=True)["OMP_NUM_THREADS"] != "7"


def test_help_needs_no_paddle() -> None:
    code = "import sys; sys.argv = ['x', '--help']\nimport runpy\n"
    code += "try: runpy.run_module('temper.benchmarks.distill_cost', run_name='__main__')\n"
    code += "except SystemExit: assert 'paddle' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0 and "--rounds" in done.stdout, done.stderr


def test_the_large_case_is_the_one_that_has_targets() -> None:
    case = case_named("retinanet")
    assert (case.teacher["depth"], case.student["depth"], case.size) == (101, 50, 224)


def test_the_small_case_is_the_recipes(root: Path) -> None:
    case, recipe = case_named("small"), read_recipe(root / "recipes/neu-det-cpu.yml", environment={})
    assert (case.size, case.channels) == (recipe.input.width, recipe.input.channels)
    assert RetinaNetSection.model_validate(case.teacher) == recipe.teacher
    assert RetinaNetSection.model_validate(case.student) == recipe.student
    assert TrainingSection.model_validate(case.training) == recipe.training
    assert MgdSection.model_validate(case.mgd) == recipe.distillation.mgd


@pytest.mark.slow
def test_every_kind_of_side_is_measured() -> None:
    pytest.importorskip("paddle", reason="it is training that is measured")
    tiny = {"depth": 18, "width": 0.25, "neck_channels": 16, "head_convs": 1, "strides": [8, 16, 32, 64]}
    training = {"batch_size": 2, "optimizer": "adamw", "learning_rate": 1e-4, "workers": 1}
    case = Case(64, "rgb", tiny, tiny, training, {"alpha": 1.0, "alpha_form": "relative"})
    told: list[str] = []
    found = measure_case(case, ["b1", "c"], rounds=2, steps=1, say=told.append)
    assert told[-1] == "Round 2 of 2"
    for side in found.values():
        assert len(side.rounds_ms) == len(side.rounds_cpu_ms) == 2 and min(side.rounds_ms) > 0
        assert side.peak_memory_mib is not None and side.peak_memory_mib > 100
    assert (found["c"].filling_ms_per_picture or 0) > 0 and found["b1"].filling_ms_per_picture is None
    assert ratios(found, 24)["b1_over_c"] > 0
