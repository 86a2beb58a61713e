"""Defects that reach over the edges of frames and cameras, made whole.

Frames come one after the other, those of several cameras in between one another. A part of a defect can still go on
in a frame that has not come as long as some camera's next frame may show the place where it ends. Once all cameras
have gone by, or are not waited for any more (``views.py``), the defect is finished and given out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .defect import Joined
from .linking import links
from .views import PATIENCE_MM, View, Views

#: Parts that may be open at once; beyond, the oldest defects are given out as they are.
MOST_PARTS = 2_000


@dataclass(eq=False)
class _Group:
    """A defect in the making."""

    label: int
    box: NDArray[np.float64]
    score: float
    frames: tuple[int, int]
    cut: bool = False

    def absorb(self, other: _Group) -> None:
        self.box = np.concatenate([np.minimum(self.box[:2], other.box[:2]), np.maximum(self.box[2:], other.box[2:])])
        self.score = max(self.score, other.score)
        self.frames = (min(self.frames[0], other.frames[0]), max(self.frames[1], other.frames[1]))
        self.cut = self.cut or other.cut


@dataclass(eq=False)
class _Part:
    """What one frame shows of a defect."""

    camera: str
    box: NDArray[np.float64]
    window: NDArray[np.float64]
    group: _Group


@dataclass(frozen=True, eq=False)
class FramePart:
    """The defects of one inspected frame, on the strip.

    Attributes:
        camera: that took it.
        number: of the frame.
        window: float64 [4], the part of the strip it shows, x1, y1, x2, y2 in millimetres.
        boxes: float64 [N, 4], in millimetres of the strip.
        labels: int [N].
        scores: float [N].
        moment: when it was exposed, seconds of a monotonic clock.
    """

    camera: str
    number: int
    window: NDArray[np.float64]
    boxes: NDArray[np.float64]
    labels: Sequence[int]
    scores: Sequence[float]
    moment: float = 0.0


@dataclass
class AcrossFrames:
    """Joins the parts of defects.

    Args:
        tolerance_mm: by which a box may miss the edge of its frame; parts nearer than twice of it can be one.
        longest_mm: a longer defect is given out in pieces, each marked as cut.
        behind_mm: how far some cameras look behind others along the strip.
    """

    tolerance_mm: float = 5.0
    longest_mm: float = 50_000.0
    behind_mm: float = 0.0
    _parts: list[_Part] = field(default_factory=list)
    _views: Views = field(default_factory=Views)
    #: Cameras that were away before their first frame: after an earlier run, what that begins with is cut too.
    _missed: set[str] = field(default_factory=set)
    _groups: list[_Group] = field(default_factory=list)

    def add(self, frame: FramePart) -> list[Joined]:
        """Take the next inspected frame of a camera; those of each camera come in order.

        Returns:
            The defects that are whole by now, in the order of their beginning.
        """
        first = self._views.get(frame.camera) is None and frame.camera not in self._missed
        x1, y1, x2, y2 = (float(edge) for edge in frame.window)
        view = self._moved(frame.camera, y1, y2 - y1, frame.moment)
        hole = y1 > view.seen_to + self.tolerance_mm
        view.seen_to = y2 if hole else max(view.seen_to, y2)
        view.across = (x1, x2)
        if len(frame.boxes):
            self._link(frame, starts_cut=hole and not first)
        return self._finished()

    def passed(self, camera: str, begins_mm: float | None, length_mm: float, moment: float) -> list[Joined]:
        """A frame of a camera was not inspected: what lies there is not waited for.

        Args:
            camera: that took it, or should have.
            begins_mm: where its first row lies along the strip; None if not known.
            length_mm: of the strip that it would have shown; 0 if not known.
            moment: as in :class:`FramePart`.

        Returns:
            As :meth:`add`.
        """
        if begins_mm is not None:
            self._moved(camera, begins_mm, length_mm, moment)
        elif self._views.is_silent(camera, moment):
            self._leave(camera)
        return self._finished()

    def lost(self, camera: str) -> list[Joined]:
        """A camera is gone for now: what it showed last is not waited for.

        Returns:
            As :meth:`add`.
        """
        self._leave(camera)
        self._missed.add(camera)
        return self._finished()

    def flush(self) -> list[Joined]:
        """Everything that is open, at the end; what reaches the end of the last frame is cut there.

        Returns:
            As :meth:`add`.
        """
        for camera in list(self._views.awaited):
            self._leave(camera)
        return self._finished()

    def _moved(self, camera: str, begins: float, length: float, moment: float) -> View:
        """Note where a camera is. What it skipped cuts what it showed, and whom it left behind is not waited for."""
        view = self._views.get(camera)
        before = 0.0 if view is None else view.moved
        if view is not None:
            if view.fell_back(begins):
                self._leave(camera)
                # places on the strip mean another thing from here on
                self._parts = [part for part in self._parts if part.camera != camera]
            elif begins > view.seen_to + self.tolerance_mm:
                self._cut_at(camera, view.seen_to)
        view = self._views.move(camera, begins, length, moment)
        for other in self._views.left_behind(camera, before):
            self._leave(other)
        return view

    def _leave(self, camera: str) -> None:
        view = self._views.get(camera)
        if view is not None and not view.away:
            self._cut_at(camera, view.seen_to)
            view.seen_to, view.away = -np.inf, True

    def _link(self, frame: FramePart, starts_cut: bool) -> None:
        """Join the parts of a frame with those of the defects that are open."""
        fresh = []
        for box, label, score in zip(frame.boxes, frame.labels, frame.scores, strict=True):
            cut = starts_cut and bool(box[1] <= frame.window[1] + self.tolerance_mm)
            numbers = (frame.number, frame.number)
            group = _Group(int(label), box.copy(), float(score), numbers, cut)
            self._groups.append(group)
            fresh.append(_Part(frame.camera, box, frame.window, group))
        others = [part for part in self._parts if part.window is not frame.window]
        if others:
            boxes, windows = (np.stack([getattr(part, name) for part in others]) for name in ("box", "window"))
            own = np.broadcast_to(frame.window, frame.boxes.shape)
            for new, old in links(frame.boxes, own, boxes, windows, self.tolerance_mm).tolist():
                self._unite(fresh[new].group, others[old].group, fresh, others)
        self._parts += fresh

    def _unite(self, one: _Group, other: _Group, fresh: list[_Part], others: list[_Part]) -> None:
        if one is other or one.label != other.label:
            return
        one.absorb(other)
        for part in (*fresh, *others):
            if part.group is other:
                part.group = one
        self._groups = [group for group in self._groups if group is not other]

    def _cut_at(self, camera: str, end: float) -> None:
        """What a camera showed up to the end of what it inspected may go on behind it."""
        for part in self._parts if np.isfinite(end) else ():
            if part.camera == camera and part.box[3] >= end - self.tolerance_mm:
                part.group.cut = True

    def _finished(self) -> list[Joined]:
        """Let go of parts that no later frame can show, and give out the defects that have no part left."""
        self._parts = self._open()
        self._too_long()
        excess = len(self._parts) - MOST_PARTS
        for part in self._parts[: max(0, excess)]:
            part.group.cut = True
        self._parts = self._parts[max(0, excess) :]
        held = {id(part.group) for part in self._parts}
        done = [group for group in self._groups if id(group) not in held]
        self._groups = [group for group in self._groups if id(group) in held]
        return sorted((_joined(group) for group in done), key=lambda defect: defect.position_m)

    def _open(self) -> list[_Part]:
        """The parts whose end a frame that is still to come may show.

        A camera's next frame begins after its last one began, however much they overlap. Cameras that look at another
        part of the strip's width do not count, nor those that are further away than any camera of the same count of
        the strip can be.
        """
        if not self._parts:
            return []
        boxes = np.stack([part.box for part in self._parts])
        reach = boxes[:, 3] + 2 * self.tolerance_mm
        is_open = np.zeros(len(boxes), bool)
        for view in self._views.awaited.values():
            if view.across is None:
                continue
            beside = view.across[0] <= boxes[:, 2] + 2 * self.tolerance_mm
            beside &= view.across[1] >= boxes[:, 0] - 2 * self.tolerance_mm
            near = reach - view.begins <= PATIENCE_MM + self.behind_mm + 2 * view.frame
            is_open |= beside & near & (reach >= view.begins)
        return [part for part, waits in zip(self._parts, is_open.tolist(), strict=True) if waits]

    def _too_long(self) -> None:
        for group in [one for one in self._groups if one.box[3] - one.box[1] > self.longest_mm]:
            parts = [part for part in self._parts if part.group is group]
            if not parts:
                continue
            group.cut = True
            # the rest goes on as a defect of its own, which begins with what is still open
            rest = _Group(group.label, parts[0].box.copy(), group.score, group.frames, True)
            for part in parts:
                rest.absorb(_Group(group.label, part.box, group.score, group.frames, True))
                part.group = rest
            rest.frames = (group.frames[1], group.frames[1])
            self._groups.append(rest)


def _joined(group: _Group) -> Joined:
    x1, y1, x2, y2 = (float(edge) for edge in group.box)
    return Joined(group.label, group.score, y1 / 1000, x1, y2 - y1, x2 - x1, group.frames, group.cut)
