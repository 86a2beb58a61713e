"""What the tests of other machines stand on: an SSH server, a bundle, pictures, and wheels for the environment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from remote_place import Place, end_jobs
from ssh_server import ssh_server
from stub_wheels import make_stub_wheels
from temper.detection.dataset import save_split
from tiny_bundle import LABELS, make_tiny_bundle
from toy_data import toy_data


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One server, one bundle and one environment over there for all tests of this folder."""
    folder = tmp_path_factory.mktemp("remote")
    save_split(replace(toy_data(folder / "data" / "images", 4), labels=LABELS), folder / "data", "val")
    make_tiny_bundle(folder, name="small")
    make_stub_wheels(folder / "wheels")
    # that pip compiles what nobody will import is no part of any test, and takes longer than the tests
    with ssh_server(folder / "ssh", SetEnv="PIP_NO_COMPILE=1") as server:
        try:
            yield Place(folder, server)
        finally:
            end_jobs(folder / "far")


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's keys, agent or SSH configuration."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
