"""The inspecting part of a line in a process of its own, which a test may kill: ``inspect_folder.py BUNDLE CONFIG``."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path


def main(bundle: str, config: str) -> None:
    """Inspect until SIGTERM; ``ready`` on stdout says that it is at work."""
    from temper.deploy.line.inspection import run
    from temper.deploy.supervision.part import Context

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    context = Context(
        stop=stop,
        beat=lambda name: None,
        rest=lambda name: None,
        gauge=lambda name, value: None,
        ready=lambda: print("ready", flush=True),
    )
    run(context, json.loads(Path(config).read_text()), bundle, None, None)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
