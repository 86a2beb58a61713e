"""Plans with the real device table and the real estimator."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from plan_parts import write_measured
from temper.benchmarks.plan.capability import Place
from temper.benchmarks.plan.hardware import Hardware
from temper.benchmarks.plan.recipe import read_recipe
from temper.benchmarks.plan.run import Plan, make_plan
from temper.benchmarks.plan.words import row_words
from temper.benchmarks.remote.fetch import RemoteRecord
from temper.cli import main
from temper.core.errors import UsageError
from temper.detection.dataset import DataSet

LINE = {"strip_width": "0.3m", "line_speed": "1m/s", "defect": "2mm", "tile_overlap": 8, "frame_overlap": 8}
ORIN = "jetson-orin-nano-8gb"


def planned(bundle: Path, **fields: Any) -> Plan:
    return make_plan(read_recipe(None, {**LINE, "bundle": str(bundle), **fields}))


def test_devices_by_name() -> None:
    hardware = Hardware(None)
    place = hardware.place(f"{ORIN}@7W")
    assert (place.device, place.power_mode, place.watts) == (ORIN, "7W", 7.0)
    assert hardware.place(ORIN).power_mode == hardware.devices[ORIN].power_modes[0].name
    with pytest.raises(UsageError, match=r"There is no device 'jetson-orin-nan' in the table\. Did you mean"):
        hardware.place("jetson-orin-nan")
    with pytest.raises(UsageError, match="has no power mode '8W'"):
        hardware.place(f"{ORIN}@8W")


def test_a_plan_of_estimates_and_of_a_measured_device(bundles: dict[str, Path], data: DataSet, tmp_path: Path) -> None:
    folder = write_measured(tmp_path / "mine", bundles["student"], data, 0.3)
    prices = tmp_path / "prices.yml"
    prices.write_text(f"prices:\n  {ORIN}: 480\n  l4: 3000\n", encoding="utf-8")
    plan = planned(
        bundles["student"],
        measured=[f"{folder}={ORIN}@7W"],
        estimate=[ORIN, "l4"],
        batch=[1, 4],
        prices=str(prices),
    )
    found = [
        (row.supply.capability.kind, row.supply.capability.place.device, row.supply.capability.batch)
        for row in plan.rows
    ]
    assert sorted(found) == [
        ("estimated", ORIN, 1), ("estimated", ORIN, 4), ("estimated", "l4", 1), ("estimated", "l4", 4),
        ("measured", ORIN, 1),
    ]  # fmt: skip
    measured = next(row for row in plan.rows if row.supply.capability.kind == "measured")
    assert measured.supply.capability.place == Place(ORIN, "NVIDIA Jetson Orin Nano 8GB", "7W", 7.0, "module")
    assert measured.supply.cost == 480
    for row in plan.rows:
        words = row_words(row, "EUR")
        figures = [words.call, words.frame, words.devices, words.load, words.watts, words.cost, words.fastest]
        assert all(figure.startswith("~") == words.estimated for figure in figures if figure)


def test_a_host_that_was_told_its_device_is_that_device(
    bundles: dict[str, Path], data: DataSet, tmp_path: Path
) -> None:
    folder = write_measured(tmp_path / "out" / "line-3", bundles["student"], data, 0.3)
    record = RemoteRecord("job", "line-3", "user@line-3", ORIN, None, "2026-01-01T10:00:00+00:00", {})
    (folder / "remote.json").write_text(json.dumps(dataclasses.asdict(record)), encoding="utf-8")
    (row,) = planned(bundles["student"], measured=[str(tmp_path / "out")]).rows
    assert row.supply.capability.place.device == ORIN


def test_a_precision_that_the_bundle_has_no_graph_of_is_estimated(bundles: dict[str, Path]) -> None:
    plan = planned(bundles["student"], estimate=[ORIN], precision=["int8"])
    (row,) = plan.rows
    assert row.supply.capability.precision == "int8"
    assert row_words(row, "").graph == "fp32 as int8, batch 1"
    with pytest.raises(UsageError, match="has no variant 'int9'; it has fp32"):
        planned(bundles["student"], estimate=[ORIN], precision=["int9"])


def test_estimates_of_the_command_are_read(bundles: dict[str, Path], tmp_path: Path) -> None:
    assert main(["estimate", str(bundles["student"]), "--device", f"{ORIN}@7W", "--out", str(tmp_path)]) == 0
    (row,) = planned(bundles["student"], estimated=[str(tmp_path)], host_ms=0.25).rows
    written = json.loads((tmp_path / "estimates.jsonl").read_text(encoding="utf-8"))
    assert row.supply.capability.latency.median_ms == pytest.approx(written["latency_ms"] + 0.25)
    assert row.supply.capability.place.power_mode == "7W"


def test_an_unknown_device_is_told_with_the_nearest(bundles: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match=rf"Did you mean '{ORIN}'"):
        planned(bundles["student"], estimate=["jetson-orin-nano-8g"])


def test_what_was_measured_with_tensorrt_takes_the_place_of_its_estimate(
    bundles: dict[str, Path], data: DataSet, tmp_path: Path
) -> None:
    """A page must not say of one device and graph both that it was measured too slow and that it is estimated to do."""
    folder = write_measured(tmp_path / "mine", bundles["student"], data, 30.0, runtime="tensorrt")
    plan = planned(
        bundles["student"], measured=[f"{folder}={ORIN}@7W"], estimate=[f"{ORIN}@7W", f"{ORIN}@15W", "l4"], batch=[1]
    )
    found = sorted((row.supply.capability.place.power_mode, row.supply.capability.kind) for row in plan.rows)
    assert found == [("15W", "estimated"), ("72W", "estimated"), ("7W", "measured")]
    by_mode = {row.supply.capability.place.power_mode: row.supply.capability.latency for row in plan.rows}
    assert by_mode["15W"].median_ms < by_mode["7W"].median_ms, "each is held against the mode it was measured in"


@pytest.mark.parametrize(
    ("named", "doubt"),
    [(ORIN, "was measured on an x86_64 machine"), ("l4", "onnxruntime ran on the processor beside it"), (None, None)],
)
def test_a_measurement_under_another_devices_name_is_doubted(
    bundles: dict[str, Path], data: DataSet, tmp_path: Path, named: str | None, doubt: str | None
) -> None:
    folder = write_measured(tmp_path / "mine", bundles["student"], data, 0.3)
    plan = planned(bundles["student"], measured=[f"{folder}={named}" if named else str(folder)])
    said = [warning for warning in plan.warnings if "mine: It is called" in warning]
    assert (len(said) == 1 and doubt in said[0]) if doubt else not said
