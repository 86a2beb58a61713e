from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from stored_frames import frame_result
from temper.core.errors import UsageError
from temper.deploy.detector import BundleDetector
from temper.deploy.frames import Cause, Gap
from temper.deploy.results.coil import Coils
from temper.deploy.results.coil_report import CSV_COLUMNS, make_report, to_csv, to_html
from temper.deploy.results.store import Store
from temper.deploy.strip.defect import StripDefect

#: When the coil begins; a frame of half a metre every half second.
BEGIN = 1_764_000_000.0


@pytest.fixture
def store(tmp_path: Path, detector: BundleDetector) -> Iterator[Store]:
    with Store(tmp_path / "results.sqlite") as opened:
        opened.begin_run(detector, "cameras", "mill-2", ["top"])
        yield opened


def strip(first: int, last: int, **more: object) -> list[object]:
    return [
        frame_result(n, exposed=BEGIN + 0.5 * n, position_m=100 + 0.5 * n, length_m=0.5, camera="top", **more)
        for n in range(first, last)
    ]


def test_metres_inspected_and_not_are_told_first(store: Store, tmp_path: Path) -> None:
    store.add(strip(0, 20))  # before the coil: 10 m
    with Coils(tmp_path) as coils:
        coils.start("C-17", BEGIN + 10)
    store.add(strip(20, 40))
    store.add(strip(40, 44, cause=Cause.DROPPED))
    store.add([Gap("top", BEGIN + 22, BEGIN + 25, 6, 122.0, 3.0, "The camera was unplugged.")])
    store.add(strip(50, 60, cause=Cause.LATE, found=1))
    scratch = StripDefect(2, 0.75, "critical", 112.5, 100.0, 400.0, 30.0, (25, 26), cut=True, repeat_m=1.5)
    early = StripDefect(2, 0.75, "minor", 101.0, 100.0, 40.0, 3.0, (2, 2))
    store.add([scratch, early])
    with Coils(tmp_path) as coils:
        ended = coils.end(BEGIN + 30)
        report = make_report(coils.database, coils.find("C-17"))
    assert ended.line == "mill-2"
    assert report.coil.position_m == 109.5  # where the last frame before it began
    assert report.coverage is not None
    assert report.headline == (
        "10.0 m of 20.5 m inspected; 10.5 m not inspected: not recorded 0.5 m, dropped 2.0 m, gap 3.0 m, late 5.0 m. "
        "34 frames: 20 ok, 0 defect, 14 not inspected."
    )
    assert [(defect["from_m"], defect["label"]) for defect in report.defects] == [(3.0, "rough")]
    read = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert tuple(read[0]) == CSV_COLUMNS
    assert [(row["kind"], row["cause"], row["from_m"], row["to_m"]) for row in read] == [
        ("not inspected", "not recorded", "0.0", "0.5"),
        ("not inspected", "dropped", "10.5", "12.5"),
        ("not inspected", "gap", "12.5", "15.5"),
        ("not inspected", "late", "15.5", "20.5"),
        ("defect", "", "3.0", "3.4"),
    ]
    assert (read[-1]["label"], read[-1]["severity"], read[-1]["cut"], read[-1]["repeat_m"]) == (
        "rough", "critical", "1", "1.5",
    )  # fmt: skip


def test_a_coil_begins_where_the_strip_is_whatever_the_clock_said(store: Store, tmp_path: Path) -> None:
    ahead = [
        frame_result(n, exposed=BEGIN + 3600 + 0.5 * n, position_m=100 + 0.5 * n, length_m=0.5, camera="top")
        for n in range(10)
    ]
    store.add([*ahead, *strip(10, 20), frame_result(20, exposed=BEGIN + 10, camera="top", cause=Cause.LOST)])
    with Coils(tmp_path) as coils:
        assert coils.start("C-1", BEGIN + 10)[0].position_m == 109.5


