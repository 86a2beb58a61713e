"""Whether Temper's latencies are those that others measure: the same graph, picture and threads, in turns.

    .venv/bin/python scripts/fidelity.py small.temper --data data/neu-det
    .venv/bin/python scripts/fidelity.py small.temper --data data/neu-det --precision int8 --threads 2

=================== ================= ====================================================================
figure              Temper's          held against
=================== ================= ====================================================================
ONNX Runtime        the clock of the  ONNX Runtime's profiler: the event `model_run` of the same calls, since the
                    stage `compute`   profiler writes an event for every node and so makes calls longer
ONNX Runtime        stage `compute`   the standard library's `timeit` around `InferenceSession.run`
ONNX Runtime        `end_to_end`      `timeit` around OpenCV's `imdecode` and `resize`, and `run`
OpenVINO            stage `compute`   `benchmark_app`, synchronous, its median
=================== ================= ====================================================================

The exit code is 1 if a median differs by more than ``--within`` per cent. It needs a machine that does nothing else.
OpenVINO's part is left out where OpenVINO is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import statistics
import subprocess
import sys
import tempfile
import timeit
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from temper.benchmarks.scenarios.load import Load
from temper.benchmarks.worker import Session
from temper.bundle.loader import Bundle, open_bundle
from temper.bundle.manifest import Variant
from temper.core.errors import TemperError
from temper.deploy.detector import BundleDetector
from temper.deploy.runtimes.load import load_runtime
from temper.deploy.stages import StageTimes, timed
from temper.detection.dataset import load_split
from temper.detection.images import decode_image

#: Name of a row -> its figure of every repetition, Temper's and the other's.
Pairs = dict[str, list[tuple[float, float]]]


class Ours:
    """Temper's own measuring of one picture, as ``temper bench run`` does it."""

    def __init__(
        self, asked: argparse.Namespace, bundle: Bundle, variant: Variant, runtime: str, picture: Path
    ) -> None:
        self._session = Session()
        command = {"bundle": str(bundle.path), "manifest_sha256": bundle.manifest_sha256, "variant": variant.name}
        command |= {"runtime": runtime, "batch": 1, "threads": asked.threads, "pictures": [str(picture)]}
        self._session.load(command)
        self._expected_ms = self._session.warm_up({"seconds": 5.0, "sizes": [1]})["p50_ms"]
        self._seconds = asked.seconds

    def medians(self) -> dict[str, float]:
        """Median milliseconds of each stage over one turn."""
        load = Load("single-stream", 1, 1, self._seconds, 64, 60.0, self._expected_ms)
        answer = self._session.measure({"load": asdict(load), "driver": "temper"})
        return {stage: statistics.median(values) for stage, values in answer["samples_ms"].items()}


def plain_session(graph: str, threads: int, profile: Path | None = None) -> onnxruntime.InferenceSession:
    """A session as one writes it from ONNX Runtime's documentation."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def timeit_median(call: Callable[[], object], seconds: float) -> float:
    """Median milliseconds of a call by the standard library's ``timeit``, one call a sample."""
    timer = timeit.Timer(call)
    once = statistics.median(timer.repeat(5, 1))
    return 1000 * statistics.median(timer.repeat(max(64, int(seconds / once)), 1))


def profiled_medians(graph: str, threads: int, image: Any, seconds: float, folder: Path) -> tuple[float, float]:
    """Median milliseconds of the same calls by Temper's clock around them, and by ONNX Runtime's profiler."""
    session = plain_session(graph, threads, folder / "profile")
    calls = max(64, int(1000 * seconds / timeit_median(lambda: session.run(None, {"image": image}), 0.2)))
    own = []
    for _ in range(calls):
        times: StageTimes = {}
        with timed(times, "compute"):
            session.run(None, {"image": image})
        own.append(times["compute"])
    written = Path(session.end_profiling())
    events = json.loads(written.read_text("utf-8"))
    written.unlink()
    runs = [event["dur"] / 1000 for event in events if event["name"] == "model_run"]
    return statistics.median(own), statistics.median(runs[-calls:])


