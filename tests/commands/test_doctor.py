from __future__ import annotations

import json

import pytest
from temper import __version__
from temper.cli import main
from temper.flow.doctor import Finding

FINDINGS = [
    Finding("CPU", True, "a very good one"),
    Finding("Paddle", False, "not installed", "make install"),
    Finding("onnx", False, "not installed", "make install"),
    Finding("Cameras", False, "none", "sudo apt install " + " ".join(["package"] * 40)),
]


@pytest.fixture(autouse=True)
def examined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("temper.flow.doctor.examine", lambda: FINDINGS)


def test_findings_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    told = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert told[0].split() == ["yes", "CPU", "a", "very", "good", "one"]
    assert told[1].split() == ["no", "Paddle", "not", "installed"]
    assert "  Paddle, onnx: make install" in told
    # a command is never broken into lines, so that it can be copied
    assert f"  Cameras: {FINDINGS[3].advice}" in told


def test_json_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["temper"] == __version__
    assert told["findings"][1] == {"name": "Paddle", "found": False, "text": "not installed", "advice": "make install"}