def test_a_coil_has_the_frames_that_were_stored_within_it_whatever_the_clock_said(
    store: Store, tmp_path: Path, detector: BundleDetector
) -> None:
    """The clock is an hour ahead at first, is set right within the coil, and goes wrong again after it."""

    def seen(numbers: range, begin: float) -> list[object]:
        each = {"length_m": 0.5, "camera": "top"}
        return [frame_result(n, exposed=begin + 0.5 * n, position_m=100 + 0.5 * n, **each) for n in numbers]

    with Coils(tmp_path) as coils:
        store.add(seen(range(10), BEGIN + 3600))
        coils.start("C-1", BEGIN + 3605)
        store.add(seen(range(10, 20), BEGIN + 3600))
        store.add(
            [*seen(range(20, 40), BEGIN), StripDefect(0, 0.5, "major", 111.0, 10, 40, 3, (22, 22), side="bottom")]
        )
        store.add([Gap("top", BEGIN - 60, None, None, 120.0, None, "The cable was out.")])
        coils.start("C-2", BEGIN + 20)
        store.add([Gap("top", BEGIN - 60, BEGIN - 59, 1, 120.0, 0.5, "The cable was out.", ends=True)])
        store.add(seen(range(41, 50), BEGIN - 3600))
        coils.end(BEGIN - 3575)
        store.add(seen(range(50, 60), BEGIN - 3600))
        store.begin_run(detector, "cameras", "mill-2", ["top"])
        store.add(seen(range(10), BEGIN + 10))
        first, second = (make_report(coils.database, coils.find(name)) for name in ("C-1", "C-2"))
    assert first.headline.endswith("30 frames: 30 ok, 0 defect, 0 not inspected.")
    assert [(row["label"], row["side"]) for row in first.defects] == [("dark", "bottom")]
    assert second.headline.endswith("9 frames: 9 ok, 0 defect, 0 not inspected.")
    assert [[gap["position_m"] for gap in report.gaps] for report in (first, second)] == [[120.0], [120.0]]


def test_what_was_exposed_before_a_coil_and_stored_after_its_beginning_is_the_coils_before(
    store: Store, tmp_path: Path
) -> None:
    with Coils(tmp_path) as coils:
        coils.start("C-1", BEGIN - 1)
        store.add(strip(0, 20))
        coils.start("C-2", BEGIN + 11)  # frames 20 and 21 are on their way to their verdicts
        store.add(strip(20, 40))
        first, second = (make_report(coils.database, coils.find(name)) for name in ("C-1", "C-2"))
    assert [sum(report.frames["top"].values()) for report in (first, second)] == [22, 18]


def test_a_gap_that_lasts_is_told(store: Store, tmp_path: Path) -> None:
    with Coils(tmp_path) as coils:
        coils.start("C-1", BEGIN)
        store.add([*strip(0, 20), Gap("top", BEGIN + 9.5, None, None, 109.5, None, "The cable was out.")])
        coils.end(BEGIN + 60)
        report = make_report(coils.database, coils.find("C-1"))
    (warning,) = report.warnings
    assert warning.startswith("The camera top has given no frame since 2025-11-24T16:00:09.500000Z")
    assert "<td>lasts</td>" in to_html(report)


def test_the_side_of_the_strip_is_told(store: Store, tmp_path: Path) -> None:
    with Coils(tmp_path) as coils:
        coils.start("C-1", BEGIN)
        store.add([*strip(0, 10, side="bottom")])
        store.add([StripDefect(0, 0.5, "major", 101.0, 10.0, 40.0, 3.0, (2, 2), side="bottom")])
        report = make_report(coils.database, coils.find("C-1"))
    assert report.sides == {"top": "bottom"}
    assert to_html(report).count('<td class="text">bottom</td>') == 2
    (row,) = csv.DictReader(io.StringIO(to_csv(report)))
    assert row["side"] == "bottom"


def test_a_coil_begins_by_the_newest_run_that_saw_the_strip(
    store: Store, tmp_path: Path, detector: BundleDetector
) -> None:
    store.add(strip(0, 4))
    store.begin_run(detector, "cameras", "mill-2", ["top"])
    store.add([frame_result(0, exposed=BEGIN - 60, position_m=3.0, length_m=0.5, camera="top")])
    store.begin_run(detector, "cameras", "mill-2", ["top"])
    with Coils(tmp_path) as coils:
        assert coils.start("C-1", BEGIN)[0].position_m == 3.0


