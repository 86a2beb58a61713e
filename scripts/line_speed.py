"""How fast a line is beside the bare engine and beside the obvious way: ``python scripts/line_speed.py BUNDLE``.

All sides take turns in one run, on the same pictures in memory and with as many threads each:

engine   the runtime alone, on tiles that lie ready, in the calls that the line would make
line     the whole loop: intake, tiles, engine, seams, judging; results are handed over and not stored
obvious  OpenCV, SAHI's slicing and ONNX Runtime in a Python loop, tile by tile; SAHI has to be importable
shipped  the line with another variant or runtime (--variant, --runtime), against the obvious way's fp32

Printed are medians over the rounds, ratios of rounds that ran side by side, and the 99th percentile from a frame in
memory to its verdict at half of the line's rate, beside that of the engine.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from temper.bundle.loader import Bundle, open_bundle
from temper.deploy.cameras.base import CameraEnded
from temper.deploy.cameras.kept import KeptCamera
from temper.deploy.detector import BundleDetector, open_detector
from temper.deploy.frames import Frame
from temper.deploy.line.inspector import Inspector
from temper.deploy.line.intake import Intake
from temper.deploy.line.judge import Judge, Judged
from temper.deploy.line.loop import LineLoop, Result
from temper.deploy.strip.judging import Judging


class Strip:
    """A camera whose pictures lie in memory; gives them as fast as they are taken, or at a rate."""

    facts: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, pictures: Sequence[NDArray[np.uint8]], count: int, rate: float | None = None) -> None:
        self._pictures, self._count, self._rate = pictures, count, rate
        self._given, self._next = 0, time.monotonic()

    def grab(self, timeout: float) -> Frame | None:
        if self._given == self._count:
            raise CameraEnded("That was all.")
        if self._rate is not None:
            time.sleep(max(0.0, self._next - time.monotonic()))
            self._next += 1 / self._rate
        picture = self._pictures[self._given % len(self._pictures)]
        self._given += 1
        return Frame("strip", f"strip {self._given}", picture, frame_id=self._given, arrived=time.monotonic())

    def close(self) -> None:
        pass


class Taker:
    """Takes results over, and notes when."""

    def __init__(self) -> None:
        self.latencies: list[float] = []

    def keep(self, results: Sequence[Result]) -> None:
        now = time.monotonic()
        self.latencies += [1000 * (now - one.frame.arrived) for one in results if isinstance(one, Judged)]


def run_line(
    inspector: Inspector, pictures: Sequence[NDArray[np.uint8]], count: int, rate: float | None = None
) -> tuple[float, list[float]]:
    """Frames a second of the loop, and each frame's milliseconds from memory to its verdict handed over."""
    detector = inspector.detector
    rules = Judging(detector.thresholds, np.zeros(len(detector.thresholds)))
    camera = KeptCamera("strip", lambda: Strip(pictures, count, rate), silence_seconds=None)
    taker = Taker()
    loop = LineLoop([camera], Intake(4, "block"), inspector, Judge(rules, {}, None, None, None), taker)
    started = time.perf_counter()
    loop.run(threading.Event())
    return count / (time.perf_counter() - started), taker.latencies


