"""A data set a detector learns in seconds: bright squares and dark squares on noise."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from temper.detection.dataset import DataSet, Sample


def toy_data(folder: Path, count: int, seed: int = 0, size: int = 64) -> DataSet:
    """``count`` grey pictures with one or two squares each, written as PNG below ``folder``."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    samples = []
    for index in range(count):
        image = generator.normal(120, 8, (size, size))
        boxes, labels = [], []
        for _ in range(int(generator.integers(1, 3))):
            side = int(generator.integers(size // 4, size // 2))
            x, y = generator.integers(0, size - side, 2).tolist()
            label = int(generator.integers(0, 2))
            image[y : y + side, x : x + side] = 210 if label else 30
            boxes.append([x, y, x + side, y + side])
            labels.append(label)
        cv2.imwrite(str(folder / f"{index:04d}.png"), np.clip(image, 0, 255).astype(np.uint8))
        samples.append(Sample(f"{index:04d}.png", size, size, np.array(boxes, np.float32), np.array(labels, np.int32)))
    return DataSet(("dark", "bright"), tuple(samples), folder, "toy")
