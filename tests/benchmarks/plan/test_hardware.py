"""Plans and the device table, through stand-ins with the table's names: tests do not hang on its figures."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from plan_parts import estimate_row, write_measured
from temper.benchmarks.plan.capability import Place
from temper.benchmarks.plan.hardware import Hardware
from temper.benchmarks.plan.recipe import read_recipe
from temper.benchmarks.plan.run import make_plan
from temper.core.errors import TemperError, UsageError, nearest
from temper.detection.dataset import DataSet

LINE = {"strip_width": "0.3m", "line_speed": "1m/s", "defect": "2mm", "tile_overlap": 8, "frame_overlap": 8}


class StandInDevice(SimpleNamespace):
    """A device of the table."""

    def mode(self, name: str | None) -> SimpleNamespace:
        return SimpleNamespace(name=name or "MAXN", watts=7.0 if name == "7W" else 25.0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Puts the stand-ins in place, and keeps what the estimator was asked."""
    told: dict[str, Any] = {}
    table, estimator = ModuleType("table"), ModuleType("run")

    def find_device(devices: dict[str, Any], key: str) -> Any:
        if key not in devices:
            raise UsageError(f"There is no device '{key}'.{nearest(key, devices)}")
        return devices[key]

    def load_devices(own: Path | None) -> dict[str, Any]:
        told["own"] = own
        return {"orin": StandInDevice(key="orin", name="An Orin")}

    def estimate_bundle(bundle: Any, devices: Any, precisions: Any, batches: Any, measured: Any) -> list[Any]:
        told.update(precisions=precisions, batches=batches, measured=len(measured))
        return [
            estimate_row(bundle.path, device.key, 0.4, power_mode=mode.name, watts=mode.watts)
            for device, mode in devices
        ]

    table.find_device, table.load_devices = find_device, load_devices  # type: ignore[attr-defined]
    estimator.estimate_bundle = estimate_bundle  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "temper.benchmarks.devices.table", table)
    monkeypatch.setitem(sys.modules, "temper.benchmarks.estimate.run", estimator)
    return told


def test_devices_by_name(asked: dict[str, Any]) -> None:
    hardware = Hardware(Path("own.yml"))
    assert hardware.place("orin@7W") == Place("orin", "An Orin", "7W", 7.0)
    assert hardware.place("orin") == Place("orin", "An Orin", "MAXN", 25.0)
    assert (hardware.keys, asked["own"]) == (("orin",), Path("own.yml"))
    with pytest.raises(UsageError, match=r"There is no device 'orim'. Did you mean 'orin'\?"):
        hardware.place("orim@7W")


def test_a_plan_of_estimates_and_of_a_measured_device(
    asked: dict[str, Any], bundles: dict[str, Path], data: DataSet, tmp_path: Path
) -> None:
    folder = write_measured(tmp_path / "mine", bundles["student"], data, 0.3)
    recipe = read_recipe(
        None,
        {
            **LINE,
            "bundle": str(bundles["student"]),
            "measured": [f"{folder}=orin@7W"],
            "estimate": ["orin", "orin@7W"],
            "batch": [1, 4],
        },
    )
    plan = make_plan(recipe)
    assert asked == {"own": None, "precisions": ("fp32",), "batches": (1, 4), "measured": 1}
    found = {(one.supply.capability.kind, one.supply.capability.place) for one in plan.rows}
    assert found == {
        ("measured", Place("orin", "An Orin", "7W", 7.0)),
        ("estimated", Place("orin", "orin", "MAXN", 25.0)),
        ("estimated", Place("orin", "orin", "7W", 7.0)),
    }


def test_without_the_table_there_are_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "temper.benchmarks.devices", None)
    monkeypatch.setitem(sys.modules, "temper.benchmarks.devices.table", None)
    hardware = Hardware(None)
    assert hardware.keys == ()
    with pytest.raises(TemperError, match="comes without a table of devices; plan with --measured alone"):
        hardware.place("orin")
