"""``metrics.jsonl``: every step's losses and every evaluation, one JSON object a line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ...core.files import explain_os_errors, write_text


class MetricsLog:
    """Appends lines, and forgets those that an interruption left behind.

    Every line carries the step it was written after. A resumed run starts by dropping what lies beyond its
    checkpoint, a torn last line included, so the finished file is that of an undisturbed run.
    """

    def __init__(self, path: Path, resume_step: int) -> None:
        self.path = path
        kept = [line for line in read_metrics(path) if line["step"] <= resume_step] if resume_step else []
        write_text(path, "".join(_line(entry) for entry in kept))

    def append(self, entry: dict[str, Any]) -> None:
        """Add one entry; it must have a ``step``."""
        with explain_os_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(_line(entry))

    def flush(self) -> None:
        """Bring the file to the disk; called before a checkpoint that relies on it."""
        with explain_os_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.flush()
            os.fsync(file.fileno())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The entries of a ``metrics.jsonl`` up to the first damaged or torn line; a missing file is empty."""
    entries: list[dict[str, Any]] = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            break
        if not (isinstance(entry, dict) and {"kind", "step"} <= entry.keys()):
            break
        entries.append(entry)
    return entries


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, sort_keys=True) + "\n"
