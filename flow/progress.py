"""Showing what a run is doing: a live display on a terminal, plain lines elsewhere, JSON for machines."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TextIO, cast

from ..core.errors import TemperError
from ..core.events import Event, Reporter
from ..core.models import distilled_title, in_sentence
from ..core.streams import Shown

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ..distill.recipe import Recipe

Style = Literal["live", "plain", "json"]
#: Seconds between two plain lines about the same stage's steps.
PLAIN_EVERY = 10.0

#: Of the stages, where no recipe says by which losses the student is taught.
TITLES = {
    "data": "Data",
    "teacher": "Teacher",
    "student": "Student alone",
    "distilled": distilled_title(()),
    "export-teacher": "Export teacher",
    "export-student": "Export student",
    "export-distilled": f"Export {in_sentence(distilled_title(()))}",
    "verify": "Verify",
    "engine": "TensorRT engine",
    "benchmark": "Benchmark",
    "report": "Report",
}


def titles_of(recipe: Recipe) -> dict[str, str]:
    """The titles of a recipe's stages; that of the distilled student says by which loss."""
    title = distilled_title(recipe.distillation.losses())
    return {**TITLES, "distilled": title, "export-distilled": f"Export {in_sentence(title)}"}


def choose_style(as_json: bool) -> Style:
    """JSON if asked for, live on a terminal, plain lines otherwise."""
    if as_json:
        return "json"
    from rich.console import Console

    console = Console()
    return "live" if console.is_terminal and not console.is_dumb_terminal else "plain"


@contextlib.contextmanager
def progress(style: Style, titles: Mapping[str, str] = TITLES) -> Iterator[Reporter]:
    """A reporter in the given style, for the length of a run, that calls stages by these titles."""
    if style == "json":
        yield from _json_reporter()
    elif style == "plain":
        yield _PlainLines(titles).report
    else:
        yield from _live_reporter(titles)


def write_json_event(event: str, **data: Any) -> None:
    """Write one JSON object as a line, and bring it to the reader at once."""
    sys.stdout.write(json.dumps({"event": event, **data}, allow_nan=False) + "\n")
    sys.stdout.flush()


def _json_reporter() -> Iterator[Reporter]:
    stage = ""

    def report(event: Event) -> None:
        nonlocal stage
        if event.kind in ("stage_started", "stage_skipped"):
            stage = event.stage
        # an export calls itself "export", whichever model it is about
        write_json_event(event.kind, stage=stage or event.stage, **event.data)

    try:
        yield report
    except TemperError as error:
        write_json_event("failed", stage=stage, message=str(error))
        raise


def describe(event: Event) -> str:
    """An event's figures in words: epoch, loss and the distillation losses in it, mAP, time left."""
    data, words = event.data, []
    if event.kind == "step":
        if data.get("epochs"):
            words.append(f"epoch {data['epoch']}/{data['epochs']}")
        else:
            of = f"/{data['total']}" if data.get("total") else ""
            words.append(f"{data['done']}{of} {data.get('unit', '')}".rstrip())
        if data.get("loss") is not None:
            taught = ", ".join(f"{name} {value:.3f}" for name, value in (data.get("distillation") or {}).items())
            words.append(f"loss {data['loss']:.3f}" + (f" (of it {taught})" if taught else ""))
        if data.get("seconds_left") is not None:
            words.append(f"{duration(data['seconds_left'])} left")
    elif event.kind == "evaluated":
        words = [f"epoch {data['epoch']}", points(data.get("map"))]
    elif event.kind in ("note", "warning"):
        words.append(("warning: " if event.kind == "warning" else "") + str(data["message"]))
    elif event.kind == "stage_skipped":
        words.append(str(data["reason"]))
    elif event.kind == "stage_done":
        words.append(f"done in {duration(data['seconds'])}")
    return ", ".join(words)


def points(value: float | None) -> str:
    """An mAP in points from 0 to 100."""
    return "mAP -" if value is None else f"mAP {value:.1f}"


