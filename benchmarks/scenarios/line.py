"""The line: frames arrive when the camera takes them, whether anybody is ready or not."""

from __future__ import annotations

import time
from collections import deque
from math import ceil

from .load import Call, Load, Turn

#: From when the schedule is made to the first arrival.
_HEAD_START_SECONDS = 0.002


def drive_line(call: Call, load: Load, first: int = 0) -> Turn:
    """One turn: every frame has its moment of arrival beforehand, and its latency counts from there.

    So a candidate that falls behind cannot put off the frames it would be late for (Tene: "coordinated omission").
    Frames that find it busy wait in a queue; when the queue is full its oldest frame is dropped. A call takes what is
    waiting, at most ``batch`` frames; it never waits for a batch to fill.

    Args:
        call: the candidate.
        load: of the scenario ``line``.
        first: number of the first picture.
    """
    turn = Turn()
    interval = 1 / load.frame_rate_hz
    count = max(1, min(max(load.samples, ceil(load.seconds / interval)), int(load.limit_seconds / interval)))
    waiting: deque[int] = deque()
    arrived = 0
    start = ended = time.perf_counter() + _HEAD_START_SECONDS
    while arrived < count or waiting:
        now = time.perf_counter()
        while arrived < count and start + arrived * interval <= now:
            waiting.append(arrived)
            arrived += 1
        while len(waiting) > load.queue:
            waiting.popleft()
            turn.dropped += 1
        if not waiting:
            # another program may have the processor when this ends: that is latency, as it is on a line
            time.sleep(max(0.0, start + arrived * interval - time.perf_counter()))
            continue
        frames = [waiting.popleft() for _ in range(min(load.batch, len(waiting)))]
        stages = call([(first + frame) % load.pictures for frame in frames])
        ended = time.perf_counter()
        for frame in frames:
            latency = 1000 * (ended - (start + frame * interval))
            turn.samples.append({**stages, "end_to_end": latency})
            turn.late += latency > load.deadline_ms
        turn.images += len(frames)
    turn.seconds = max(ended - start, count * interval)
    return turn
