"""From TensorRT's nested phases to one figure: how far the build is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class _Phase:
    steps: int
    done: int = 0
    children: dict[str, _Phase] = field(default_factory=dict)

    def share(self) -> float:
        """From 0 to 1; the step under way counts by how far the phases in it are."""
        under_way = max((child.share() for child in self.children.values()), default=0.0)
        return min(1.0, (self.done + under_way) / self.steps)


class PhaseTree:
    """The phases that are under way. Safe to be told from several threads, as TensorRT does.

    Args:
        tell: called with a percentage from 0 to 100 and the innermost phase's name, whenever the percentage has grown.
            It begins anew with every phase that has no parent.
    """

    def __init__(self, tell: Callable[[int, str], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._root: _Phase | None = None
        self._by_name: dict[str, _Phase] = {}
        self._told = -1

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase has begun, in another one or on its own."""
        with self._lock:
            phase = _Phase(max(1, steps))
            over = self._by_name.get(parent) if parent else None
            if over is None:
                self._root, self._told = phase, -1
            else:
                over.children[name] = phase
            self._by_name[name] = phase
            self._report(name)

    def step(self, name: str, step: int) -> None:
        """A phase has finished its step number ``step``, counted from 0."""
        with self._lock:
            phase = self._by_name.get(name)
            if phase is not None:
                phase.done = max(phase.done, step + 1)
                phase.children.clear()
                self._report(name)

    def finish(self, name: str) -> None:
        """A phase is over, whether it took all its steps or not."""
        with self._lock:
            phase = self._by_name.pop(name, None)
            if phase is not None:
                phase.done = phase.steps
                self._report(name)

    def _report(self, name: str) -> None:
        percent = int(100 * self._root.share()) if self._root is not None else 0
        if percent > self._told:
            self._told = percent
            self._tell(percent, name)
