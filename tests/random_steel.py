"""Data sets and detections at random, for tests of figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from temper.detection.dataset import DataSet, Sample
from temper.detection.detections import Detections


def random_steel(
    seed: int, images: int = 8, classes: int = 3, *, unlike: bool = True, good: float = 0.3
) -> tuple[DataSet, list[Detections]]:
    """Pictures of 300 x 300 px with up to five boxes of all sizes, and detections near them and elsewhere.

    Args:
        seed: of all chance.
        images: how many.
        classes: how many; they are called ``class0`` and so on.
        unlike: whether all scores differ; else many are the same.
        good: share of pictures without a defect.
    """
    rng = np.random.default_rng(seed)
    samples, detections = [], []
    for number in range(images):
        count = 0 if rng.random() < good else int(rng.integers(1, 6))
        corners = rng.uniform(0, 200, (count, 2))
        boxes = np.concatenate([corners, corners + np.exp(rng.uniform(1, 5.3, (count, 2)))], axis=1).clip(0, 300)
        labels = rng.integers(0, classes, count)
        samples.append(Sample(f"{number}.png", 300, 300, boxes.astype(np.float32), labels.astype(np.int32)))
        near = rng.integers(0, count, int(rng.integers(0, 8))) if count else np.zeros(0, int)
        found = boxes[near] + rng.normal(0, rng.choice([0, 2, 15]), (len(near), 4))
        said = np.where(rng.random(len(near)) < 0.8, labels[near], rng.integers(0, classes, len(near)))
        wild = int(rng.integers(0, 5))
        start = rng.uniform(0, 200, (wild, 2))
        found = np.concatenate([found, np.concatenate([start, start + rng.uniform(2, 90, (wild, 2))], axis=1)])
        said = np.concatenate([said, rng.integers(0, classes, wild)])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        scores = rng.random(len(found)) if unlike else rng.integers(1, 12, len(found)) / 12
        order = np.argsort(-scores, kind="stable")
        detections.append(
            Detections(
                found[order].astype(np.float32),
                scores[order].astype(np.float32),
                said[order].astype(np.int32),
                (300, 300),
            )
        )
    return DataSet(tuple(f"class{i}" for i in range(classes)), tuple(samples), Path("images")), detections