def benchmark_app_median(graph: Path, threads: int, image: Path, shape: str, seconds: float) -> float:
    """Median milliseconds by OpenVINO's ``benchmark_app`` with the settings of Temper's runtime."""
    program = Path(sys.executable).with_name("benchmark_app")
    command = [
        str(program),
        "-m",
        str(graph),
        "-d",
        "CPU",
        "-hint",
        "none",
        "-nstreams",
        "1",
        "-api",
        "sync",
        "-shape",
        shape,
    ]
    command += [
        "-infer_precision",
        "f32",
        "-nthreads",
        str(threads),
        "-t",
        str(max(1, round(seconds))),
        "-i",
        str(image),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    # of its two reports this one has the digits: in the file a median has two, be it 0.15 ms
    found = re.search(r"Median:\s+([\d.]+) (ms|us)", done.stdout)
    if found is None:
        raise TemperError(f"benchmark_app failed: {done.stdout[-400:]} {done.stderr[-400:]}")
    return float(found[1]) / (1000 if found[2] == "us" else 1)


def measure(asked: argparse.Namespace, bundle: Bundle, variant: Variant, picture: Path, folder: Path) -> Pairs:
    """Every pair of figures, repetition after repetition, the order of the sides changed every time."""
    encoded = picture.read_bytes()
    runtime = load_runtime("onnxruntime", bundle, variant, threads=1)
    detector = BundleDetector(bundle, variant, runtime)
    decoded = decode_image(encoded, detector.channels, picture.name)
    image = detector.to_input(decoded)[None]
    np.save(folder / "image.npy", image)
    graph = folder / "graph.onnx"
    graph.write_bytes(bundle.read(variant))
    height, width = detector.input_shape[:2]
    flag = cv2.IMREAD_GRAYSCALE if detector.channels == "grey" else cv2.IMREAD_COLOR_RGB
    # as the bundle's rule has it
    small = width < decoded.shape[1] and height < decoded.shape[0]
    shrinks = cv2.INTER_AREA if small else cv2.INTER_LINEAR
    plain = plain_session(str(graph), asked.threads)

    def by_hand() -> object:
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), flag)
        if pixels.shape[:2] != (height, width):
            pixels = cv2.resize(pixels, (width, height), interpolation=shrinks)
        return plain.run(None, {"image": pixels[None]})

    ours = Ours(asked, bundle, variant, "onnxruntime", picture)
    others: dict[str, Callable[[], float]] = {
        "compute, timeit": lambda: timeit_median(lambda: plain.run(None, {"image": image}), asked.seconds),
        "end_to_end, timeit": lambda: timeit_median(by_hand, asked.seconds),
    }
    openvino = Ours(asked, bundle, variant, "openvino", picture) if importlib.util.find_spec("openvino") else None
    shape = f"image[{','.join(map(str, image.shape))}]"
    pairs: Pairs = {}
    for repetition in range(asked.repeats):
        first = ours.medians() if repetition % 2 == 0 else None
        told = {name: other() for name, other in others.items()}
        own = first or ours.medians()
        clocks = profiled_medians(str(graph), asked.threads, image, asked.seconds, folder)
        pairs.setdefault("ONNX Runtime: the clock of compute, profiler", []).append(clocks)
        for name, value in told.items():
            pairs.setdefault(f"ONNX Runtime: {name}", []).append((own[name.split(",")[0]], value))
        if openvino is not None:
            first = openvino.medians() if repetition % 2 == 0 else None
            app = benchmark_app_median(graph, asked.threads, folder / "image.npy", shape, asked.seconds)
            own = first or openvino.medians()
            pairs.setdefault("OpenVINO: compute, benchmark_app", []).append((own["compute"], app))
        print(f"repetition {repetition + 1} of {asked.repeats}", file=sys.stderr)
    return pairs


def main() -> int:
    """Print the table; the exit code says whether all agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="data set folder")
    parser.add_argument("--split", default="val")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each side in a repetition")
    parser.add_argument("--within", type=float, default=3.0, help="per cent that the medians may differ by")
    asked = parser.parse_args()
    data = load_split(asked.data, asked.split)
    bundle = open_bundle(asked.bundle)
    variant = bundle.variant(asked.precision)
    with tempfile.TemporaryDirectory(prefix="temper-fidelity-") as folder:
        pairs = measure(asked, bundle, variant, data.image_path(data.samples[0]), Path(folder))
    print(
        f"{asked.bundle.name} {variant.name}, {asked.threads} threads, {asked.repeats} turns of {asked.seconds:g} s\n"
    )
    print("| figure | Temper [ms] | the other [ms] | difference of the medians | of the repetitions |")
    print("| --- | ---: | ---: | ---: | --- |")
    worst = 0.0
    for name, both in pairs.items():
        own, other = (statistics.median(side) for side in zip(*both, strict=True))
        difference = 100 * (own / other - 1)
        worst = max(worst, abs(difference))
        each = [100 * (mine / theirs - 1) for mine, theirs in both]
        print(f"| {name} | {own:.3f} | {other:.3f} | {difference:+.2f} % | {min(each):+.1f} to {max(each):+.1f} % |")
    print(f"\nLargest difference: {worst:.2f} %")
    return 0 if worst <= asked.within else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TemperError as error:
        sys.exit(f"Error: {error}")
