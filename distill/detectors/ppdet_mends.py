"""What PaddleDetection 2.6 gets wrong on Paddle 3, or on small pictures, put right by subclasses.

- Paddle 3 no longer adds int32 to int64, and the assigners do where classes are int32.
- A batch without a single box makes the assigners answer three things instead of four.
- A level of the grid with fewer places than the assigner wants to choose from is an error; here all of them are
  candidates.

Tests hold each of them, and that nothing else has changed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..paddle_import import paddle


class Assigners(NamedTuple):
    """Classes that say which place of the grid answers for which box."""

    atss: Any
    task_aligned: Any


def mend_assigners(atss: Any, task_aligned: Any) -> Assigners:
    """Subclasses of PaddleDetection's ATSSAssigner and TaskAlignedAssigner that work here."""

    class Atss(atss):
        topk: int

        def forward(
            self, anchors: Any, counts: Any, labels: Any, boxes: Any, mask: Any, *rest: Any, **named: Any
        ) -> Any:
            return super().forward(anchors, counts, *_at_least_one(labels, boxes, mask), *rest, **named)

        def _gather_topk_pyramid(self, distances: Any, counts: list[int], mask: Any) -> Any:
            wanted, chosen, indices, start = self.topk, [], [], 0
            try:
                for level, count in zip(paddle.split(distances, counts, axis=-1), counts, strict=True):
                    self.topk = min(wanted, count)
                    one_chosen, one_indices = super()._gather_topk_pyramid(level, [count], mask)
                    chosen.append(one_chosen)
                    indices.append(one_indices + start)
                    start += count
            finally:
                self.topk = wanted
            return paddle.concat(chosen, axis=-1), paddle.concat(indices, axis=-1)

    class TaskAligned(task_aligned):
        topk: int

        def forward(
            self,
            scores: Any,
            predicted: Any,
            points: Any,
            counts: Any,
            labels: Any,
            boxes: Any,
            mask: Any,
            *rest: Any,
            **named: Any,
        ) -> Any:
            wanted = self.topk
            self.topk = min(wanted, len(points))
            try:
                truth = _at_least_one(labels, boxes, mask)
                return super().forward(scores, predicted, points, counts, *truth, *rest, **named)
            finally:
                self.topk = wanted

    return Assigners(Atss, TaskAligned)


def _at_least_one(labels: Any, boxes: Any, mask: Any) -> tuple[Any, Any, Any]:
    """Classes [B, n, 1] as int64, boxes [B, n, 4] and mask [B, n, 1], with one masked row where n is 0."""
    if boxes.shape[1] == 0:
        batch = boxes.shape[0]
        labels, boxes, mask = (paddle.zeros([batch, 1, width]) for width in (1, 4, 1))
    return labels.astype("int64"), boxes, mask
