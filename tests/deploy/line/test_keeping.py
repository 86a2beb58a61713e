"""Results become rows once, with their pictures once, however often the store refuses them."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from steel_pictures import steel
from temper.core.errors import TemperError
from temper.deploy.detector import BundleDetector
from temper.deploy.frames import Frame
from temper.deploy.line.judge import Judged
from temper.deploy.line.keeping import StoreKeeper
from temper.deploy.results.pictures import PictureWriter
from temper.deploy.results.store import Store


def test_what_is_offered_again_is_drawn_once(
    detector: BundleDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = steel(True)
    frame = Frame("top", "top 7", image, frame_id=7, exposed=time.time(), arrived=time.monotonic())
    judged = Judged(frame, 0, detector.verdict(detector.detect(image)), None, None, {}, 1.0)
    asked: list[int] = []

    def room(length: int) -> bool:
        asked.append(length)
        return True

    with Store(tmp_path / "results.sqlite") as store:
        store.begin_run(detector, "top", "line", ["top"])
        with PictureWriter(tmp_path, 1, detector.bundle.manifest.labels, room=room) as pictures:
            keeper = StoreKeeper(store, pictures, "all", "none")
            add, refusals = store.add, [1, 2, 3]

            def refuse(items: object) -> None:
                if refusals:
                    refusals.pop()
                    raise TemperError("The disk is full.")
                add(items)  # type: ignore[arg-type]

            monkeypatch.setattr(store, "add", refuse)
            results = [judged]
            for _ in range(3):
                with pytest.raises(TemperError, match="disk is full"):
                    keeper.keep(results)
            keeper.keep(results)
            keeper.keep([])
    assert len(asked) == 1
    with closing(sqlite3.connect(tmp_path / "results.sqlite")) as connection:
        ((picture,),) = connection.execute("SELECT picture FROM frame").fetchall()
    assert (tmp_path / picture).is_file()
