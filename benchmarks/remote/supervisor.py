"""Runs one benchmark on the other machine, apart from any connection; the standard library alone.

It is started by ``far_side.start`` in a session of its own. The lock that it inherits it hands on to the benchmark, so
that the lock is held as long as either of them lives.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since it started."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def run(job: Path, lock: int) -> None:
    """Run the job's words to their end and write down how they ended."""
    words = json.loads((job / "job.json").read_text(encoding="utf-8"))["words"]
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    killed_before, began = oom_kills(), time.monotonic()
    with (job / "events.jsonl").open("ab") as events, (job / "run.log").open("ab") as log:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=events, stderr=log, cwd=job, pass_fds=(lock,)
        )

        def end(number: int, _: FrameType | None) -> None:
            process.send_signal(number)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        code = process.wait()
    told = {"code": code, "oom_kills": oom_kills() - killed_before, "seconds": time.monotonic() - began}
    partial = job / ".exit.json.partial"
    with partial.open("w", encoding="utf-8") as file:
        json.dump(told, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, job / "exit.json")


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]))
