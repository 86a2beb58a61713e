"""``temper deploy``: a bundle at work on a device."""

from __future__ import annotations

import json
import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, cast

import click

from .deploy_coil import coil
from .deploy_drill import drill
from .deploy_line import cameras, init, status
from .options import RUNTIME_NAMES, Group, public_key_option, threads_option

if TYPE_CHECKING:
    from rich.console import Console

    from ..core.events import Event
    from ..deploy.results.records import FrameResult
    from ..deploy.run import RunSummary

#: The events of an engine that is built first; of the rest the run is the only stage.
ENGINE_STAGE = "engine"
#: Between two lines of progress where there is no terminal.
PLAIN_PROGRESS_SECONDS = 5.0


@click.group(cls=Group)
def deploy() -> None:
    """Run a bundle on pictures: verdicts into a database, annotated pictures beside it."""


deploy.add_command(cameras)
deploy.add_command(coil)
deploy.add_command(drill)
deploy.add_command(init)
deploy.add_command(status)


@deploy.command()
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
@click.option("--source", type=click.Path(path_type=Path), help="Folder of pictures, a picture or a video.")
@click.option("--config", type=click.Path(path_type=Path), help="A line.yml: cameras, for as long as they send.")
@click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change a field of --config.")
@click.option(
    "--hold", is_flag=True, help="With --config: on a mistake in it wait until it is mended, as a service does."
)
@click.option("--recursive", is_flag=True, help="Look into the folder's subfolders too.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("results"), show_default=True, help="Folder of the results."
)
@click.option("--variant", help="Which graph: a precision or a name. [default: fp32 if there is one]")
@click.option("--runtime", default="onnxruntime", show_default=True, help=f"What runs it: {', '.join(RUNTIME_NAMES)}.")
@threads_option
@click.option(
    "--pictures",
    type=click.Choice(["all", "defects", "none"]),
    default="defects",
    show_default=True,
    help="Which annotated pictures to write.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many frames.")
@public_key_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: every frame, then the summary.")
@click.pass_context
def run(
    context: click.Context,
    bundle: Path | None,
    source: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    hold: bool,
    recursive: bool,
    out: Path,
    variant: str | None,
    runtime: str,
    threads: int | None,
    pictures: Literal["all", "defects", "none"],
    limit: int | None,
    public_key: Path | None,
    as_json: bool,
) -> None:
    """Inspect every picture of a folder or video, or of a line's cameras, with BUNDLE.

    Every frame ends as ok, defect or not inspected, in results.sqlite below --out; a later run adds to it. Stop
    with Ctrl-C: what was inspected is stored. The exit code is 1 if a frame could not be inspected.

    With --config it is a service that goes on until it is stopped: cameras are connected anew, parts that fail are
    started anew, verdicts are told beyond the device.
    """
    from ..bundle.loader import open_bundle
    from ..core.errors import TemperError, UsageError

    if config is not None:
        from .deploy_line import run_configured

        run_configured(context, bundle, config, overrides, hold, public_key)
        return
    if source is None or bundle is None:
        raise UsageError("Name a BUNDLE, and what to inspect: --source FOLDER|PICTURE|VIDEO, or --config line.yml.")
    if overrides or hold:
        raise UsageError("--set and --hold belong to --config.")
    from ..deploy.detector import open_detector
    from ..deploy.run import RunSettings, run_detector
    from ..deploy.sources import open_source, require_apart
    from ..deploy.stop import stop_on_signals

    require_apart(source, out, recursive=recursive)
    with open_bundle(bundle, public_key) as opened, stop_on_signals() as stop:
        frames = open_source(source, opened.manifest.input.channels, recursive=recursive)
        with _display(as_json, list(opened.manifest.labels)) as display:
            detector = open_detector(opened, variant, runtime, threads, display.report)
            settings = RunSettings(out, pictures, limit)
            summary = run_detector(detector, frames, settings, report=display.report, announce=display.frame, stop=stop)
        display.summary(summary)
    if summary.not_inspected:
        raise TemperError(not_inspected_text(summary))


class _JsonDisplay(AbstractContextManager["_JsonDisplay"]):
    """One JSON object a line."""

    def __init__(self, labels: list[str]) -> None:
        self._labels = labels

    def __exit__(self, *_: object) -> None:
        return None

    def report(self, event: Event) -> None:
        if event.kind in ("warning", "note"):
            self._write({"kind": event.kind, **event.data})
        elif event.kind == "step" and event.stage == ENGINE_STAGE:
            self._write({"kind": "engine", "percent": event.data["done"]})

    def frame(self, result: FrameResult) -> None:
        defects = result.verdict.defects
        self._write(
            {
                "kind": "frame",
                "number": result.number,
                "source": result.source,
                "time": result.time,
                "verdict": result.verdict.outcome.value,
                "cause": None if result.cause is None else result.cause.value,
                "detail": result.detail,
                "picture": result.picture,
                "times_ms": {stage: round(duration, 3) for stage, duration in result.times.items()},
                "defects": [
                    {"label": self._labels[label], "score": round(score, 4), "box": [round(v, 2) for v in box]}
                    for box, score, label in zip(
                        defects.boxes.tolist(), defects.scores.tolist(), defects.labels.tolist(), strict=True
                    )
                ],
            }
        )

    def summary(self, summary: RunSummary) -> None:
        self._write({"kind": "summary", **summary.to_dict()})

    def _write(self, value: dict[str, Any]) -> None:
        _say(json.dumps(value, ensure_ascii=False))


