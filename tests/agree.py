"""What came of holding answers against Paddle's, for tests of an export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from temper.deploy.compare import MATCH
from temper.detection.agreement import Agreement, MatchRule
from temper.detection.decode import DecodeSettings
from temper.detection.detections import Detections


def agreement(paddle: Sequence[Any], found: Sequence[Detections], settings: DecodeSettings) -> Agreement:
    """The detections of several pictures compared, with Paddle's candidates at hand."""
    rule, total = MatchRule(settings.score_floor, settings.max_detections, MATCH, settings.nms_iou), Agreement()
    for answer, one in zip(paddle, found, strict=True):
        total.add_picture(answer.detections, one, rule, answer.candidates)
    return total
