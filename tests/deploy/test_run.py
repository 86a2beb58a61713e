from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from steel_pictures import steel
from temper.bundle.manifest import Accuracy
from temper.core.errors import TemperError
from temper.core.events import Event
from temper.deploy.detector import BundleDetector, Outcome
from temper.deploy.frames import Cause, Frame
from temper.deploy.results.records import FrameResult
from temper.deploy.run import RunSettings, run_detector
from temper.deploy.runtimes.base import RawOutput
from temper.deploy.sources import open_source


def stored(out: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(out / "results.sqlite")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


class Steel:
    """Frames without an end, every third with a defect."""

    name = "endless"
    total = None

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def frames(self) -> Generator[Frame, None, None]:
        index = 0
        while True:
            yield Frame("files", f"endless#{index}", steel(index % 3 == 0), decode_ms=0.1)
            index += 1


def test_every_frame_ends_as_exactly_one_of_three(detector: BundleDetector, pictures: Path, tmp_path: Path) -> None:
    summary = run_detector(detector, open_source(pictures, "grey"), RunSettings(tmp_path / "out"))
    assert (summary.frames, summary.ok, summary.defect, summary.not_inspected) == (7, 4, 2, 1)
    assert summary.ended_by == "source"
    assert list(summary.causes.values()) == [1]
    assert summary.p50_ms is not None
    assert summary.p99_ms is None
    assert stored(tmp_path / "out", "SELECT source, verdict FROM frame ORDER BY number") == [
        ("0.png", "ok"),
        ("1.png", "defect"),
        ("2.png", "ok"),
        ("3.png", "ok"),
        ("4.png", "defect"),
        ("5.png", "ok"),
        ("broken.jpg", "not_inspected"),
    ]
    assert stored(tmp_path / "out", "SELECT ended_by, finished IS NOT NULL FROM run") == [("source", 1)]
    counted = stored(tmp_path / "out", "SELECT label, count(*) FROM detection GROUP BY label")
    assert dict(counted) == summary.defects  # type: ignore[arg-type]


def test_a_frame_is_stored_before_it_is_announced(detector: BundleDetector, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    announced: list[FrameResult] = []

    def announce(result: FrameResult) -> None:
        query = f"SELECT verdict FROM frame WHERE number = {result.number}"
        assert stored(out, query) == [(result.verdict.outcome.value,)]
        if result.picture is not None:
            assert (out / result.picture).is_file()
        announced.append(result)

    run_detector(detector, open_source(pictures, "grey"), RunSettings(out), announce=announce)
    assert [result.number for result in announced] == list(range(7))
    assert announced[-1].cause is Cause.ERROR
    assert announced[-1].detail is not None
    assert set(announced[0].times) == {"decode", "preprocess", "compute", "postprocess", "end_to_end"}


@pytest.mark.parametrize(("which", "indices"), [("all", [0, 1, 2, 3, 4, 5]), ("defects", [1, 4]), ("none", [])])
def test_annotated_pictures(
    detector: BundleDetector, pictures: Path, tmp_path: Path, which: str, indices: list[int]
) -> None:
    out = tmp_path / "out"
    run_detector(detector, open_source(pictures, "grey"), RunSettings(out, which))  # type: ignore[arg-type]
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.jpg"))
    assert files == [f"pictures/run-1/{i:06d}-{i}.jpg" for i in indices]
    named = stored(out, "SELECT picture FROM frame WHERE picture IS NOT NULL ORDER BY picture")
    assert [row[0] for row in named] == files
    for file in files:
        drawn = cv2.imread(str(out / file))
        assert drawn is not None
        assert drawn.shape == (400, 512, 3)


def test_a_second_run_keeps_the_results_of_the_first(detector: BundleDetector, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for expected in (1, 2):
        assert run_detector(detector, open_source(pictures, "grey"), RunSettings(out)).run == expected
    assert stored(out, "SELECT run.number, count(*) FROM frame JOIN run ON run.id = run_id GROUP BY 1") == [
        (1, 7),
        (2, 7),
    ]
    assert len(list(out.rglob("*.jpg"))) == 4


def test_limit_and_progress(detector: BundleDetector, tmp_path: Path) -> None:
    events: list[Event] = []
    summary = run_detector(detector, Steel(), RunSettings(tmp_path, "none", limit=120), report=events.append)
    assert (summary.frames, summary.defect, summary.ended_by) == (120, 40, "limit")
    assert summary.p99_ms is not None
    assert summary.p50_ms is not None
    assert summary.p50_ms <= summary.p99_ms
    last = [event.data for event in events if event.kind == "step"][-1]
    assert (last["done"], last["total"], last["unit"]) == (120, 120, "frames")
    assert (last["ok"], last["defect"], last["not_inspected"]) == (80, 40, 0)
    assert last["frames_per_second"] > 0


def test_stop_ends_the_run_in_good_order(detector: BundleDetector, tmp_path: Path) -> None:
    stop = threading.Event()

    def announce(result: FrameResult) -> None:
        if result.number >= 20:
            stop.set()

    summary = run_detector(detector, Steel(), RunSettings(tmp_path, "none"), announce=announce, stop=stop)
    assert summary.ended_by == "signal"
    assert summary.frames >= 21
    assert stored(tmp_path, "SELECT count(*) FROM frame") == [(summary.frames,)]
    assert stored(tmp_path, "SELECT ended_by FROM run") == [("signal",)]


class FailingRuntime:
    """A real runtime that fails on every other picture."""

    def __init__(self, detector: BundleDetector) -> None:
        self._runtime = detector.runtime
        self.name, self.version = "failing", "1"
        self._calls = 0

    def infer(self, images: NDArray[np.uint8]) -> RawOutput:
        self._calls += 1
        if self._calls % 2 == 0:
            raise TemperError("The accelerator does not answer.")
        return self._runtime.infer(images)

    def close(self) -> None:
        self._runtime.close()


def test_a_runtime_that_fails_leaves_frames_not_inspected(detector: BundleDetector, tmp_path: Path) -> None:
    detector.runtime = FailingRuntime(detector)
    summary = run_detector(detector, Steel(), RunSettings(tmp_path, "all", limit=6))
    assert (summary.ok, summary.defect, summary.not_inspected) == (2, 1, 3)
    assert summary.causes == {"The accelerator does not answer.": 3}
    assert len(list(tmp_path.rglob("*.jpg"))) == 3  # a frame without an answer would look like one without defects


def test_pictures_that_cannot_be_written_end_the_run_and_verdicts_stay(
    detector: BundleDetector, tmp_path: Path
) -> None:
    (tmp_path / "pictures").write_text("a file where the folder should be")
    announced: list[FrameResult] = []
    with pytest.raises((TemperError, OSError), match="pictures"):
        run_detector(detector, Steel(), RunSettings(tmp_path, limit=50), announce=announced.append)
    kept = stored(tmp_path, "SELECT verdict, picture FROM frame")
    assert kept
    assert all(picture is None for _, picture in kept)
    assert stored(tmp_path, "SELECT ended_by FROM run") == [("error",)]


def test_a_source_without_frames_is_one_sentence(detector: BundleDetector, tmp_path: Path) -> None:
    class Empty(Steel):
        def frames(self) -> Generator[Frame, None, None]:
            yield from ()

    with pytest.raises(TemperError, match="No frame could be read from endless"):
        run_detector(detector, Empty(), RunSettings(tmp_path))


def test_warnings_of_a_source_are_told_once(detector: BundleDetector, pictures: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    summary = run_detector(detector, open_source(pictures, "grey"), RunSettings(tmp_path / "out"), report=events.append)
    told = [event.data["message"] for event in events if event.kind == "warning"]
    assert told == summary.warnings == ["Left out, no pictures by their names (1): notes.txt."]


def test_the_summary_is_plain_data(detector: BundleDetector, tmp_path: Path) -> None:
    summary = run_detector(detector, Steel(), RunSettings(tmp_path, "none", limit=3))
    plain = summary.to_dict()
    assert plain["store"] == str(tmp_path / "results.sqlite")
    assert replace(summary, **{**plain, "store": summary.store}) == summary
    assert Outcome("ok") is Outcome.OK


def test_a_bundle_that_finds_nothing_is_warned_of(
    detector: BundleDetector, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = Accuracy(
        images=9, ap=0.12, ap50=1, ap75=0, ap_small=None, ap_medium=0, ap_large=0, per_class={"dark": 0.12, "bright": 0}
    )
    monkeypatch.setattr(detector, "variant", detector.variant.model_copy(update={"accuracy": figures}))
    summary = run_detector(detector, open_source(pictures, "grey"), RunSettings(tmp_path / "out", "none"))
    assert summary.warnings[0].startswith("The fp32 graph of this bundle reached 0.1 mAP of 100 when it was exported")
