from __future__ import annotations

import asyncio
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.benchmarks.remote.connection import Connection
from temper.benchmarks.remote.fetch import fetch_results, is_result, read_record, require_ours
from temper.benchmarks.remote.hosts import Host
from temper.benchmarks.remote.order import Asked, Order, make_order
from temper.benchmarks.remote.trouble import HostError
from temper.benchmarks.remote.wheel import Wheel
from temper.cli import main
from temper.core.errors import UsageError
from temper.detection.dataset import load_split, save_split
from tiny_bundle import LABELS, make_tiny_bundle
from toy_data import toy_data

HOST = Host("line-3", "10.0.3.7", "nvidia")


@given(st.text(max_size=40) | st.from_regex(r"(detections/|\.\./|/|\./){0,3}[a-z.]{1,8}\.json", fullmatch=True))
def test_a_path_that_is_taken_stays_inside(path: str) -> None:
    if is_result(path):
        parts = PurePosixPath(path).parts
        assert parts in (("measurements.jsonl",), ("truth.json",)) or (parts[0] == "detections" and len(parts) == 2)
        assert ".." not in parts and not path.startswith("/")


class Far:
    """Offers what a test says, as a connection does."""

    def __init__(self, files: dict[str, bytes], claimed: dict[str, str] | None = None) -> None:
        self.host = HOST
        claimed = claimed or {}
        entries = [[p, claimed.get(p, hashlib.sha256(c).hexdigest()), len(c)] for p, c in files.items()]
        self._messages: list[dict[str, Any] | None] = [{"files": entries}, None]
        self._bytes = io.BytesIO(b"".join(files.values()))

    async def request(self, _doing: str, **_: Any) -> Far:
        return self

    async def message(self) -> dict[str, Any] | None:
        return self._messages.pop(0)

    async def read(self, count: int) -> bytes:
        return self._bytes.read(min(count, 1000))


def fetch(far: Far, order: Order, target: Path) -> None:
    asyncio.run(fetch_results(cast("Connection", far), order, {"folder": "f", "job": "j"}, target, None))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Order, dict[str, bytes], Path]:
    """An order, what a benchmark of it writes, and where bundle and data lie."""
    folder = tmp_path_factory.mktemp("fetch")
    save_split(replace(toy_data(folder / "data" / "images", 3), labels=LABELS), folder / "data", "val")
    bundle = make_tiny_bundle(folder, name="small")
    quick = ["--seconds", "0.1", "--samples", "11", "--time-box", "1", "--threads", "1"]
    out = folder / "out"
    assert main(["bench", "run", str(bundle), "--data", str(folder / "data"), "--out", str(out), *quick]) == 0
    data = load_split(folder / "data", "val")
    order = make_order([bundle], data, "val", Asked(), [HOST], Wheel("temper-1-py3-none-any.whl", b"", ()))
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*.json*"))}
    return order, files, folder


Measured = tuple[Order, dict[str, bytes], Path]


def test_what_is_right_is_taken_with_a_record(measured: Measured, tmp_path: Path) -> None:
    order, files, _ = measured
    fetch(Far(files), order, tmp_path / "line-3")
    taken = {path.relative_to(tmp_path / "line-3").as_posix() for path in (tmp_path / "line-3").rglob("*.json*")}
    assert taken == {*files, "remote.json"}
    record = read_record(tmp_path / "line-3")
    assert record is not None and (record.host, record.job) == ("line-3", "j")
    require_ours(tmp_path / "line-3")


@pytest.mark.parametrize(
    "path", ["../escaped.json", "/tmp/x.json", "report.html", "detections/../../x.json", "remote.json"]
)
def test_other_files_are_not_taken(measured: Measured, tmp_path: Path, path: str) -> None:
    order, files, _ = measured
    with pytest.raises(HostError, match="among its results, which no benchmark writes. Nothing was taken"):
        fetch(Far({**files, path: b"{}"}), order, tmp_path / "line-3")
    assert list(tmp_path.iterdir()) == []


def test_what_changes_on_its_way_is_not_taken(measured: Measured, tmp_path: Path) -> None:
    order, files, _ = measured
    with pytest.raises(HostError, match=r"truth.json of nvidia@10.0.3.7 changed on its way here"):
        fetch(Far(files, {"truth.json": "0" * 64}), order, tmp_path / "line-3")
    assert list(tmp_path.iterdir()) == []


def test_results_of_something_else_are_refused(measured: Measured, tmp_path: Path) -> None:
    order, files, folder = measured
    other = make_tiny_bundle(tmp_path / "made", name="small", size=(96, 64))
    data = load_split(folder / "data", "val")
    of_other = make_order([other], data, "val", Asked(), [HOST], order.wheel)
    with pytest.raises(HostError, match=r"are of another bundle: small \(manifest .{12}\), and small \(manifest"):
        fetch(Far(files), of_other, tmp_path / "line-3")
    with pytest.raises(HostError, match="are of other data than was sent"):
        fetch(Far(files), replace(order, data_sha256="0" * 64), tmp_path / "line-3")
    lines = files["measurements.jsonl"].decode().splitlines()
    cut = json.dumps({**json.loads(lines[0]), "incomplete": "\x1b[2JIt was interrupted."})
    with pytest.raises(HostError, match=r"is not whole: \[2JIt was interrupted"):
        fetch(Far({**files, "measurements.jsonl": "\n".join([cut, *lines[1:]]).encode()}), order, tmp_path / "line-3")
    with pytest.raises(HostError, match=r"cannot be read: measurements.jsonl, line 1 is not JSON"):
        fetch(Far({**files, "measurements.jsonl": b"no"}), order, tmp_path / "line-3")
    assert not (tmp_path / "line-3").exists()


def test_something_else_is_not_replaced(tmp_path: Path) -> None:
    require_ours(tmp_path / "none")
    (tmp_path / "mine").mkdir()
    require_ours(tmp_path / "mine")
    (tmp_path / "mine" / "notes").touch()
    with pytest.raises(UsageError, match="holds something else than results of 'temper bench remote'"):
        require_ours(tmp_path / "mine")
