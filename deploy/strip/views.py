"""Where the cameras look, how far they have come, and which of them is not waited for any more."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

#: A camera that gave nothing while another one moved on by this and a frame more is not waited for.
PATIENCE_MM = 10_000.0
#: Nor one that gave nothing for so long, or three times its interval, while another one moved on by a frame.
PATIENCE_SECONDS = 5.0


@dataclass(eq=False)
class View:
    """How far a camera has come along the strip, all in millimetres.

    Attributes:
        side: of the strip that it sees.
        begins: where its last frame begins, inspected or not.
        moment: when that was exposed, seconds of a monotonic clock.
        furthest: the furthest place where a frame began since positions fell back.
        frame: the length of its last frame, or the way to it from the one before if that is longer.
        interval: seconds between its last two frames.
        seen_to: where what was inspected last ends; minus infinity if what comes next begins anew.
        across: from where to where its last inspected frame reaches across the strip; None before there is one.
        away: whether it is not waited for.
        moved: how far it has come altogether.
        others: how far the others had come when its last frame came, as far as they came since.
    """

    side: str
    begins: float
    moment: float
    furthest: float
    frame: float = 0.0
    interval: float = 0.0
    seen_to: float = -np.inf
    across: tuple[float, float] | None = None
    away: bool = False
    moved: float = 0.0
    others: dict[str, float] = field(default_factory=dict)

    def fell_back(self, begins: float) -> bool:
        """Whether a frame that begins there is not the next one of the same count of the strip.

        A strip that swings back a little is: it is shown again.
        """
        return begins < self.furthest - self.frame


class Views:
    """The views of all cameras of a line."""

    def __init__(self) -> None:
        self._views: dict[str, View] = {}

    def get(self, camera: str) -> View | None:
        """The view of a camera; None before its first frame with a position."""
        return self._views.get(camera)

    @property
    def awaited(self) -> dict[str, View]:
        """The views of the cameras whose next frame is waited for."""
        return {camera: view for camera, view in self._views.items() if not view.away}

    def move(self, camera: str, side: str, begins: float, length: float, moment: float) -> View:
        """A frame of a camera came, inspected or not.

        Args:
            camera: whose it is.
            side: of the strip.
            begins: where its first row lies, in millimetres.
            length: of the strip that it shows, in millimetres; 0 if not known.
            moment: of its exposure, in seconds of a monotonic clock.

        Returns:
            The camera's view. What was inspected last (``seen_to``) is left to the caller.
        """
        view = self._views.get(camera)
        if view is None:
            view = self._views[camera] = View(side, begins, moment, begins, length)
            return view
        if view.away or view.fell_back(begins):
            view.furthest, view.frame, view.interval = begins, length, 0.0
        else:
            step = max(0.0, begins - view.furthest)
            view.moved += step
            # a single leap, of an encoder that was set, says nothing about how often frames come
            view.frame = max(length, min(step, PATIENCE_MM))
            view.interval = moment - view.moment
            view.furthest = max(view.furthest, begins)
        view.begins, view.moment, view.away = begins, moment, False
        view.others.clear()
        return view

    def left_behind(self, camera: str, before: float) -> list[str]:
        """Who gave nothing for too long, now that a camera has moved on.

        Args:
            camera: that moved.
            before: how far it had come altogether before that.

        Returns:
            Names of cameras that should not be waited for any more.
        """
        mover = self._views[camera]
        behind = []
        for name, view in self.awaited.items():
            if name == camera:
                continue
            way = mover.moved - view.others.setdefault(camera, before)
            patience = max(PATIENCE_SECONDS, 3 * max(view.interval, mover.interval))
            silent = mover.moment - view.moment > patience
            if way > view.frame + PATIENCE_MM or (silent and way > view.frame):
                behind.append(name)
        return behind

    def is_silent(self, camera: str, moment: float) -> bool:
        """Whether a camera has not said where it is for too long."""
        view = self._views.get(camera)
        return view is not None and moment - view.moment > max(PATIENCE_SECONDS, 3 * view.interval)
