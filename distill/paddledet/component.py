"""One part of a configuration, read field by field: what is used, what has to be as it is, what does not matter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from ...core.errors import UsageError


class Component:
    """A part such as ``ResNet`` or ``RetinaHead`` with its fields.

    Every field is asked for once. Those nobody asked for could mean anything: :meth:`finish` refuses them, and
    :meth:`tell` tells of them where the part may do without.

    Args:
        file: the configuration, for messages.
        path: where the part stands in it, such as ``RetinaHead.conv_feat``; empty for the whole file.
        values: its fields, or the bare name of a part with nothing changed.
        name: the only part that may stand there.
    """

    def __init__(self, file: str, path: str, values: Any, name: str | None = None) -> None:
        self.file, self.path = file, path
        if values is None or isinstance(values, str):
            values = {} if values is None else {"name": values}
        if not isinstance(values, dict):
            raise UsageError(f"{file}: {path} is {values!r}, and should have fields of its own.")
        self._values = values
        self._open = set(values)
        if name is not None:
            self.expect("name", name, name)

    def take(self, field: str, default: Any) -> Any:
        """A field's value, whatever it is."""
        self._open.discard(field)
        return self._values.get(field, default)

    def value(self, field: str) -> Any:
        """A field's value without asking for it, None if it is not there."""
        return self._values.get(field)

    def number(self, field: str, default: float | None) -> float | None:
        """A field's value as a number; a text such as ``1e-4`` is one too, for YAML 1.1 takes it for a text."""
        value = self.take(field, default)
        try:
            found = None if value is None else float(value)
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if found is not None and not math.isfinite(found):
            raise UsageError(f"{self.file}: {self._place(field)} is {_shown(value)}, and should be a number.")
        return found

    def given(self, field: str, default: float) -> float:
        """A field's value as a number, which it must not be without."""
        value = self.number(field, default)
        if value is None:
            raise UsageError(f"{self.file}: {self._place(field)} is null, and should be a number.")
        return value

    def whole(self, field: str, default: int) -> int:
        """A field's value as a whole number."""
        value = self.given(field, default)
        if value != int(value):
            raise UsageError(f"{self.file}: {self._place(field)} is {value!r}, and should be a whole number.")
        return int(value)

    def expect(self, field: str, default: Any, *accepted: Any) -> None:
        """Refuse a value that Temper's model could not have.

        Args:
            field: its name.
            default: what it is where it is left out.
            accepted: what it may be.
        """
        value = self.take(field, default)
        if not any(_same(value, one) for one in accepted):
            only = " or ".join(_shown(one) for one in accepted)
            raise UsageError(f"{self.file}: {self._place(field)} is {_shown(value)}; Temper has {only} alone.")

    def part(self, field: str, name: str) -> Component:
        """A part inside this one, which must be of that name."""
        return Component(self.file, self._place(field), self.take(field, name), name)

    def ignore(self, fields: Iterable[str]) -> None:
        """Fields that make no difference to what is trained."""
        self._open.difference_update(fields)

    def without_effect(self, field: str, *values: Any) -> None:
        """A field that makes no difference as long as it is one of these values."""
        if any(_same(self._values.get(field), value) for value in values):
            self._open.discard(field)

    def tell(self, note: Callable[[str], None]) -> None:
        """Tell of what nobody asked for, one sentence for each field."""
        for field in sorted(self._open, key=str):
            note(
                f"{self._place(field)} ({_shown(self._values[field])}) is left out, because Temper has nothing like it"
            )

    def _place(self, field: str) -> str:
        return f"{self.path}.{field}" if self.path else field

    def finish(self) -> None:
        """Refuse what nobody asked for."""
        for field in sorted(self._open, key=str):
            raise UsageError(
                f"{self.file}: {self._place(field)} is {_shown(self._values[field])}, which Temper cannot do. "
                "Remove it, if the model may be without."
            )


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, list | tuple) and isinstance(wanted, list | tuple):
        return len(value) == len(wanted) and all(_same(a, b) for a, b in zip(value, wanted, strict=True))
    if isinstance(value, bool) or isinstance(wanted, bool) or value is None or wanted is None:
        return value is wanted
    if isinstance(value, int | float) and isinstance(wanted, int | float):
        return value == wanted or (abs(value) < 1e9 and abs(value - wanted) < 1e-9)
    return bool(value == wanted)


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
