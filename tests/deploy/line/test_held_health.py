"""A line that is held in its safe state says so where its health is asked for."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from outgoing import eventually
from temper.deploy.drill.rig import free_port
from temper.deploy.line.start import PreparedLine, prepare_line
from tiny_bundle import make_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle"))


class Held:
    def __init__(self) -> None:
        self.stop, self.prepared = threading.Event(), False
        self.line: PreparedLine | None = None


@contextmanager
def held(file: Path, overrides: tuple[str, ...] = ()) -> Iterator[Held]:
    service = Held()

    def run() -> None:
        service.line = prepare_line(file, overrides, None, None, service.stop)
        service.prepared = True

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield service
    finally:
        service.stop.set()
        thread.join(20)
        assert not thread.is_alive()


def write_line(folder: Path, port: int | None, **changed: object) -> Path:
    camera = {"name": "drop", "type": "folder", "path": str(folder / "incoming")}
    metrics = None if port is None else {"port": port}
    config = {"line": "hot-1", "cameras": [camera], "metrics": metrics, "results": {"folder": str(folder / "results")}}
    file = folder / "line.yml"
    partial = folder / "partial"
    partial.write_text(json.dumps(config | changed))
    partial.replace(file)
    return file


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_mistake_in_the_file_and_a_missing_bundle_are_told_until_both_are_mended(
    tmp_path: Path, bundle: Path
) -> None:
    port = free_port()
    place = f"http://127.0.0.1:{port}"
    with held(write_line(tmp_path, port, overlod={})) as service:
        eventually(lambda: listens(port))
        answer = httpx.get(f"{place}/health")
        assert answer.status_code == 503
        told = answer.json()
        assert (told["alive"], told["state"]) == (False, "held")
        assert "there is no field 'overlod'. Did you mean 'overload'?" in told["reasons"][0]
        assert httpx.get(f"{place}/ready").json()["ready"] is False
        assert httpx.get(f"{place}/metrics").status_code == 503
        assert httpx.get(f"{place}/").status_code == 404
        write_line(tmp_path, port, bundle=str(tmp_path / "late.temper"))

        def reason() -> str:
            try:
                return str(httpx.get(f"{place}/health").json()["reasons"][0])
            except httpx.TransportError:  # between one mistake and the next
                return ""

        eventually(lambda: "There is no bundle" in reason())
        write_line(tmp_path, port, bundle=str(bundle))
        eventually(lambda: service.prepared)
        assert service.line is not None
        assert not listens(port), "the line itself takes the port now"


def test_the_port_is_that_of_the_command_line_where_it_says_one(tmp_path: Path) -> None:
    port = free_port()
    with held(write_line(tmp_path, None, bundle="none.temper"), (f"metrics.port={port}",)):
        eventually(lambda: listens(port))
        assert "There is no bundle none.temper" in httpx.get(f"http://127.0.0.1:{port}/health").json()["reasons"][0]


def test_a_library_that_is_missing_is_told_without_it(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("temper.deploy.line.libraries.importlib.util.find_spec", lambda name: None)
    port = free_port()
    with held(write_line(tmp_path, port, bundle=str(bundle))):
        eventually(lambda: listens(port))
        (reason,) = httpx.get(f"http://127.0.0.1:{port}/health").json()["reasons"]
    assert "needs prometheus_client, which is not installed" in reason


def test_a_port_that_is_taken_is_no_reason_to_leave_the_safe_state(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with held(write_line(tmp_path, port, bundle="none.temper")) as service:
            eventually((tmp_path / "results/service/state.json").is_file)
            assert not service.prepared
    assert service.prepared
    assert service.line is None
