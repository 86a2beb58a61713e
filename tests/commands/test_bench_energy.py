"""``--energy`` and ``--soak`` of ``temper bench run``, as this machine has them: most that test have no sensor."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path

import pytest
from temper.cli import main
from temper.commands.bench_measuring import measuring_options, settings_of
from temper.commands.bench_remote import _options
from temper.detection.dataset import save_split
from tiny_bundle import LABELS, make_tiny_bundle
from toy_data import toy_data


def test_without_any_sensor_the_benchmark_ends_well_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("temper.benchmarks.energy.processor.SYS", tmp_path / "nothing")
    save_split(replace(toy_data(tmp_path / "data" / "images", 3), labels=LABELS), tmp_path / "data", "val")
    bundle, out = make_tiny_bundle(tmp_path, name="small"), tmp_path / "out"
    quick = ["--seconds", "0.1", "--samples", "11", "--time-box", "1", "--threads", "1", "--driver", "temper"]
    quick += ["--history", "none", "--json"]
    words = ["bench", "run", bundle, "--data", tmp_path / "data", "--out", out, "--energy", 600, *quick]
    assert main([str(word) for word in words]) == 0
    told = capsys.readouterr().out
    assert "No energy and heat of what runs on onnxruntime: no sensor tells it here" in told
    rows = [json.loads(line) for line in (out / "measurements.jsonl").read_text().splitlines()]
    assert rows[0]["no_energy"].startswith("No energy and heat")
    assert rows[0]["settings"]["energy_seconds"] == 600
    assert {row["row"] for row in rows}.isdisjoint({"energy", "soak"})


@pytest.mark.parametrize(("option", "value"), [("--energy", "0"), ("--soak", "1"), ("--soak", "1.5")])
def test_lengths_that_say_nothing_are_refused(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "run", "x.temper", "--data", ".", "--out", "x", option, value]) == 2
    assert option in capsys.readouterr().err


def test_another_machine_is_told_every_option_of_the_measuring() -> None:
    @measuring_options
    def command() -> None: ...

    parameters = [name for name in inspect.signature(settings_of).parameters if name != "found_iou"]
    given: dict[str, object] = dict.fromkeys(parameters)
    given |= {"scenarios": ("single-stream",), "driver": "temper", "seconds": 1.0, "samples": 11, "time_box": 2.0}
    given |= {"energy": 30.0, "soak": 10, "found_iou": 0.5, "threads": None}
    words = " ".join(_options(given))
    assert "--energy 30.0 --soak 10" in words
    assert len(command.__click_params__) == len(parameters)  # type: ignore[attr-defined]
