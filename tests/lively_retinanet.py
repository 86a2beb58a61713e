"""A small RetinaNet for tests, and weights that make it say something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from temper.distill.recipe_detectors import RetinaNetSection

# group norm has 32 groups
THIN = {"depth": 18, "width": 0.25, "neck_channels": 32, "head_convs": 1, "strides": (8, 16, 32)}


def lively_detector(section: RetinaNetSection, labels: Sequence[str]) -> tuple[Any, dict[str, np.ndarray]]:
    """A detector with seeded weights whose scores spread from 0 to 1, so that there is something to compare.

    Norms get statistics and weights of their own, or folding them would prove nothing.
    """
    from temper.distill.detectors.build import build_detector

    detector = build_detector(section, labels, seed=4)
    generator = np.random.default_rng(0)
    weights = {name: value.numpy() for name, value in detector.state_dict().items()}
    for name, value in weights.items():
        if name.endswith(("._mean", "norm.bias")) or ("norms" in name and name.endswith(".bias")):
            weights[name] = generator.normal(0, 0.2, value.shape).astype(np.float32)
        elif name.endswith("._variance") or ("norm" in name and name.endswith(".weight")):
            weights[name] = generator.uniform(0.6, 1.4, value.shape).astype(np.float32)
    weights["head.retina_cls.bias"] = np.full_like(weights["head.retina_cls.bias"], -3)
    weights["head.retina_cls.weight"] = generator.normal(0, 0.12, weights["head.retina_cls.weight"].shape).astype(
        np.float32
    )
    detector.set_state_dict(weights)
    return detector, weights
