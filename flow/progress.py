"""Showing what a run is doing: a live display on a terminal, plain lines elsewhere, JSON for machines."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from typing import Literal

from ..core.events import Event, Reporter

Style = Literal["live", "plain", "json"]
#: Seconds between two plain lines about the same stage's steps.
PLAIN_EVERY = 10.0

TITLES = {
    "data": "Data",
    "teacher": "Teacher",
    "student": "Student alone",
    "distilled": "MGD student",
    "export-teacher": "Export teacher",
    "export-student": "Export student",
    "export-distilled": "Export MGD student",
    "benchmark": "Benchmark",
    "report": "Report",
}


def choose_style(as_json: bool) -> Style:
    """JSON if asked for, live on a terminal, plain lines otherwise."""
    if as_json:
        return "json"
    return "live" if sys.stdout.isatty() else "plain"


@contextlib.contextmanager
def progress(style: Style) -> Iterator[Reporter]:
    """A reporter in the given style, for the length of a run."""
    if style == "json":
        yield _print_json
    elif style == "plain":
        yield _PlainLines().report
    else:
        with _live() as reporter:
            yield reporter


def _print_json(event: Event) -> None:
    print(json.dumps({"event": event.kind, "stage": event.stage, **event.data}), flush=True)


def describe(event: Event) -> str:
    """An event's figures in words: epoch, loss, mAP, time left."""
    data, words = event.data, []
    if event.kind == "step":
        if data.get("epochs"):
            words.append(f"epoch {data['epoch']}/{data['epochs']}")
        else:
            words.append(f"{data['done']}/{data['total']} {data.get('unit', '')}".rstrip())
        if data.get("loss") is not None:
            words.append(f"loss {data['loss']:.3f}")
        if data.get("seconds_left") is not None:
            words.append(f"{duration(data['seconds_left'])} left")
    elif event.kind == "evaluated":
        value = data.get("map")
        words = [f"epoch {data['epoch']}", "mAP -" if value is None else f"mAP {value:.1f}"]
    elif event.kind in ("note", "warning"):
        words.append(("warning: " if event.kind == "warning" else "") + str(data["message"]))
    elif event.kind == "stage_skipped":
        words.append(str(data["reason"]))
    elif event.kind == "stage_done":
        words.append(f"done in {duration(data['seconds'])}")
    return ", ".join(words)


def duration(seconds: float) -> str:
    """A duration as people say it: 8 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class _PlainLines:
    """One line per thing worth a line in a log file."""

    def __init__(self) -> None:
        self.place = ""
        self.last = 0.0

    def report(self, event: Event) -> None:
        if event.kind == "stage_started":
            self.place = f"[{event.data['index']}/{event.data['total']}] {TITLES.get(event.stage, event.stage)}"
            self.last = time.monotonic()
            print(self.place, flush=True)
            return
        if event.kind == "step":
            if time.monotonic() - self.last < PLAIN_EVERY:
                return
            self.last = time.monotonic()
        print(f"{self.place}: {describe(event)}" if self.place else describe(event), flush=True)


@contextlib.contextmanager
def _live() -> Iterator[Reporter]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn

    console = Console(highlight=False)
    columns = (
        TextColumn("[bold]{task.description:<20}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=console, transient=False) as display:
        tasks: dict[str, TaskID] = {}
        best: dict[str, str] = {}

        def report(event: Event) -> None:
            stage = event.stage
            if stage not in tasks:
                tasks[stage] = display.add_task(TITLES.get(stage, stage), total=None, figures="")
            task = tasks[stage]
            if event.kind == "stage_started":
                title = f"{event.data['index']}/{event.data['total']} {TITLES.get(stage, stage)}"
                display.update(task, description=title)
            elif event.kind == "step":
                figures = ", ".join(w for w in (describe(event), best.get(stage, "")) if w)
                display.update(task, completed=event.data["done"], total=event.data["total"], figures=figures)
            elif event.kind == "evaluated":
                value = event.data.get("map")
                best[stage] = "" if value is None else f"mAP {value:.1f}"
            elif event.kind in ("stage_done", "stage_skipped"):
                figures = ", ".join(w for w in (describe(event), best.get(stage, "")) if w)
                display.update(task, total=1, completed=1, figures=figures)
            else:
                style = "yellow" if event.kind == "warning" else "dim"
                console.print(f"  {describe(event)}", style=style, markup=False)

        yield report
