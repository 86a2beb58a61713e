"""A drill hands on the key that a bundle must be signed with, and leaves this process as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from temper.commands.bundle import bundle
from temper.commands.deploy import deploy
from temper.deploy.drill import run as running
from temper.deploy.drill.result import Drill, DrillResult
from temper.deploy.drill.rig import Rig
from tiny_bundle import make_tiny_bundle


def test_the_key_reaches_the_line_as_an_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_tiny_bundle(tmp_path, golden=True)
    for arguments in (("keygen", tmp_path / "plant"), ("sign", made, "--key", tmp_path / "plant.key")):
        assert CliRunner().invoke(bundle, list(map(str, arguments))).exit_code == 0
    commands: list[list[str]] = []

    class Stopped(Exception):
        pass

    def enter(rig: Rig) -> Rig:
        commands.append(rig.service._command)
        raise Stopped

    monkeypatch.setattr(Rig, "__enter__", enter)
    monkeypatch.setattr("temper.deploy.drill.rig.shutil.which", lambda *_, **__: "mosquitto")
    monkeypatch.delenv("TEMPER_PUBLIC_KEY", raising=False)

    def run_all(name: str, drill: Drill) -> DrillResult:
        for number, scenario in enumerate(running.SCENARIOS.values()):
            if scenario.__name__ in ("plant", "disk"):  # they set up what needs rights and programs
                continue
            each = Drill(drill.folder / str(number), drill.bundle, 1, public_key=drill.public_key)
            with pytest.raises(Stopped):
                scenario(each)
        return DrillResult(name, 1)

    monkeypatch.setattr(running, "run_scenario", run_all)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(
        deploy, ["drill", str(made), "--scenario", "kill", "--public-key", "plant.pub", "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.exception
    assert len(commands) == 7
    assert all(command[-2:] == ["--public-key", str(tmp_path / "plant.pub")] for command in commands)
    assert "TEMPER_PUBLIC_KEY" not in os.environ