def run_engine(inspector: Inspector, pictures: Sequence[NDArray[np.uint8]], count: int) -> tuple[float, list[float]]:
    """Frames a second of the runtime alone, and each frame's milliseconds."""
    size = (pictures[0].shape[1], pictures[0].shape[0])
    together = inspector.frames_at_once(size)
    frames = [Frame("strip", "strip", picture) for picture in pictures]
    ready = [
        inspector.prepare([frames[(start + i) % len(frames)] for i in range(together)]).calls
        for start in range(len(frames))
    ]
    took: list[float] = []
    started = time.perf_counter()
    for turn in range(-(-count // together)):
        before = time.perf_counter()
        for call in ready[turn % len(ready)]:
            inspector.detector.runtime.infer(call)
        took.append(1000 * (time.perf_counter() - before))
    return together * len(took) / (time.perf_counter() - started), took


def obvious_way(bundle: Bundle, tile: int, overlap: int, threads: int) -> Callable[[NDArray[np.uint8]], int]:
    """The loop that one writes first."""
    import cv2
    import onnxruntime as ort
    from sahi.slicing import get_slice_bboxes

    variant = bundle.variant("fp32")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(bundle.folder / variant.file), options, providers=["CPUExecutionProvider"])
    manifest = bundle.manifest.at_size_of(variant)
    target = (manifest.input.width, manifest.input.height)
    thresholds = np.array([manifest.thresholds[label] for label in manifest.labels])

    def inspect(picture: NDArray[np.uint8]) -> int:
        height, width = picture.shape[:2]
        share = overlap / tile
        found: list[Any] = []
        for x1, y1, x2, y2 in get_slice_bboxes(height, width, tile, tile, False, share, share):
            part = cv2.resize(picture[y1:y2, x1:x2], target)
            boxes, scores, labels, count = session.run(None, {"image": part[None]})
            for k in range(int(count[0])):
                if scores[0, k] >= thresholds[labels[0, k]]:
                    scale = np.array([(x2 - x1) / target[0], (y2 - y1) / target[1]] * 2)
                    found.append((*(boxes[0, k] * scale + [x1, y1, x1, y1]), scores[0, k], labels[0, k]))
        if found:
            rows = np.array(found)
            sides = np.column_stack([rows[:, :2], rows[:, 2:4] - rows[:, :2]])
            cv2.dnn.NMSBoxesBatched(sides.tolist(), rows[:, 4].tolist(), rows[:, 5].astype(int).tolist(), 0.0, 0.5)
        return len(found)

    return inspect


def run_obvious(
    inspect: Callable[[NDArray[np.uint8]], int], pictures: Sequence[NDArray[np.uint8]], count: int
) -> float:
    """Frames a second of the obvious way."""
    started = time.perf_counter()
    for turn in range(count):
        inspect(pictures[turn % len(pictures)])
    return count / (time.perf_counter() - started)


def make_inspector(
    bundle: Bundle, variant: str | None, runtime: str, threads: int, size: tuple[int, int], tile: int, overlap: int
) -> Inspector:
    """A line's engine, warmed up."""
    detector: BundleDetector = open_detector(bundle, variant, runtime, threads)
    inspector = Inspector(detector, (tile, tile), overlap)
    inspector.warm_up([size], 2)
    return inspector


def strip_pictures(size: tuple[int, int], channels: str) -> list[NDArray[np.uint8]]:
    """Noisy grey strips with some dark and bright spots."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(4):
        picture = rng.normal(120, 12, (size[1], size[0])).clip(0, 255).astype(np.uint8)
        for x, y in zip(rng.integers(0, size[0] - 60, 12), rng.integers(0, size[1] - 60, 12), strict=True):
            picture[y : y + rng.integers(8, 60), x : x + rng.integers(8, 60)] = rng.choice([10, 240])
        pictures.append(picture if channels == "grey" else np.repeat(picture[:, :, None], 3, axis=2))
    return pictures


@click.command()
@click.argument("path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("--width", default=4096, show_default=True)
@click.option("--height", default=1024, show_default=True)
@click.option("--tile", default=200, show_default=True, help="Pixels of the strip that the graph sees at once.")
@click.option("--overlap", default=40, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--frames", default=20, show_default=True, help="Of a round.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--variant", default="int8", show_default=True, help="What the line would ship.")
@click.option("--runtime", default="onnxruntime", show_default=True, help="What would run it.")
def main(
    path: Path,
    width: int,
    height: int,
    tile: int,
    overlap: int,
    threads: int,
    frames: int,
    rounds: int,
    variant: str,
    runtime: str,
) -> None:
    """Measure the line beside the engine and the obvious way."""
    size = (width, height)
    with open_bundle(path) as bundle:
        plain = make_inspector(bundle, "fp32", "onnxruntime", threads, size, tile, overlap)
        shipped = make_inspector(bundle, variant, runtime, threads, size, tile, overlap)
        pictures = strip_pictures(size, bundle.manifest.input.channels)
        sides: dict[str, Callable[[], float]] = {
            "engine": lambda: run_engine(plain, pictures, frames)[0],
            "line": lambda: run_line(plain, pictures, frames)[0],
            "shipped": lambda: run_line(shipped, pictures, frames)[0],
        }
        try:
            inspect = obvious_way(bundle, tile, overlap, threads)
            sides["obvious"] = lambda: run_obvious(inspect, pictures, frames)
        except ImportError:
            print("SAHI is not importable, so the obvious way is left out: pip install --target DIR --no-deps sahi")
        print(f"{len(plain.plan(size))} tiles a frame, calls of {plain.batch_sizes}; shipped: {shipped.batch_sizes}")
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, measure in sides.items():
                rates[name].append(measure())
        for name, values in rates.items():
            print(f"{name:8} {statistics.median(values):8.2f} frames/s ({min(values):.2f} to {max(values):.2f})")
        for one, other in (("line", "engine"), ("line", "obvious"), ("shipped", "obvious")):
            if one in rates and other in rates:
                ratios = [a / b for a, b in zip(rates[one], rates[other], strict=True)]
                print(f"{one} / {other}: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
        half = statistics.median(rates["line"]) / 2
        count = max(4 * frames, 200)
        latencies = run_line(plain, pictures, count, half)[1]
        engine = run_engine(plain, pictures, count)[1]
        for what, share in (("p50", 50), ("p99", 99)):
            line, alone = np.percentile(latencies, share), np.percentile(engine, share)
            print(f"at {half:.1f} frames/s: {what} from memory to verdict {line:.2f} ms, of the engine {alone:.2f} ms")


if __name__ == "__main__":
    main()
