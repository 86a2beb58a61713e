"""The process that builds an engine: ``python -m temper.deploy.engines.worker REQUEST.json EVENTS``.

A process of its own, because a builder takes gigabytes that it does not give back, and one that crashes or is killed
must take nobody along. ``EVENTS`` is the number of a file descriptor for the messages of ``request.py``; what TensorRT
and its libraries print goes to standard output and error, which the parent keeps in a file.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ...core.errors import TemperError
from .python_api import build_engine
from .request import BuildRequest, Done, Failed, Progress, Tale


def main(arguments: list[str]) -> int:
    """Build what the request says; 0 if there is an engine."""
    request = BuildRequest.model_validate_json(Path(arguments[0]).read_bytes())
    channel = int(arguments[1])

    def tell(tale: Tale) -> None:
        try:
            os.write(channel, tale.model_dump_json().encode() + b"\n")
        except BrokenPipeError:
            os._exit(1)  # nobody waits for the engine any more

    try:
        version = build_engine(request, lambda percent, phase: tell(Progress(percent=percent, phase=phase)))
    except TemperError as error:
        tell(Failed(message=str(error)))
        return 1
    tell(Done(tensorrt=version))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
