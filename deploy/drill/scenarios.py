"""What a line is put through. Each scenario breaks one thing again and again, and then everything is counted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from typing import Any

import psutil

from ...core.errors import TemperError
from .audit import audit_defects, audit_events, audit_frames
from .result import Drill, DrillResult
from .rig import Rig, wait_for

#: Within this a camera that is back must give verdicts again: Aravis notices after 6 s that one is gone, then it is
#: tried every second.
CAMERA_SECONDS = 15.0
#: Within this a part that was killed must be back, with its runtime loaded.
PART_SECONDS = 30.0
#: Within this what waited for a broker must be delivered.
BROKER_SECONDS = 60.0


def camera(drill: Drill) -> DrillResult:
    """The camera is killed and started again."""
    result = DrillResult("camera", drill.times)
    with Rig(drill.folder, drill.bundle, public_key=drill.public_key) as rig:
        for turn in range(drill.times):
            drill.pause(0.5, 2.0)
            rig.camera.kill()
            drill.pause(0.0, 1.0)
            rig.camera.start()
            result.recoveries.append(rig.wait_for_frames(drill.patience * CAMERA_SECONDS * 2))
            drill.told("camera", turn + 1)
        finish(rig, result, drill.patience * CAMERA_SECONDS)
    return result


def broker(drill: Drill) -> DrillResult:
    """The broker is killed and started again."""
    result = DrillResult("broker", drill.times)
    with Rig(drill.folder, drill.bundle, public_key=drill.public_key) as rig:
        assert rig.broker is not None
        for turn in range(drill.times):
            drill.pause(0.5, 2.0)
            rig.broker.kill()
            drill.pause(0.0, 3.0)
            rig.broker.start()
            started = time.monotonic()
            rig.wait_until_told("mqtt", drill.patience * BROKER_SECONDS)
            result.recoveries.append(time.monotonic() - started)
            drill.told("broker", turn + 1)
        finish(rig, result, drill.patience * BROKER_SECONDS)
    return result


def kill(drill: Drill) -> DrillResult:
    """A process of the service, chosen by chance, is killed at a moment chosen by chance."""
    result = DrillResult("kill", drill.times)
    with Rig(drill.folder, drill.bundle, public_key=drill.public_key) as rig:
        for turn in range(drill.times):
            drill.pause(0.1, 3.0)
            parts = rig.parts()
            victim = drill.rng.choice(["supervisor", "inspection", "publishing"])
            if victim == "supervisor":
                rig.service.kill()
                orphans = [pid for pid in parts.values() if not _gone(pid, 3.0)]
                if orphans:
                    result.problems.append(f"Processes {orphans} outlived the supervisor by more than 3 s.")
                rig.service.start()
            elif victim in parts:
                os.kill(parts[victim], signal.SIGKILL)
            result.recoveries.append(rig.wait_for_frames(drill.patience * 2 * PART_SECONDS))
            drill.told("kill", turn + 1)
        finish(rig, result, drill.patience * PART_SECONDS)
    return result


def overload(drill: Drill) -> DrillResult:
    """Twice as many frames as the engine can take, for ``times`` minutes."""
    result = DrillResult("overload", 1)
    size = (1024, 1024)
    slow = {"tiles": {"size": 64, "overlap": 0}, "engine": {"threads": 1}, "mqtt": None}
    changes: dict[str, Any] = {**slow, "overload": {"policy": "block", "queue": 4}}
    with Rig(
        drill.folder / "capacity",
        drill.bundle,
        fps=100,
        size=size,
        changes=changes,
        broker=False,
        public_key=drill.public_key,
    ) as rig:
        time.sleep(2)
        before, started = rig.frames(), time.monotonic()
        time.sleep(8)
        capacity = (rig.frames() - before) / (time.monotonic() - started)
    rate = min(2 * capacity, 200.0)
    changes["overload"] = {"policy": "drop-oldest", "queue": 4}
    with Rig(
        drill.folder / "overload",
        drill.bundle,
        fps=rate,
        size=size,
        changes=changes,
        broker=False,
        public_key=drill.public_key,
    ) as rig:
        memory = _resident(rig)
        for minute in range(drill.times):
            time.sleep(60)
            drill.told("overload", minute + 1)
        result.figures = {
            "capacity_fps": round(capacity, 1),
            "sent_fps": round(rate, 1),
            "memory_growth_percent": round(100 * (_resident(rig) / memory - 1), 1),
        }
        finish(rig, result, drill.patience * PART_SECONDS, sinks=())
    if "not_inspected, dropped" not in result.audit.verdicts:
        result.problems.append("Nothing was dropped, so the line was not overloaded.")
    return result


def finish(
    rig: Rig,
    result: DrillResult,
    limit: float,
    sinks: Sequence[str] = ("mqtt",),
    by_time: bool = True,
    audited: bool = True,
) -> None:
    """Let the line end in good order, and count.

    Args:
        rig: at work.
        result: is told what is not as it must be.
        limit: seconds that a recovery may take.
        sinks: that must have delivered everything.
        by_time: see :func:`audit.audit_frames`.
        audited: whether frames came from the camera that counts.
    """
    for sink in sinks:
        try:
            rig.wait_until_told(sink, max(limit, BROKER_SECONDS))
        except TemperError as error:
            result.problems.append(str(error))
    pids = [pid for pid in (rig.service.pid, *rig.parts().values()) if pid is not None]
    ended = time.time()
    code = rig.service.stop()
    if code != 0:
        result.problems.append(f"The service ended with {code}, not with 0; see {rig.folder / 'service.log'}.")
    left = [pid for pid in pids if not _gone(pid, 3.0)]
    if left:
        result.problems.append(f"Processes {left} are left.")
    slow = [seconds for seconds in result.recoveries if seconds > limit]
    if slow:
        result.problems.append(f"{len(slow)} recoveries took longer than {limit:g} s (the longest {max(slow):.1f} s).")
    if audited:
        result.audit = audit_frames(rig.sent, rig.store, ended, by_time)
    result.problems += audit_defects(rig.store) + audit_events(rig.store, sinks)
    result.figures["strip_defects"] = rig.count("defect")
    if rig.subscriber is not None:
        events = rig.newest_event()
        subscriber = rig.subscriber
        try:
            wait_for(lambda: len(subscriber.keys) >= events, 20, "the subscriber to hear everything")
        except TemperError:
            result.problems.append(f"Of {events} stored events the subscriber heard {len(subscriber.keys)}.")
        result.figures |= {"events": events, "heard": subscriber.heard, "heard_once": len(subscriber.keys)}
        result.problems += _out_of_order(list(subscriber.keys))


def _out_of_order(keys: list[str]) -> list[str]:
    """Whether frames of a run came in order, after each key is counted once."""
    last: dict[str, int] = {}
    for key in keys:
        run, kind, number = key.split(":")[:3]
        if kind == "frame":
            if int(number) < last.get(run, -1):
                return [f"Frame {number} of run {run} came after frame {last[run]}."]
            last[run] = int(number)
    return []


def _gone(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while psutil.pid_exists(pid) and _state(pid) != psutil.STATUS_ZOMBIE:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _state(pid: int) -> str | None:
    try:
        return str(psutil.Process(pid).status())
    except psutil.Error:
        return psutil.STATUS_ZOMBIE


def _resident(rig: Rig) -> int:
    pid = rig.parts().get("inspection")
    return int(psutil.Process(pid).memory_info().rss) if pid else 1
