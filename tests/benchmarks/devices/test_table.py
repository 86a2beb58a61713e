from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from temper.benchmarks.devices.table import NOT_LOOKED_UP, SOURCED, find_device, load_devices, table_text
from temper.core.errors import UsageError


def test_every_device_of_the_table_has_its_sources() -> None:
    devices = load_devices()
    assert {"jetson-orin-nano-8gb", "jetson-agx-orin-64gb", "l4"} <= devices.keys()
    for device in devices.values():
        assert set(SOURCED) <= device.sources.keys()
        assert device.tops["int8"] > device.tops["fp16"] > device.tops["fp32"], device.key
        assert device.mode(None) is device.power_modes[0]


def test_tops_are_dense_and_follow_from_clock_and_multiprocessors() -> None:
    """A table that takes a sparse figure for a dense one is off by two."""
    per_clock = {"volta": 2048, "turing": 2048, "ampere": 4096, "ada": 2048, "hopper": 8192}
    halves = {"a2", "a10"}  # consumer chips of Ampere have half the matrix units of the data centre's
    for device in load_devices().values():
        operations = per_clock[device.architecture] / (2 if device.key in halves else 1)
        reckoned = device.multiprocessors * device.clock_mhz * 1e6 * operations / 1e12
        assert device.tops["int8"] == pytest.approx(reckoned, rel=0.1), device.key


def test_a_device_is_found_by_its_key_and_its_mode_by_name() -> None:
    devices = load_devices()
    assert find_device(devices, "Jetson-Orin-Nano-8GB").mode("7w").watts == 7
    near = r"no device 'jetson-orin-nan'.* Did you mean 'jetson-orin-nano-8gb'\? Or add it"
    with pytest.raises(UsageError, match=near):
        find_device(devices, "jetson-orin-nan")
    with pytest.raises(UsageError, match="has no power mode '8W'"):
        devices["jetson-orin-nano-8gb"].mode("8W")


def test_own_devices_join_the_table_and_take_the_place_of_others(tmp_path: Path) -> None:
    table = yaml.safe_load(table_text())
    mine = {**table["devices"]["l4"], "bandwidth_gb_s": 123}
    path = tmp_path / "my.yml"
    path.write_text(json.dumps({"devices": {"l4": mine, "box-7": {**mine, "name": "Box 7"}}}))  # which is YAML, too
    devices = load_devices(path)
    assert devices["l4"].bandwidth_gb_s == devices["box-7"].bandwidth_gb_s == 123
    assert devices["t4"] == load_devices()["t4"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tops": {"int8": -3, "fp16": 1, "fp32": 1}}, "line .*tops.int8 is -3"),
        ({"sources": 3}, "sources is 3; it takes a section of names, each with a text"),
        ({"bandwith_gb_s": 3}, "no field 'bandwith_gb_s' in 'devices.l4'. Did you mean 'bandwidth_gb_s'"),
        ({"bandwidth_gb_s": 0}, "devices.l4.bandwidth_gb_s is 0; it takes a number above 0 and at most 1000000"),
        ({"architecture": "foo"}, "architecture is 'foo'; it takes volta, turing, ampere, ada, hopper or blackwell"),
        ({"sources": {"tops": "a page"}}, "sources lacks bandwidth_gb_s, memory_gb"),
        ({"power_modes": [{"name": "a"}, {"name": "a"}]}, "two modes have one name"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, change: dict[str, object], message: str) -> None:
    table = yaml.safe_load(table_text())
    path = tmp_path / "my.yml"
    path.write_text(yaml.safe_dump({"devices": {"l4": {**table["devices"]["l4"], **change}}}))
    with pytest.raises(UsageError, match=message):
        load_devices(path)


def test_a_misspelt_field_is_one_mistake(tmp_path: Path) -> None:
    entry = yaml.safe_load(table_text())["devices"]["l4"]
    entry["bandwith_gb_s"] = entry.pop("bandwidth_gb_s")
    path = tmp_path / "my.yml"
    path.write_text(yaml.safe_dump({"devices": {"l4": entry}}))
    with pytest.raises(UsageError, match="no field 'bandwith_gb_s' in 'devices.l4'") as told:
        load_devices(path)
    assert "\n" not in str(told.value)


def test_power_modes_are_those_of_the_makers_own_files() -> None:
    """Clocks, memory clocks and multiprocessors that NVIDIA's nvpmodel files give each mode."""
    table = {
        ("jetson-orin-nx-16gb", "25W"): (408 / 918, 1, 8 / 8),
        ("jetson-orin-nx-16gb", "15W"): (612 / 918, 1, 4 / 8),
        ("jetson-orin-nx-16gb", "10W"): (612 / 918, 2133 / 3199, 4 / 8),
        ("jetson-orin-nano-8gb", "7W"): (408 / 625, 1, 4 / 8),
        ("jetson-orin-nano-super-8gb", "25W"): (918 / 1020, 1, 1),
        ("jetson-orin-nano-super-8gb", "15W"): (612 / 1020, 2133 / 3199, 1),
        ("jetson-agx-orin-32gb", "40W"): (816 / 930, 1, 1),
        ("jetson-agx-orin-32gb", "30W"): (612 / 930, 1, 8 / 14),
        ("jetson-agx-orin-32gb", "15W"): (408 / 930, 2133 / 3199, 6 / 14),
    }
    devices = load_devices()
    for (key, name), shares in table.items():
        mode = devices[key].mode(name)
        found = (mode.clock_share, mode.bandwidth_share, mode.multiprocessor_share)
        assert found == pytest.approx(shares, abs=0.002), (key, name)
        assert mode.watts == float(name.removesuffix("W"))


def test_only_what_nobody_found_is_not_looked_up() -> None:
    """As of 2026-11-28; who finds it, and its source, takes it out here."""
    missing = {
        (device.key, name)
        for device in load_devices().values()
        for name, source in device.sources.items()
        if NOT_LOOKED_UP in source
    }
    assert missing == {("jetson-agx-orin-32gb", "clock_mhz")}


def test_a_name_that_no_device_can_have(tmp_path: Path) -> None:
    path = tmp_path / "my.yml"
    path.write_text(json.dumps({"devices": {"Kiste 7": yaml.safe_load(table_text())["devices"]["l4"]}}))
    with pytest.raises(UsageError, match="'Kiste 7' cannot be a name in 'devices'; it takes small letters, digits"):
        load_devices(path)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no device table .* 'temper estimate --write-devices FILE'"):
        load_devices(tmp_path / "none.yml")
