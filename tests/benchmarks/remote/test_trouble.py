from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.benchmarks.remote import trouble
from temper.benchmarks.remote.hosts import Host

HOST = Host("line-3", "10.0.3.7", "nvidia", 2222)
LOG = {"log_path": "/far/run.log", "log": "warning\nError: There is no bundle.\n"}


@given(st.text())
def test_nothing_from_elsewhere_moves_the_cursor(text: str) -> None:
    shown = trouble.plain(text)
    assert shown.isprintable() and len(shown) <= 603


@pytest.mark.parametrize(
    ("ended", "told", "sentence", "expected"),
    [
        (None, {"restarted": True}, None, "switched off or started anew in the middle"),
        (None, {"free": 100_000, "log_path": "/far/run.log"}, None, "The disk of nvidia@10.0.3.7 is full"),
        (None, {"free": 10**12, **LOG}, None, "was killed. Its log is /far/run.log there. The same command goes on"),
        ({"code": -9, "oom_kills": 1}, LOG, None, "killed by signal 9. The machine had too little memory"),
        ({"code": -15, "oom_kills": 0}, LOG, None, "killed by signal 15. Its log is"),
        (
            {"code": 1, "oom_kills": 2},
            LOG,
            "A process died.",
            "On nvidia@10.0.3.7: A process died. The machine had too",
        ),
        ({"code": 2}, LOG, None, "On nvidia@10.0.3.7: There is no bundle."),
        ({"code": 3}, {}, None, "it ended with exit code 3"),
    ],
)
def test_how_a_benchmark_ended(ended: Any, told: dict[str, Any], sentence: str | None, expected: str) -> None:
    assert expected in str(trouble.ended_badly(HOST, ended, told, sentence))


def test_what_pip_says() -> None:
    none = ["ERROR: No matching distribution found for tomli>=1.0; python_version < '3.11'"]
    told = str(trouble.not_installed(HOST, none, "pip download x", Path("wheels")))
    assert "wheels has no wheel of tomli>=1.0 that fits" in told and "'pip download x 'tomli>=1.0''" in told
    cut_off = ["WARNING: Retrying: NewConnectionError('... Temporary failure in name resolution')", *none]
    told = str(trouble.not_installed(HOST, cut_off, "pip download x", None))
    assert (
        "reaches no package index. Fetch the packages here with 'pip download x'" in told and "--wheels wheels" in told
    )
    told = str(trouble.not_installed(HOST, ["building", "error: no compiler", "see above"], "x", None))
    assert told.endswith("it says: error: no compiler")


def test_commands_are_quoted() -> None:
    odd = Host("x", "a;touch b", "me")
    assert "'me@a;touch b'" in str(trouble.no_key(odd))
    assert "ssh-keyscan -p 22 'a;touch b'" in str(trouble.unknown_host(odd, 22, [Path("/k n")]))
    assert ">> '/k n'" in str(trouble.unknown_host(odd, 22, [Path("/k n")]))


@pytest.mark.parametrize(
    "kind", ["not_allowed", "foreign_folder", "busy", "damaged_on_the_way", "killed_installing", "?"]
)
def test_every_trouble_has_a_sentence(kind: str) -> None:
    told = str(trouble.refused(HOST, {"trouble": kind, "path": "/far\x1b[0m", "reason": "no links"}))
    assert "nvidia@10.0.3.7" in told and told.endswith(".") and "\x1b" not in told


def test_a_python_without_venv_names_the_package() -> None:
    assert "sudo apt install python3.10-venv" in str(trouble.no_venv(HOST, "3.10.12"))
