"""The accuracy figures by name; imports nothing, so that a help text can list them at once."""

from __future__ import annotations

#: COCO's figures as :class:`metrics.AccuracyFigures` has them, and what readers know them by.
FIGURE_TITLES = {
    "ap": "mAP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP small",
    "ap_medium": "AP medium",
    "ap_large": "AP large",
}
