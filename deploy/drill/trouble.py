"""What else a line is put through: full disks, clocks that are set, the plant's database, broken pictures, and time."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

from ...core.errors import TemperError
from .gige_pictures import draw_pictures
from .postgres import own_postgres
from .result import Drill, DrillResult
from .rig import Rig, wait_for
from .scenarios import PART_SECONDS, finish

#: Within this what waited for the plant's database must be there.
PLANT_SECONDS = 60.0
#: Size of the small disk, and of what is written onto it at most, in bytes.
_DISK_BYTES = 48 << 20
#: Loaded by each of the service's processes when it starts.
_SET_CLOCK = """\
import time
_real = time.time
def _set():
    try:
        with open({offset!r}) as file:
            return _real() + float(file.read() or 0)
    except (OSError, ValueError):
        return _real()
time.time = _set
time.time_ns = lambda: int(_set() * 1e9)
"""


def plant(drill: Drill) -> DrillResult:
    """The plant's PostgreSQL is ended as by a crash, and started again."""
    result = DrillResult("plant", drill.times)
    with own_postgres() as server:
        address = server.new_database()
        with Rig(drill.folder, drill.bundle, changes={"plant": {"url": address}}, public_key=drill.public_key) as rig:
            for turn in range(drill.times):
                drill.pause(0.5, 3.0)
                server.stop()
                drill.pause(0.0, 3.0)
                server.start()
                started = time.monotonic()
                rig.wait_until_told("plant", drill.patience * PLANT_SECONDS)
                result.recoveries.append(time.monotonic() - started)
                drill.told("plant", turn + 1)
            finish(rig, result, drill.patience * PLANT_SECONDS, sinks=("mqtt", "plant"))
            database = address.rpartition("/")[2]
            for table in ("frame", "gap", "detection", "defect"):
                here = rig.count(table)
                there = int(server.query(database, f"SELECT count(*) FROM {table}")[0][0])
                if here != there:
                    result.problems.append(f"The store has {here} rows in {table}, the plant's database {there}.")
            result.figures["rows_of_frames"] = rig.count("frame")
    return result


def disk(drill: Drill) -> DrillResult:
    """The disk of the results is filled, and emptied again; needs the right to mount."""
    result = DrillResult("disk", drill.times)
    drill.folder.mkdir(parents=True)
    with _small_disk(drill.folder / "disk") as place:
        changes = {"results": {"folder": str(place), "pictures": "all", "keep": {"free_gigabytes": 0.02}}}
        with Rig(drill.folder, drill.bundle, changes=changes, results=place, public_key=drill.public_key) as rig:
            for turn in range(drill.times):
                drill.pause(1.0, 3.0)
                filler = place / "filler"
                with contextlib.suppress(OSError), filler.open("wb") as file:
                    while True:
                        file.write(bytes(1 << 16))
                drill.pause(3.0, 6.0)
                filler.unlink()
                result.recoveries.append(rig.wait_for_frames(drill.patience * PART_SECONDS))
                drill.told("disk", turn + 1)
            finish(rig, result, drill.patience * PART_SECONDS)
            result.figures["pictures"] = sum(1 for _ in place.glob("pictures/*/*.jpg"))
    return result


def clock(drill: Drill) -> DrillResult:
    """The time of day is set forth and back, by seconds, hours and a year; frames are then told by their ids alone.

    It is set for the service alone, where Python asks for it. libfaketime would set it for the libraries below as
    well, but Python's own waits do not survive that.
    """
    result = DrillResult("clock", drill.times)
    offset = drill.folder / "offset"
    shim = drill.folder / "clock"
    shim.mkdir(parents=True)
    offset.write_text("0")
    (shim / "sitecustomize.py").write_text(_SET_CLOCK.format(offset=str(offset)))
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, (str(shim), os.environ.get("PYTHONPATH"))))}
    with Rig(drill.folder / "line", drill.bundle, environment=environment, public_key=drill.public_key) as rig:
        for turn in range(drill.times):
            drill.pause(1.0, 2.0)
            partial = offset.with_suffix(".partial")
            partial.write_text(drill.rng.choice(["10800", "-10800", "0", "34560000", "-40"]))
            partial.replace(offset)
            result.recoveries.append(rig.wait_for_frames(drill.patience * PART_SECONDS))
            drill.told("clock", turn + 1)
        offset.write_text("0")
        finish(rig, result, drill.patience * PART_SECONDS, by_time=False)
        log = (rig.folder / "service.log").read_text(encoding="utf-8", errors="replace")
        restarts = log.count("is started anew")
        result.figures["restarts"] = restarts
        gaps = result.audit.gaps - 1  # the one before the first frame
        if restarts or gaps:
            result.problems.append(f"The clock cost {restarts} restarts and {gaps} gaps.")
    return result


