"""A real camera is killed, then the line, which comes back before the camera does: one gap, told once in each state."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from gige import require_aravis
from temper.deploy.drill.rig import Rig, wait_for
from temper.deploy.results.events import EventLog
from tiny_bundle import make_tiny_bundle


def gaps(rig: Rig) -> list[tuple[str, str | None, float | None]]:
    with closing(sqlite3.connect(f"file:{rig.store}?mode=ro", uri=True, timeout=5)) as connection:
        return connection.execute("SELECT cause, until, length_m FROM gap ORDER BY opened_event").fetchall()


@pytest.mark.slow
def test_the_gap_goes_on_over_the_restart_and_ends_with_the_camera(tmp_path: Path) -> None:
    require_aravis()
    with Rig(tmp_path / "line", make_tiny_bundle(tmp_path), size=(128, 100), broker=False) as rig:
        rig.camera.kill()
        wait_for(lambda: any(until is None for _, until, _ in gaps(rig)), 30, "the gap to be stored")
        rig.service.kill()
        rig.service.start()
        wait_for(lambda: rig.count("run") == 2, 60, "the second run")
        rig.camera.start()
        wait_for(lambda: all(until is not None for _, until, _ in gaps(rig)), 60, "the gap to end")
        rig.wait_for_frames(30)
        first, (cause, _, length_m) = gaps(rig)
        assert first[0] == "This program had no frame of it yet."
        assert cause != "This program was not running.", "why it began is what counts"
        assert length_m is not None
        assert length_m > 3.0  # a second of the strip, at the least
        with EventLog(rig.store) as log:
            told = [message for message in log.pending("anyone", 10_000) if message.kind == "gap"]
    assert [message.payload["state"] for message in told] == ["open", "closed"] * 2
    assert len({message.key for message in told}) == 4
