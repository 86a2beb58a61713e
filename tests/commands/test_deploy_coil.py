from __future__ import annotations

import json
from pathlib import Path

import pytest
from stored_frames import frame_result
from temper.bundle.loader import open_bundle
from temper.cli import main
from temper.deploy.detector import open_detector
from temper.deploy.frames import Cause
from temper.deploy.results.records import FrameResult, seconds_of
from temper.deploy.results.store import Store
from tiny_bundle import make_tiny_bundle


def coil(*words: str, results: Path) -> int:
    return main(["deploy", "coil", *words, "--results", str(results)])


def test_a_coil_from_begin_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    with open_bundle(make_tiny_bundle(tmp_path)) as bundle, Store(results / "results.sqlite") as store:
        detector = open_detector(bundle, threads=1)
        store.begin_run(detector, "cameras", "mill-2", ["top"])
        assert coil("start", "C-17", results=results) == 0
        assert coil("list", "--json", results=results) == 0
        said, listed = capsys.readouterr().out.splitlines()
        begun = json.loads(listed)
        assert (said, begun["name"], begun["line"], begun["ended"]) == ("Coil C-17 has begun.", "C-17", "mill-2", None)
        at = seconds_of(begun["started"])

        def frame(number: int, cause: Cause | None = None) -> FrameResult:
            exposed = at + number * 1e-5
            return frame_result(
                number, cause=cause, exposed=exposed, camera="top", position_m=1.5 * number, length_m=1.5
            )

        store.add([frame(0), frame(1), frame(2, Cause.DROPPED), frame(3)])
        detector.runtime.close()
    assert coil("end", results=results) == 0
    html, table = tmp_path / "coil.html", tmp_path / "coil.csv"
    assert coil("report", "C-17", "--html", str(html), "--csv", str(table), results=results) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[1:3] == [
        "4.5 m of 6.0 m inspected; 1.5 m not inspected: dropped 1.5 m. 4 frames: 3 ok, 0 defect, 1 not inspected.",
        "0 defects of the strip",
    ]
    assert table.read_text().splitlines()[1].startswith("not inspected,3.0,4.5,dropped,")
    assert "1.5 m not inspected: dropped" in html.read_text()
    assert coil("start", "C-18", results=results) == 0
    assert coil("start", "C-19", results=results) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["Coil C-18 has ended.", "Coil C-19 has begun, at 4.5 m."]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("report", "C-1"), "There is no results.sqlite in"),
        (("start", "\x07"), "The name of a coil is 1 to 200 printable characters."),
    ],
)
def test_wrong_use_is_one_sentence(
    words: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert coil(*words, results=tmp_path) == 2
    assert sentence in capsys.readouterr().err
