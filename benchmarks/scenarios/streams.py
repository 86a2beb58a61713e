"""Temper's own driver of single stream, multi stream and offline, as in MLPerf Inference (Reddi et al., ISCA 2020)."""

from __future__ import annotations

import time

from .load import Call, Load, Turn, add_up, split


def drive_streams(call: Call, load: Load, first: int = 0) -> Turn:
    """One turn: the next query is issued when the last one is answered; offline there is but one.

    Args:
        call: the candidate.
        load: in any scenario but ``line``.
        first: number of the first picture.
    """
    turn = Turn()
    if load.scenario == "offline":
        _offline(call, load, first, turn)
    else:
        _closed_loop(call, load, first, turn)
    return turn


def _closed_loop(call: Call, load: Load, first: int, turn: Turn) -> None:
    size = load.query_pictures if load.scenario == "multi-stream" else load.batch
    started = now = time.perf_counter()
    while now - started < load.seconds or len(turn.samples) < load.samples:
        if turn.samples and now - started >= load.limit_seconds:
            break
        query = [(first + turn.images + i) % load.pictures for i in range(size)]
        issued = time.perf_counter()
        stages = add_up([call(part) for part in split(query, load.batch)])
        now = time.perf_counter()
        turn.samples.append({**stages, "end_to_end": 1000 * (now - issued)})
        turn.images += size
    turn.seconds = now - started


def _offline(call: Call, load: Load, first: int, turn: Turn) -> None:
    query = [(first + i) % load.pictures for i in range(load.offline_pictures)]
    started = now = time.perf_counter()
    for part in split(query, load.batch):
        if turn.samples and now - started >= load.limit_seconds:
            break
        turn.samples.append(call(part))
        turn.images += len(part)
        now = time.perf_counter()
    turn.seconds = now - started
