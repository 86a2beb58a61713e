"""Files of rows, one JSON object a line: read, checked, and every mistake named with its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ..core.errors import TemperError, UsageError

Row = TypeVar("Row")


def read_row_lines(path: Path, check: Callable[[Any], Row], *, missing: str, again: str) -> list[Row]:
    """Read a file of rows; empty lines are passed over.

    Args:
        path: of the file.
        check: gives the row of a plain JSON value; it may raise a ValidationError or a TemperError.
        missing: the sentences to say where there is no such file.
        again: the sentence that says how to make a damaged file anew.

    Raises:
        UsageError: if there is no such file.
        TemperError: naming file and line if it cannot be read or is damaged.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # names may hold other ends of lines
    except FileNotFoundError as error:
        raise UsageError(missing) from error
    except (OSError, UnicodeDecodeError) as error:
        raise TemperError(f"{path} cannot be read: {error}.") from error
    return [_row(line, check, f"{path}, line {n}", again) for n, line in enumerate(lines, start=1) if line.strip()]


def _row(line: str, check: Callable[[Any], Row], place: str, again: str) -> Row:
    try:
        return check(json.loads(line))
    except ValidationError as error:
        raise TemperError(f"{place}: {_fault(error)}. {again}") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise TemperError(f"{place} is not JSON: {error}. {again}") from error


def _fault(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"].startswith("union_tag"):  # what pydantic says of it speaks of how it tells rows apart
        return "It is no row that this Temper knows"
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