def frames(drill: Drill) -> DrillResult:
    """``times`` broken JPEG files come through a watched folder; each must end as something."""
    result = DrillResult("frames", drill.times)
    incoming = drill.folder / "incoming"
    incoming.mkdir(parents=True)
    camera = {
        "name": "top",
        "type": "folder",
        "path": str(incoming),
        "settle_seconds": 0.2,
        "give_up_seconds": 0.5,
        "afterwards": "delete",
    }
    changes: dict[str, Any] = {"cameras": [camera], "strip": {}, "overload": {"policy": "block"}}
    with Rig(
        drill.folder / "line", drill.bundle, changes=changes, first_frame=False, public_key=drill.public_key
    ) as rig:
        whole = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in draw_pictures(256, 256)]
        started = time.monotonic()
        for number in range(drill.times):
            partial = incoming / ".writing"
            partial.write_bytes(_mutated(whole[number % len(whole)], drill))
            partial.rename(incoming / f"{number:06d}.jpg")
            if number % 1000 == 999:
                drill.told("frames", number + 1)
        wait_for(lambda: rig.frames() >= drill.times, 60 + drill.times / 20, "every file to end as something")
        result.figures["files_per_second"] = round(drill.times / (time.monotonic() - started), 1)
        finish(rig, result, drill.patience * PART_SECONDS, audited=False)
        result.audit.verdicts = rig.verdicts()
        result.audit.sent, result.audit.judged = drill.times, sum(result.audit.verdicts.values())
        if result.audit.judged != drill.times:
            result.problems.append(f"{drill.times} files came, {result.audit.judged} have a verdict.")
    return result


def soak(drill: Drill) -> DrillResult:
    """The line works undisturbed for ``times`` minutes; memory, descriptors, threads and latency must hold."""
    result = DrillResult("soak", drill.times)
    with Rig(drill.folder, drill.bundle, fps=50.0, public_key=drill.public_key) as rig:
        time.sleep(min(60.0, 6.0 * drill.times))  # until caches and pools have their size
        before = _weigh(rig)
        for minute in range(drill.times):
            time.sleep(60)
            drill.told("soak", minute + 1)
        after = _weigh(rig)
        finish(rig, result, drill.patience * PART_SECONDS)
        first, last = _percentiles(rig.store)
    growth = 100 * (after["memory"] / before["memory"] - 1)
    drift = 100 * (last / first - 1)
    result.figures |= {
        "memory_mib": round(after["memory"] / (1 << 20), 1),
        "memory_growth_percent": round(growth, 2),
        "descriptors": after["descriptors"] - before["descriptors"],
        "threads": after["threads"] - before["threads"],
        "p99_first_ms": round(first, 2),
        "p99_last_ms": round(last, 2),
        "p99_drift_percent": round(drift, 1),
    }
    if result.audit.gaps > 1:  # there is one before the first frame
        result.problems.append(f"There are {result.audit.gaps - 1} gaps, though nothing was broken.")
    if growth > 1:
        result.problems.append(f"Memory grew by {growth:.1f} %.")
    if after["descriptors"] > before["descriptors"] or after["threads"] > before["threads"]:
        result.problems.append("There are more descriptors or threads than at the beginning.")
    if drift > 5:
        result.problems.append(f"The 99th percentile of the last tenth is {drift:.1f} % above that of the first.")
    return result


def _mutated(content: bytes, drill: Drill) -> bytes:
    """A JPEG with bytes changed, cut off, doubled or swapped; one in ten is left whole."""
    rng = drill.rng
    kind = rng.randrange(10)
    if kind == 0:
        return content
    if kind <= 3:
        return content[: rng.randrange(len(content))]
    changed = bytearray(content)
    for _ in range(rng.randrange(1, 40)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    if kind == 9:
        place = rng.randrange(len(changed))
        changed[place:place] = changed[: rng.randrange(len(changed))]
    return bytes(changed)


def _weigh(rig: Rig) -> dict[str, float]:
    """What the service's processes hold, all together."""
    total: dict[str, float] = {"memory": 0.0, "descriptors": 0.0, "threads": 0.0}
    for pid in (rig.service.pid, *rig.parts().values()):
        if pid is not None:
            process = psutil.Process(pid)
            total["memory"] += process.memory_info().rss
            total["descriptors"] += process.num_fds()
            total["threads"] += process.num_threads()
    return total


def _percentiles(store: Path) -> tuple[float, float]:
    """The 99th percentile of the latency, in ms, of the first and of the last tenth of the frames."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT latency_ms FROM frame WHERE latency_ms IS NOT NULL ORDER BY number"
        ).fetchall()
    latencies = np.array(rows, np.float64).ravel()
    part = max(1, len(latencies) // 10)
    return float(np.percentile(latencies[:part], 99)), float(np.percentile(latencies[-part:], 99))


@contextlib.contextmanager
def _small_disk(place: Path) -> Iterator[Path]:
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        raise TemperError("This drill mounts a small disk, which only root may do.")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)
