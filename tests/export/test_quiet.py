from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest
from temper.export.quiet import last_line, one_line, quiet


def test_everything_is_kept_and_nothing_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet() as said:
        print("from Python")
        print("to error", file=sys.stderr)
        os.write(1, b"from C\n")
        subprocess.run(["echo", "from a child"], check=True)
        warnings.warn("a warning", stacklevel=1)
        inside = said()
    print("after")
    for words in ("from Python", "to error", "from C", "from a child"):
        assert words in inside
        assert words in said()
    assert capfd.readouterr() == ("after\n", "")


def test_the_terminal_comes_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    def break_down() -> None:
        with quiet():
            os.write(2, b"chatter\n")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        break_down()
    os.write(2, b"still here\n")
    assert capfd.readouterr() == ("", "still here\n")


def test_only_the_end_of_much_is_kept() -> None:
    with quiet() as said:
        for number in range(10_000):
            os.write(1, b"line %d\n" % number)
    assert said().endswith("line 9999\n")
    assert len(said()) <= 4096


def test_no_descriptor_is_lost() -> None:
    def opened() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = opened()
    for _ in range(5):
        with quiet():
            pass
    assert opened() == before


@pytest.mark.parametrize(
    ("text", "line"), [("", "it said nothing"), ("a\nb\n\n", "b"), ("fault\n-----\n", "fault"), ("x" * 999, "x" * 300)]
)
def test_last_line(text: str, line: str) -> None:
    assert last_line(text) == line


def test_one_line() -> None:
    assert one_line(ValueError("first\n  second\n")) == "first second"
    assert one_line("x" * 400) == "x" * 297 + "..."