class _PlainDisplay(AbstractContextManager["_PlainDisplay"]):
    """Lines that read well in a log: the frames that matter, and now and then how far the run is."""

    def __init__(self, labels: list[str]) -> None:
        self._labels = labels
        self._next_progress = 0.0

    def __exit__(self, *_: object) -> None:
        return None

    def report(self, event: Event) -> None:
        import time

        if event.kind == "warning":
            self._line(f"warning: {event.data['message']}")
        elif event.kind == "note":
            self._line(event.data["message"])
        elif event.kind == "step" and time.monotonic() >= self._next_progress:
            self._next_progress = time.monotonic() + PLAIN_PROGRESS_SECONDS
            self._line(progress_text(event.data) if event.stage != ENGINE_STAGE else engine_text(event.data))

    def frame(self, result: FrameResult) -> None:
        if text := frame_text(result, self._labels):
            self._line(text)

    def summary(self, summary: RunSummary) -> None:
        for line in summary_lines(summary):
            self._line(line)

    def _line(self, text: str) -> None:
        _say(text)


class _LiveDisplay(_PlainDisplay):
    """The same lines above a bar that moves."""

    def __init__(self, labels: list[str], console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        super().__init__(labels)
        self._console = console
        self._progress = Progress(
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("frames", total=None, told="")

    def __enter__(self) -> _LiveDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def report(self, event: Event) -> None:
        if event.kind == "step":
            data = event.data
            told = counts_text(data) if event.stage != ENGINE_STAGE else engine_text(data)
            self._progress.update(self._task, completed=data["done"], total=data["total"] or None, told=told)
        else:
            super().report(event)

    def _line(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def frame_text(result: FrameResult, labels: list[str]) -> str | None:
    """The line for a frame with a defect or without an answer; None for one that is ok."""
    if result.detail is not None:
        return f"not inspected  {result.source}: {result.detail}"
    defects = result.verdict.defects
    if not len(defects):
        return None
    by_label: dict[str, list[float]] = {}
    for label, score in zip(defects.labels.tolist(), defects.scores.tolist(), strict=True):
        by_label.setdefault(labels[label], []).append(score)
    found = ", ".join(
        f"{label} {max(scores):.2f}" + (f" and {len(scores) - 1} more" if len(scores) > 1 else "")
        for label, scores in by_label.items()
    )
    return f"defect         {result.source}: {found}"


def counts_text(data: dict[str, Any]) -> str:
    """The rate, where there is one, and the three counts of a progress event."""
    rate = data["frames_per_second"]
    speed = "" if rate is None else f"{rate:.1f} frames/s · "
    return f"{speed}{data['ok']} ok · {data['defect']} defect · {data['not_inspected']} not inspected"


def engine_text(data: dict[str, Any]) -> str:
    """How far the engine is that has to be built before the run."""
    return f"engine {data['done']} {data['unit']}"


def progress_text(data: dict[str, Any]) -> str:
    """The line for a progress event."""
    of = f" of {data['total']}" if data["total"] else ""
    return f"{data['done']}{of} frames · {counts_text(data)}"


def summary_lines(summary: RunSummary) -> list[str]:
    """The lines that end a run."""
    ended = {"source": "", "limit": " (limit reached)", "signal": " (stopped)"}[summary.ended_by]
    lines = [
        f"{summary.frames} frame{'' if summary.frames == 1 else 's'}{ended}: {summary.ok} ok, {summary.defect} defect, "
        f"{summary.not_inspected} not inspected"
    ]
    if summary.defects:
        lines.append("Defects: " + ", ".join(f"{label} {n}" for label, n in summary.defects.items()))
    if summary.frames_per_second is not None:
        speed = f"{summary.frames_per_second:.1f} frames/s"
        if summary.p50_ms is not None:
            speed += f"; a frame takes {summary.p50_ms:.1f} ms (median)"
        if summary.p99_ms is not None:
            speed += f", {summary.p99_ms:.1f} ms (99th percentile)"
        lines.append(speed)
    return [*lines, f"Results: {summary.store}, run {summary.run}"]


def not_inspected_text(summary: RunSummary) -> str:
    """The sentence about frames without an answer: whatever starts this command has to hear of them."""
    cause, often = next(iter(summary.causes.items()))
    which = "The most frequent cause" if often > 1 else "The first cause" if len(summary.causes) > 1 else "The cause"
    if summary.frames == summary.not_inspected:
        return f"No frame could be inspected ({summary.frames} tried). {which}: {cause}"
    return (
        f"{summary.not_inspected} of {summary.frames} frames could not be inspected; the results name them. "
        f"{which}: {cause}"
    )


def _say(text: str) -> None:
    """A line for whoever listens. If nobody does any more, the inspection goes on: its results are in the store."""
    try:
        click.echo(text)
    except OSError:  # the reader has gone, or the file it goes to is full
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _display(as_json: bool, labels: list[str]) -> _JsonDisplay | _PlainDisplay:
    if as_json:
        return _JsonDisplay(labels)
    from rich.console import Console

    from ..core.streams import Shown

    console = Console(file=cast("TextIO", Shown(sys.stdout)))
    return _LiveDisplay(labels, console) if console.is_terminal else _PlainDisplay(labels)
