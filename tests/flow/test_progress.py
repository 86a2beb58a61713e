from __future__ import annotations

import io
import json

import pytest
from fake_stages import make_recipe
from rich.console import Console
from temper.core.errors import TemperError
from temper.core.events import Event
from temper.flow import progress as module
from temper.flow.keys import STAGES
from temper.flow.progress import TITLES, choose_style, describe, duration, points, progress, titles_of


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (8.24, "8.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (100 * 3600, "100 h 00 min"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_points() -> None:
    assert points(None) == "mAP -"
    assert points(31.26) == "mAP 31.3"


def step(done: int = 3, **more: object) -> Event:
    return Event("step", "teacher", {"done": done, "total": 8, "unit": "steps", **more})


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (step(), "3/8 steps"),
        (step(total=None), "3 steps"),
        (step(epoch=1, epochs=2, loss=1.23456, seconds_left=61.0), "epoch 1/2, loss 1.235, 1 min 01 s left"),
        (Event("evaluated", "teacher", {"epoch": 2, "map": None}), "epoch 2, mAP -"),
        (Event("note", "teacher", {"message": "[bold] as it is"}), "[bold] as it is"),
        (Event("warning", "teacher", {"message": "careful"}), "warning: careful"),
        (Event("stage_skipped", "data", {"index": 1, "total": 9, "reason": "already done"}), "already done"),
        (Event("stage_done", "data", {"seconds": 3.04}), "done in 3.0 s"),
        (Event("stage_started", "data", {"index": 1, "total": 9}), ""),
    ],
)
def test_events_in_words(event: Event, words: str) -> None:
    assert describe(event) == words


def test_every_stage_has_a_title() -> None:
    assert set(TITLES) == {*STAGES, "engine", "verify"}


def test_the_distilled_student_is_called_after_its_loss() -> None:
    assert titles_of(make_recipe())["export-distilled"] == "Export MGD student"
    by_fgd = titles_of(make_recipe(distillation__mgd=None, distillation__fgd={}))
    assert (by_fgd["distilled"], by_fgd["teacher"]) == ("FGD student", "Teacher")
    by_both = titles_of(make_recipe(distillation__fgd={}))
    assert (by_both["distilled"], by_both["export-distilled"]) == ("Distilled student", "Export distilled student")
    assert set(by_both) == set(TITLES)


RUN = [
    Event("stage_skipped", "data", {"index": 1, "total": 9, "reason": "already done"}),
    Event("stage_started", "teacher", {"index": 2, "total": 9}),
    Event("note", "teacher", {"message": "[dim]Going on from step 2 of 8."}),
    *(step(done) for done in range(3, 9)),
    Event("evaluated", "teacher", {"epoch": 1, "map": 31.25}),
    Event("warning", "teacher", {"message": "careful"}),
    Event("stage_done", "teacher", {"seconds": 4.0}),
    Event("stage_skipped", "student", {"index": 3, "total": 9, "reason": "already done"}),
    Event("stage_started", "export-teacher", {"index": 5, "total": 9}),
    # an export does not know which model's stage it is
    Event("note", "export", {"message": "tracing"}),
    Event("stage_done", "export-teacher", {"seconds": 70.0}),
]


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("plain") as report:
        for event in RUN:
            report(event)
    written = capsys.readouterr()
    # also where the rest is thrown away
    assert written.err == "[2/9 Teacher] warning: careful\n"
    assert written.out.splitlines() == [
        "[1/9 Data] already done",
        "[2/9 Teacher]",
        "[2/9 Teacher] [dim]Going on from step 2 of 8.",
        "[2/9 Teacher] epoch 1, mAP 31.2",
        "[2/9 Teacher] done in 4.0 s",
        "[3/9 Student alone] already done",
        "[5/9 Export teacher]",
        "[5/9 Export teacher] tracing",
        "[5/9 Export teacher] done in 1 min 10 s",
    ]


