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
from .group import Group
from .linking import Seen, components, links_over_edges
from .views import PATIENCE_MM, View, Views

#: Parts that may be open at once; beyond, the oldest defects are given out as they are.
MOST_PARTS = 2_000


@dataclass(eq=False)
class _Part:
    """What one frame shows of a defect."""

    camera: str
    box: NDArray[np.float64]
    window: NDArray[np.float64]
    group: Group


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
        side: of the strip that its camera sees; defects of two sides are never one.
        counts: bool [N], which of them make the frame one with a defect; None: all.
    """

    camera: str
    number: int
    window: NDArray[np.float64]
    boxes: NDArray[np.float64]
    labels: Sequence[int]
    scores: Sequence[float]
    moment: float = 0.0
    side: str = ""
    counts: Sequence[bool] | None = None


@dataclass
class AcrossFrames:
    """Joins the parts of defects.

    Args:
        tolerance_mm: by which a box may miss the edge of its frame; parts of one defect are at most twice of it apart.
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
    _groups: list[Group] = field(default_factory=list)

    def add(self, frame: FramePart) -> list[Joined]:
        """Take the next inspected frame of a camera; those of each camera come in order.

        Returns:
            The defects that are whole by now, in the order of their beginning.
        """
        first = self._views.get(frame.camera) is None and frame.camera not in self._missed
        x1, y1, x2, y2 = (float(edge) for edge in frame.window)
        view = self._moved(frame.camera, frame.side, y1, y2 - y1, frame.moment)
        hole = y1 > view.seen_to + self.tolerance_mm
        view.seen_to = y2 if hole else max(view.seen_to, y2)
        view.across = (x1, x2)
        if len(frame.boxes):
            self._link(frame, starts_cut=hole and not first)
        return self._finished()

    def passed(
        self, camera: str, begins_mm: float | None, length_mm: float, moment: float, side: str = ""
    ) -> list[Joined]:
        """A frame of a camera was not inspected: what lies there is not waited for.

        Args:
            camera: that took it, or should have.
            begins_mm: where its first row lies along the strip; None if not known.
            length_mm: of the strip that it would have shown; 0 if not known.
            moment: as in :class:`FramePart`.
            side: likewise.

        Returns:
            As :meth:`add`.
        """
        if begins_mm is not None:
            self._moved(camera, side, begins_mm, length_mm, moment)
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

    def _moved(self, camera: str, side: str, begins: float, length: float, moment: float) -> View:
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
        view = self._views.move(camera, side, begins, length, moment)
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
        counts = [True] * len(frame.boxes) if frame.counts is None else frame.counts
        for box, label, score, counted in zip(frame.boxes, frame.labels, frame.scores, counts, strict=True):
            cut = starts_cut and bool(box[1] <= frame.window[1] + self.tolerance_mm)
            numbers = (frame.number, frame.number)
            group = Group(int(label), frame.side, box.copy(), float(score), numbers, cut, counted)
            self._groups.append(group)
            fresh.append(_Part(frame.camera, box, frame.window, group))
        if fresh and self._parts:
            seen_again = self._unite(frame, fresh)
            self._parts = [part for part, again in zip(self._parts, seen_again.tolist(), strict=True) if not again]
        self._parts += fresh

    def _unite(self, frame: FramePart, fresh: list[_Part]) -> NDArray[np.bool_]:
        """Join groups whose parts show one defect.

        Returns:
            Bool [parts]: those of which the frame shows all again, as of a strip that stands.
        """
        boxes, windows = (np.stack([getattr(part, name) for part in self._parts]) for name in ("box", "window"))
        kinds = np.array([part.group.label if part.group.side == frame.side else -1 for part in self._parts])
        here = Seen(frame.boxes, np.broadcast_to(frame.window, frame.boxes.shape), np.asarray(frame.labels))
        new, old = links_over_edges(here, Seen(boxes, windows, kinds), self.tolerance_mm).T
        nodes = [*fresh, *self._parts]
        together = components(len(nodes), np.column_stack([new, len(fresh) + old]))
        for node in np.flatnonzero(together != np.arange(len(nodes))).tolist():
            one, other = nodes[node].group.last, nodes[together[node]].group.last
            if one is not other:
                first, second = (one, other) if one.box[1] < other.box[1] else (other, one)
                first.absorb(second, self.longest_mm)
        for part in nodes:
            part.group = part.group.last
        self._groups = [group for group in self._groups if group.into is None]
        again = np.zeros(len(boxes), bool)
        same = np.array([part.camera == frame.camera for part in self._parts])
        inside = (boxes[old, :2] >= frame.boxes[new, :2] - self.tolerance_mm).all(axis=1)
        inside &= (boxes[old, 2:] <= frame.boxes[new, 2:] + self.tolerance_mm).all(axis=1)
        inside &= (windows[old, 1] <= frame.window[1]) & (windows[old, 3] <= frame.window[3])
        again[old[inside & same[old]]] = True
        return again

    def _cut_at(self, camera: str, end: float) -> None:
        """What a camera showed up to the end of what it inspected may go on behind it."""
        for part in self._parts if np.isfinite(end) else ():
            if part.camera == camera and part.box[3] >= end - self.tolerance_mm:
                part.group.cut = True

    def _finished(self) -> list[Joined]:
        """Let go of parts that no later frame can show, and give out the defects that have no part left."""
        open_parts = self._waited_for([part.group.side for part in self._parts], [part.box for part in self._parts])
        self._keep_parts(open_parts < np.inf)
        excess = len(self._parts) - MOST_PARTS
        for part in self._parts[: max(0, excess)]:
            part.group.cut = True
        self._keep_parts(np.arange(len(self._parts)) >= excess)
        held = {id(part.group) for part in self._parts}
        done = [group for group in self._groups if id(group) not in held]
        self._groups = [group for group in self._groups if id(group) in held]
        found = [piece for group in done for piece in (*group.pieces(self.longest_mm), group.joined())]
        long = [group for group in self._groups if group.box[3] - group.box[1] > self.longest_mm]
        # a piece is told once no camera can show more of it
        until = self._waited_for([group.side for group in long], [group.box for group in long])
        for group, place in zip(long, until.tolist(), strict=True):
            found += group.pieces(self.longest_mm, place)
        return sorted(found, key=lambda defect: defect.position_m)

    def _keep_parts(self, kept: NDArray[np.bool_]) -> None:
        self._parts = [part for part, keep in zip(self._parts, kept.tolist(), strict=True) if keep]

    def _waited_for(self, sides: list[str], given: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        """From where on frames that are still to come may show how boxes on sides end; infinite where none may.

        A camera's next frame begins after its last one began, however much they overlap. Cameras that look at another
        part of the strip's width do not count, nor those that are further away than any camera of the same count of
        the strip can be.
        """
        boxes, side = np.array(given).reshape(-1, 4), np.array(sides, str)
        reach = boxes[:, 3] + 2 * self.tolerance_mm
        place = np.full(len(boxes), np.inf)
        for view in self._views.awaited.values():
            if view.across is None:
                continue
            waits = side == view.side
            waits &= view.across[0] <= boxes[:, 2] + 2 * self.tolerance_mm
            waits &= view.across[1] >= boxes[:, 0] - 2 * self.tolerance_mm
            waits &= reach - view.begins <= PATIENCE_MM + self.behind_mm + 2 * view.frame
            waits &= reach >= view.begins
            place = np.where(waits, np.minimum(place, view.begins), place)
        return place
