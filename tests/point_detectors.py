"""Small PicoDets and PP-YOLOEs for tests, and weights that make them say something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from temper.distill.recipe_detectors import DetectorSection, PicoDetSection, PpYoloeSection

#: The smallest of each kind; the widths are smaller than PaddleDetection's own for the sake of time.
SMALL: dict[str, DetectorSection] = {
    "picodet": PicoDetSection(size="xs", head_convs=1, neck_channels=48),
    "picodet-esnet": PicoDetSection(backbone="esnet", backbone_scale=0.5, head_convs=1, neck_channels=48),
    "ppyoloe": PpYoloeSection(width_mult=0.25, plus=False),
    "ppyoloe+": PpYoloeSection(width_mult=0.25),
}


def lively(section: DetectorSection, labels: Sequence[str], size: int = 64) -> Any:
    """A detector with seeded weights whose scores spread from 0 to 1 and whose norms have statistics of their own."""
    from temper.distill.detectors.build import build_detector
    from temper.distill.paddle_import import paddle

    detector = build_detector(section, labels, seed=4)
    generator = np.random.default_rng(0)
    detector.train()
    with paddle.no_grad():
        for name, parameter in detector.named_parameters():
            if name.startswith(("head.head_", "yolo_head.pred_")):
                drawn = generator.normal(0, 0.3, parameter.shape)
                if name.endswith("bias"):
                    # scores of a fifth or so; near bins likelier than far ones, or every box would fill the picture
                    bins = len(drawn) // 4 if "reg" in name else 8
                    rows = 0 if "reg" in name else len(labels)
                    drawn[:rows] -= 1
                    drawn[rows:] -= 0.7 * (np.arange(len(drawn) - rows) % bins)
                parameter.set_value(drawn.astype(np.float32))
            elif ".alpha" in name:
                parameter.set_value(np.array([0.6], np.float32))
        for _ in range(8):
            pictures = generator.normal(size=(4, 3, size, size)).astype(np.float32)
            if section.pixel_scale == "unit":
                pictures = np.clip(0.4 + 0.2 * pictures, 0, 1)
            detector.raw_predictions(detector.neck_features(paddle.to_tensor(pictures)))
    detector.eval()
    return detector
