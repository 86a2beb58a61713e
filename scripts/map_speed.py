"""How fast mAP is: Temper's figures and pycocotools' on the same detections, which must agree to 1e-9.

    .venv/bin/python scripts/map_speed.py                  # 100,000 detections on 5,000 pictures, 3 times each
    .venv/bin/python scripts/map_speed.py --at-least 5     # exit code 1 if it is not 5 times as fast

Both begin with the detections in memory as their own kind of objects, and end with the figures. On a machine that does
nothing else; the best of the repeats counts.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from temper.detection.dataset import DataSet, Sample, to_coco
from temper.detection.detections import Detections
from temper.detection.metrics import FAMILY, judge

CLASSES, SIDE, MOST = 6, 640, 100


def make_case(detections: int, images: int, seed: int = 0) -> tuple[DataSet, list[Detections]]:
    """Pictures with a few boxes of every size each; of the detections some lie near them, most elsewhere."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(detections, np.full(images, 1 / images))
    samples, answers = [], []
    for number, rows in enumerate(counts.tolist()):
        count = int(rng.integers(1, 8))
        corners = rng.uniform(0, SIDE - 200, (count, 2))
        boxes = np.concatenate([corners, corners + np.exp(rng.uniform(2, 5.2, (count, 2)))], axis=1)
        labels = rng.integers(0, CLASSES, count)
        samples.append(Sample(f"{number}.png", SIDE, SIDE, boxes.astype(np.float32), labels.astype(np.int32)))
        near = rng.random(rows) < 0.4
        picks = rng.integers(0, count, rows)
        start = rng.uniform(0, SIDE - 200, (rows, 2))
        wild = np.concatenate([start, start + np.exp(rng.uniform(2, 5.2, (rows, 2)))], axis=1)
        found = np.where(near[:, None], boxes[picks] + rng.normal(0, 6, (rows, 4)), wild)
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        said = np.where(near & (rng.random(rows) < 0.9), labels[picks], rng.integers(0, CLASSES, rows))
        scores = np.sort(rng.random(rows))[::-1]
        answers.append(
            Detections(found.astype(np.float32), scores.astype(np.float32), said.astype(np.int32), (SIDE, SIDE))
        )
    return DataSet(tuple(f"class{i}" for i in range(CLASSES)), tuple(samples), Path("images")), answers


def as_results(answers: list[Detections]) -> list[dict[str, Any]]:
    """The detections as pycocotools takes them."""
    return [
        {"image_id": i, "category_id": label + 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
        for i, found in enumerate(answers, start=1)
        for (x1, y1, x2, y2), score, label in zip(
            found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
        )
    ]


def by_pycocotools(truth: dict[str, Any], results: list[dict[str, Any]]) -> list[float]:
    """Its six figures in points, and each class's AP."""
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO()
        data.dataset = truth
        data.createIndex()
        judged = COCOeval(data, data.loadRes(results), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    classes = [judged.eval["precision"][:, :, k, 0, 2] for k in range(CLASSES)]
    return [100 * float(value) for value in (*judged.stats[:6], *(c[c > -1].mean() for c in classes))]


def by_temper(data: DataSet, answers: list[Detections]) -> list[float]:
    """The same figures."""
    judged = judge(data, answers)
    figures = judged.family()
    return [figures[name] or 0.0 for name in FAMILY] + [judged.family(name)["ap"] or 0.0 for name in data.labels]


def best_time(repeats: int, call: Callable[[], list[float]]) -> tuple[float, list[float]]:
    """Seconds of the fastest of several calls, and what it gave."""
    best, figures = float("inf"), []
    for _ in range(repeats):
        started = time.perf_counter()
        figures = call()
        best = min(best, time.perf_counter() - started)
    return best, figures


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--detections", type=int, default=100_000)
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--at-least", type=float, help="exit code 1 if Temper is not so many times as fast")
    given = parser.parse_args()
    data, answers = make_case(given.detections, given.images)
    results, truth = as_results(answers), to_coco(data)
    theirs, their_figures = best_time(given.repeats, lambda: by_pycocotools(truth, [dict(row) for row in results]))
    ours, our_figures = best_time(given.repeats, lambda: by_temper(data, answers))
    apart = max(abs(a - b) for a, b in zip(our_figures, their_figures, strict=True))
    print(f"{given.detections:,} detections on {given.images:,} pictures, best of {given.repeats}")
    print(f"pycocotools {theirs:.2f} s, Temper {ours:.2f} s: {theirs / ours:.1f} times as fast")
    print(f"mAP {our_figures[0]:.2f}; largest difference of {len(our_figures)} figures: {apart:.1e} points")
    if apart > 1e-9:
        print("The figures differ.")
        return 1
    return 1 if given.at_least is not None and theirs / ours < given.at_least else 0


if __name__ == "__main__":
    sys.exit(main())
