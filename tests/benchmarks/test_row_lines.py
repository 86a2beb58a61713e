"""What files of measurements and of estimates have in common."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter
from temper.benchmarks.measurement import read_rows
from temper.benchmarks.row_lines import read_row_lines
from temper.core.errors import TemperError, UsageError


def read(path: Path) -> list[dict[str, int]]:
    check = TypeAdapter(dict[str, int]).validate_python
    return read_row_lines(path, check, missing=f"There is nothing at {path}.", again="Do it again.")


def test_rows_are_read_in_order_and_empty_lines_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n\n{"name\u2028of a line": 2}\n', encoding="utf-8")
    assert read(path) == [{"a": 1}, {"name\u2028of a line": 2}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n{"a"', r"rows\.jsonl, line 2 is not JSON: .*\. Do it again\."),
        (b'\n{"a": "b"}', r"rows\.jsonl, line 2: a: Input should be a valid integer.*\. Do it again\."),
        (b"[" * 100_000, r"rows\.jsonl, line 1 is not JSON"),
        (b"\xff\xfe", r"rows\.jsonl cannot be read: .*utf-8"),
    ],
)
def test_a_damaged_file_is_told_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(TemperError, match=message):
        read(tmp_path / "rows.jsonl")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is nothing at .*none\.jsonl\."):
        read(tmp_path / "none.jsonl")


def test_a_row_of_another_kind_is_told_without_pydantics_words(tmp_path: Path) -> None:
    (tmp_path / "measurements.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(TemperError, match=r"line 1: It is no row that this Temper knows\. Measure again\."):
        read_rows(tmp_path / "measurements.jsonl")
