"""The accuracy figures by name, and from where on they mean something.

It imports nothing, so that a help text can list them at once.
"""

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

#: A detector below it, in points of mAP, finds nothing that anybody could use.
USEFUL_AP = 1.0
