from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.benchmarks.plan.measured import measured_folders, shortest_names
from temper.benchmarks.remote.fetch import RemoteRecord
from temper.core.errors import UsageError

PATHS = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), min_size=1, max_size=5)


@given(PATHS)
def test_no_two_folders_have_one_name_and_no_name_is_longer_than_needed(paths: list[list[str]]) -> None:
    folders = list(dict.fromkeys(Path("/", *parts) for parts in paths))
    names = shortest_names(folders)
    assert len(set(names)) == len(folders)
    for folder, name in zip(folders, names, strict=True):
        others = [one.as_posix() for one in folders if one != folder]
        assert folder.as_posix().endswith(name)
        assert name.startswith("/") or not any(one.endswith(f"/{name}") for one in others)
        shorter = name.lstrip("/").partition("/")[2]
        assert not shorter or any(one.endswith(f"/{shorter}") for one in others)


def folder(path: Path, host: str | None = None, device: str | None = None) -> Path:
    path.mkdir(parents=True)
    (path / "measurements.jsonl").touch()
    if host is not None:
        record = RemoteRecord("job", host, "10.0.3.7", device, None, "2026-01-01T10:00:00+00:00", {})
        (path / "remote.json").write_text(json.dumps(dataclasses.asdict(record)), encoding="utf-8")
    return path


def test_folders_of_one_name_hosts_and_devices(tmp_path: Path) -> None:
    first, second = folder(tmp_path / "north" / "pc"), folder(tmp_path / "south" / "pc", "mill", "l4")
    other = folder(tmp_path / "hosts" / "line-3", "line-3")
    found = measured_folders([f"{first}=l4", str(second), str(tmp_path / "hosts"), f"{tmp_path}/north/../north/pc=l4"])
    assert [(one.name, one.device, one.host, one.named_twice) for one in found] == [
        ("north/pc", "l4", "", True),
        ("south/pc", "l4", "host mill (10.0.3.7)", True),
        ("line-3", None, "host line-3 (10.0.3.7)", False),
    ]
    assert found[2].path == other


def test_a_folder_or_device_that_is_left_out_is_told() -> None:
    with pytest.raises(
        UsageError, match="--measured pc=: write the folder, or folder and device, as in pc=DEVICE@MODE"
    ):
        measured_folders(["pc="])
