"""What a training tells of itself, one JSON object a line.

``metrics.jsonl`` has every step's losses and every evaluation, ``examples.jsonl`` what each evaluation found on a few
fixed pictures.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...core.files import explain_os_errors, write_text
from .job import EXAMPLES_NAME, METRICS_NAME

#: Is told of every entry once, in the order of their steps.
Listener = Callable[[dict[str, Any]], None]


class TrainingLog:
    """Both files of one training, and who listens to what is written into them.

    A listener hears of the entries that an earlier, interrupted process left, too: what it makes of them is that of an
    undisturbed training, with no step told twice.
    """

    def __init__(self, out: Path, resume_step: int, listener: Listener | None = None) -> None:
        self._metrics = MetricsLog(out / METRICS_NAME, resume_step)
        self._examples = MetricsLog(out / EXAMPLES_NAME, resume_step)
        self._listener = listener
        if listener is not None:
            kept = [entry for log in (self._metrics, self._examples) for entry in read_metrics(log.path)]
            for entry in sorted(kept, key=lambda entry: int(entry["step"])):
                listener(entry)

    def append(self, entry: dict[str, Any]) -> None:
        """Add one entry; it must have a ``kind`` and a ``step``."""
        (self._examples if entry["kind"] == "examples" else self._metrics).append(entry)
        if self._listener is not None:
            self._listener(entry)

    def flush(self) -> None:
        """Bring the files to the disk; called before a checkpoint that relies on them."""
        self._metrics.flush()
        self._examples.flush()


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
        except (json.JSONDecodeError, RecursionError):
            break
        if not (isinstance(entry, dict) and {"kind", "step"} <= entry.keys()):
            break
        entries.append(entry)
    return entries


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, sort_keys=True) + "\n"