def test_a_camera_that_is_still_away_at_the_end_is_told(store: Store, tmp_path: Path) -> None:
    with Coils(tmp_path) as coils:
        coils.start("C-1", BEGIN)
        store.add(strip(0, 20))
        coils.end(BEGIN + 60)
        report = make_report(coils.database, coils.find("C-1"))
    (warning,) = report.warnings
    assert warning.startswith("The camera top gave no frame in the last 50 s of this coil")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.classes: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.classes += [value or "" for name, value in attrs if name == "class"]
        self.outside += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_needs_nothing_else_and_shows_what_was_missed(store: Store, tmp_path: Path) -> None:
    with Coils(tmp_path) as coils:
        coils.start("<C-17>", BEGIN)
        store.add([*strip(0, 10), *strip(10, 12, cause=Cause.BLACK)])
        store.add([StripDefect(0, 0.5, "major", 101.0, 10.0, 40.0, 3.0, (2, 2))])
        page = to_html(make_report(coils.database, coils.find("<C-17>")))
    tags = Tags()
    tags.feed(page)
    assert "<C-17>" not in page
    assert page.index("5.0 m of 6.0 m inspected; 1.0 m not inspected: black 1.0 m.") < page.index("<svg")
    assert (tags.classes.count("gone"), tags.classes.count("major"), tags.outside) == (1, 1, [])


def test_a_camera_that_gave_nothing_hides_no_metre(tmp_path: Path, detector: BundleDetector) -> None:
    with Store(tmp_path / "results.sqlite") as store, Coils(tmp_path) as coils:
        store.begin_run(detector, "cameras", "mill-2", ["top", "bottom"])
        coils.start("C-1", BEGIN)
        store.add(strip(0, 10))
        report = make_report(coils.database, coils.find("C-1"))
    assert report.headline.startswith("0.0 m of 5.0 m inspected; 5.0 m not inspected: not recorded 5.0 m.")
    assert report.warnings == ["There is no frame of camera bottom: nothing before it was inspected."]


def test_a_count_that_began_anew_is_said(store: Store, tmp_path: Path, detector: BundleDetector) -> None:
    with Coils(tmp_path) as coils:
        coils.start("C-1", BEGIN)
        store.add(strip(0, 10))
        store.begin_run(detector, "cameras", "mill-2", ["top"])
        again = [
            frame_result(n, exposed=BEGIN + 60 + n, position_m=0.5 * n, length_m=0.5, camera="top", minute=1)
            for n in range(4)
        ]
        store.add([*again, StripDefect(0, 0.5, "major", 1.0, 10.0, 40.0, 3.0, (2, 2))])
        report = make_report(coils.database, coils.find("C-1"))
    assert "began anew" in report.warnings[0]
    assert report.coverage is not None
    assert report.coverage.length_m == pytest.approx(6.5)
    assert report.defects[0]["from_m"] == pytest.approx(5.5)


def test_without_positions_frames_are_counted_and_metres_are_not_invented(store: Store, tmp_path: Path) -> None:
    with Coils(tmp_path) as coils:
        coils.start("C-1", BEGIN)
        store.add([frame_result(n, exposed=BEGIN + n) for n in range(3)])
        report = make_report(coils.database, coils.find("C-1"))
        assert to_csv(report).count("\n") == 1
        assert "not known, as no frame has a position. 3 frames: 3 ok" in to_html(report)
        coils.start("C-2", BEGIN + 10)
        empty = make_report(coils.database, coils.find("C-2"))
    assert empty.warnings == ["There is no frame of this coil: nothing of it was inspected."]


def test_coils_follow_one_another(store: Store, tmp_path: Path) -> None:
    now = time.time()
    with Coils(tmp_path) as coils:
        assert coils.start("C-1", now)[1] is None
        second, ended = coils.start("C-2", now + 5)
        assert (ended and ended.name, second.name) == ("C-1", "C-2")
        with pytest.raises(UsageError, match="There is a coil 'C-1' already"):
            coils.start("C-1", now + 6)
        coils.end(now - 100)  # the clock was set back
        with pytest.raises(UsageError, match="There is no coil on the line"):
            coils.end(now)
        first, last = coils.all()
        assert (first.ended, last.ended) == (last.started, last.started)
        with pytest.raises(UsageError, match=r"There is no coil 'C-3'\. Did you mean"):
            coils.find("C-3")
    with pytest.raises(UsageError, match="There is no results.sqlite in"):
        Coils(tmp_path / "elsewhere")