def test_plain_lines_about_steps_come_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    with progress("plain") as report:
        report(RUN[1])
        for done in range(8):
            report(step(done))
    assert capsys.readouterr().out.splitlines()[1:] == ["[2/9 Teacher] 2/8 steps", "[2/9 Teacher] 5/8 steps"]


HOSTS = [
    Event("note", "remote", {"host": "orin", "message": "a Jetson"}),
    Event("step", "send", {"host": "orin", "done": 1.5, "total": 3.0, "unit": "MB"}),
    Event("step", "benchmark", {"host": "line-3", "done": 2, "total": 4, "unit": "turns"}),
    Event("step", "benchmark", {"host": "orin", "done": 1, "total": 4, "unit": "turns"}),
    Event("warning", "remote", {"host": "line-3", "message": "hot"}),
]


def test_several_machines_are_told_apart_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("plain") as report:
        for event in HOSTS:
            report(event)
    written = capsys.readouterr()
    assert written.err == "[line-3] warning: hot\n"
    assert written.out.splitlines() == [
        "[orin] a Jetson",
        "[orin send] 1.5/3.0 MB",
        "[line-3 benchmark] 2/4 turns",
    ]


def test_several_machines_have_bars_of_their_own(terminal: io.StringIO) -> None:
    with progress("live") as report:
        for event in HOSTS:
            report(event)
    text = terminal.getvalue()
    last = text[text.rindex("orin send") :].splitlines()
    assert [" ".join(line.replace("━", "").replace("╸", "").split()) for line in last[:3]] == [
        "orin send 50% 1.5/3.0 MB",
        "line-3 benchmark 50% 2/4 turns",
        "orin benchmark 25% 1/4 turns",
    ]
    assert "  orin: a Jetson" in text and "  line-3: warning: hot" in text


def test_json_names_the_stage_of_every_event(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("json") as report:
        for event in RUN:
            report(event)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["event"], one["stage"]) for one in told] == [
        (event.kind, "export-teacher" if event.stage == "export" else event.stage) for event in RUN
    ]
    assert told[3] == {"event": "step", "stage": "teacher", "done": 3, "total": 8, "unit": "steps"}


def test_json_tells_of_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with progress("json") as report:
            report(RUN[1])
            raise TemperError("It broke.")

    with pytest.raises(TemperError, match="It broke"):
        fail()
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told[-1] == {"event": "failed", "stage": "teacher", "message": "It broke."}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 100 columns was sent."""
    screen = io.StringIO()

    def console(**options: object) -> Console:
        return Console(file=screen, force_terminal=True, width=100, color_system=None, legacy_windows=False)

    monkeypatch.setattr("rich.console.Console", console)
    return screen


def test_a_terminal_shows_a_bar_for_every_stage(terminal: io.StringIO) -> None:
    with progress("live") as report:
        for event in RUN:
            report(event)
    text = terminal.getvalue()
    last = text[text.rindex("1/9 Data") :].splitlines()
    assert [" ".join(line.replace("━", "").split()) for line in last[:4]] == [
        "1/9 Data 100% already done",
        "2/9 Teacher 100% mAP 31.2, done in 4.0 s",
        "3/9 Student alone 100% already done",
        "5/9 Export teacher 100% done in 1 min 10 s",
    ]
    assert "  [dim]Going on from step 2 of 8." in text
    assert "  warning: careful" in text
    assert text.endswith("\x1b[?25h"), "the cursor comes back"


def test_the_cursor_comes_back_after_an_error(terminal: io.StringIO) -> None:
    def fail() -> None:
        with progress("live") as report:
            report(RUN[1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert "\x1b[?25l" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[?25h")


def test_the_style_follows_the_place(terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_style(as_json=True) == "json"
    assert choose_style(as_json=False) == "live"
    monkeypatch.setattr("rich.console.Console", lambda: Console(file=io.StringIO()))
    assert choose_style(as_json=False) == "plain"
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("rich.console.Console", lambda: Console(file=io.StringIO(), force_terminal=True))
    assert choose_style(as_json=False) == "plain"
