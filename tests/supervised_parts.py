"""Parts that a supervisor is tried on; each is imported by name in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from temper.core.errors import TemperError, UsageError
from temper.deploy.supervision.part import Context


def _note(path: str, text: str) -> None:
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{text} {os.getpid()}\n")


def steady(context: Context, log: str, name: str = "steady") -> None:
    """Works until it is stopped, and says when it has finished."""
    _note(log, f"{name} started")
    context.ready()
    while not context.stop.wait(0.05):
        context.beat(name)
    _note(log, f"{name} stopped")


def brief(context: Context, log: str) -> None:
    """Ends by itself."""
    _note(log, "brief started")
    context.ready()


def crash(context: Context, log: str, how: str) -> None:
    """Fails soon after it began."""
    _note(log, f"crash {how}")
    context.ready()
    time.sleep(0.1)
    if how == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "sentence":
        raise TemperError("The engine does not load.")
    if how == "usage":
        raise UsageError("There is no camera of that name.")
    raise RuntimeError("a bug")


def hang(context: Context, log: str, how: str) -> None:
    """Gives signs of life for a while, then none; when it is started again it is steady."""
    again = Path(log).exists() and "hang" in Path(log).read_text(encoding="utf-8")
    _note(log, "hang started")
    context.ready()
    for _ in range(10):
        context.beat("steady")
        time.sleep(0.05)
    if again:
        steady(context, log)
    elif how == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif how == "gil":
        sys.setswitchinterval(1000)
        while True:  # never lets another thread run
            pass
    else:
        time.sleep(1000)


def never_ready(context: Context, log: str) -> None:
    """Takes for ever to begin."""
    _note(log, "never ready")
    time.sleep(1000)


def stubborn(context: Context, log: str) -> None:
    """Does not stop when it is asked to."""
    _note(log, "stubborn started")
    context.ready()
    while True:
        context.beat("steady")
        time.sleep(0.05)


def greedy(context: Context, log: str) -> None:
    """Uses more memory the first time."""
    again = Path(log).exists() and "greedy" in Path(log).read_text(encoding="utf-8")
    _note(log, "greedy started")
    held = bytearray(0 if again else 300 << 20)
    context.ready()
    while not context.stop.wait(0.05):
        context.beat("steady")
    _note(log, f"greedy stopped {len(held)}")


def with_grandchild(context: Context, log: str) -> None:
    """Has a process of its own, which ends with it."""
    _note(log, "parent started")
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    _note(log, f"grandchild {child.pid}")
    try:
        steady(context, log)
    finally:
        child.kill()
        child.wait()


def silent(context: Context, log: str) -> None:
    """Is at work, and never gives the sign of life that it should."""
    _note(log, "silent started")
    context.ready()
    context.stop.wait()


def partly_done(context: Context, log: str) -> None:
    """One of its two threads has done its work early on."""
    _note(log, "partly started")
    context.ready()
    context.beat("done")
    context.rest("done")
    while not context.stop.wait(0.05):
        context.beat("steady")


def sources_end(context: Context, log: str) -> None:
    """Ends by itself and well, after a while."""
    _note(log, "sources started")
    context.ready()
    time.sleep(0.5)


def secretive(context: Context, log: str) -> None:
    """Fails with a sentence that holds a password, and several lines."""
    import logging

    _note(log, "secretive started")
    context.ready()
    logging.getLogger("temper.secretive").warning("no answer of\nrtsp://user:hunter2@10.0.0.7/live")
    raise TemperError("rtsp://user:hunter2@10.0.0.7/live does not answer.")


def supervise(folder: str, log: str) -> None:
    """A supervisor with two parts, to be killed."""
    import threading

    from temper.deploy.supervision.part import Part
    from temper.deploy.supervision.supervisor import Supervisor

    parts = [
        Part(name, "supervised_parts:steady", {"log": log, "name": name}, beats=(name,)) for name in ("one", "two")
    ]
    Supervisor(parts, Path(folder)).run(threading.Event())


def supervise_until_stopped(folder: str, log: str) -> None:
    """A supervisor as a service has it: signals, a log, two parts that watch closely."""
    from temper.deploy.stop import stop_on_signals
    from temper.deploy.supervision.log import log_to_stderr
    from temper.deploy.supervision.part import Part
    from temper.deploy.supervision.supervisor import Supervisor

    log_to_stderr()
    parts = [
        Part(name, "supervised_parts:steady", {"log": log, "name": name}, beats=(name,), hang_seconds=4.0)
        for name in ("one", "two")
    ]
    with stop_on_signals() as stop:
        Supervisor(parts, Path(folder)).run(stop)
