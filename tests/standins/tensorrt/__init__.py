"""A stand-in for tensorrt: exactly the names of one version, which the environment variable STANDIN_TENSORRT chooses.

It builds "engines" that hold the graph, and runs them with ONNX Runtime on the stand-in for CUDA. What a version does
not have, its classes do not have here, and what TensorRT refuses by its documentation is refused here: so code written
for another version fails as it would there. It says nothing of speed, nor of what a real builder makes of a graph.

========================= ==========================================================================
STANDIN_TENSORRT          8.6.1, 10.8, 10.16 or 11.4
STANDIN_DLA_CORES         how many deep learning accelerators there are; none if not set
STANDIN_FAIL              "build": the builder gives up; "crash": its process dies; "capture": calls cannot be captured;
                          "refuse": no engine is taken
========================= ==========================================================================
"""

from __future__ import annotations

import os
from pathlib import Path

VERSION = os.environ["STANDIN_TENSORRT"]
NAMES = set(
    (Path(__file__).parents[2] / "deploy" / "engines" / "names" / f"tensorrt-{VERSION}.txt")
    .read_text(encoding="utf-8")
    .split()
)
__version__ = {"8.6.1": "8.6.1", "10.8": "10.8.0.43", "10.16": "10.16.1.11", "11.4": "11.4.0.106"}[VERSION]

from .building import *  # noqa: E402, F403
from .enumerations import *  # noqa: E402, F403
from .running import *  # noqa: E402, F403

for _name in [name for name in globals() if name[:1].isupper() and name not in ("NAMES", "VERSION", "Path")]:
    if _name not in NAMES:
        del globals()[_name]