def duration(seconds: float) -> str:
    """A duration as people say it: 0.4 s, 12 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _numbered(event: Event, titles: Mapping[str, str]) -> str:
    title = titles.get(event.stage, event.stage.replace("-", " ").capitalize())
    return f"{event.data['index']}/{event.data['total']} {title}"


def _of_host(event: Event, titles: Mapping[str, str]) -> str:
    """What a stage is called where several machines are at work; empty where it is this one."""
    host = event.data.get("host")
    return "" if host is None else f"{host} {in_sentence(titles.get(event.stage, event.stage))}".strip()


class _PlainLines:
    """One line per thing worth a line in a log file."""

    def __init__(self, titles: Mapping[str, str]) -> None:
        self.titles = titles
        self.place = ""
        # by machine; this one has no name
        self.last: dict[str, float] = {}

    def report(self, event: Event) -> None:
        """Write the event, if it is worth a line."""
        now, host = time.monotonic(), event.data.get("host", "")
        if event.kind in ("stage_started", "stage_skipped"):
            self.place, self.last[host] = f"[{_numbered(event, self.titles)}]", now
        if event.kind == "step":
            if now - self.last.get(host, 0.0) < PLAIN_EVERY:
                return
            self.last[host] = now
        text = describe(event)
        if host:
            place = f"[{_of_host(event, self.titles) if event.kind == 'step' else host}]"
        else:
            place = self.place
        # a warning is read also where nobody keeps what is printed
        stream = sys.stderr if event.kind == "warning" else sys.stdout
        stream.write(f"{place} {text}".strip() + "\n")
        stream.flush()


class _Live:
    """One bar per stage; what is done stays above the one at work."""

    def __init__(self, display: Progress, titles: Mapping[str, str]) -> None:
        self.display, self.titles = display, titles
        self.task: TaskID | None = None
        self.measured = ""
        # of a command without numbered stages: the stage that has the bar
        self.unnumbered = ""
        # of several machines: each stage of each has its bar
        self.of_hosts: dict[str, TaskID] = {}

    def report(self, event: Event) -> None:
        """Show the event."""
        if "host" in event.data:
            self._report_of_host(event)
            return
        if event.kind in ("stage_started", "stage_skipped"):
            self.task = self.display.add_task(_numbered(event, self.titles), total=None, figures="")
            self.measured = ""
        elif event.kind == "step" and (self.task is None or self.unnumbered not in ("", event.stage)):
            self.unnumbered = event.stage
            self.task = self.display.add_task(self.titles.get(event.stage, event.stage), total=None, figures="")
        if event.kind == "evaluated":
            self.measured = points(event.data.get("map"))
        elif event.kind in ("note", "warning"):
            style = "yellow" if event.kind == "warning" else "dim"
            self.display.console.print(f"  {describe(event)}", style=style, markup=False)
        if self.task is None or event.kind in ("note", "warning"):
            return
        figures = ", ".join(words for words in (self.measured, describe(event)) if words)
        if event.kind == "step":
            self.display.update(self.task, completed=event.data["done"], total=event.data["total"], figures=figures)
        elif event.kind in ("stage_done", "stage_skipped"):
            self.display.update(self.task, completed=1, total=1, figures=figures)

    def _report_of_host(self, event: Event) -> None:
        """Show what one of several machines tells."""
        if event.kind in ("note", "warning"):
            style = "yellow" if event.kind == "warning" else "dim"
            self.display.console.print(f"  {event.data['host']}: {describe(event)}", style=style, markup=False)
        elif event.kind == "step":
            title, total = _of_host(event, self.titles), event.data["total"] or None
            if title not in self.of_hosts:
                self.of_hosts[title] = self.display.add_task(title, total=total, figures="")
            self.display.update(
                self.of_hosts[title], completed=event.data["done"], total=total, figures=describe(event)
            )


def _shown() -> TextIO:
    return cast("TextIO", Shown(sys.stdout))


def _live_reporter(titles: Mapping[str, str]) -> Iterator[Reporter]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (
        TextColumn("[bold]{task.description:<22}", markup=True),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    with Progress(*columns, console=Console(file=_shown(), highlight=False), refresh_per_second=4) as display:
        yield _Live(display, titles).report
