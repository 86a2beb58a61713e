"""Devices by name: the one place where plans meet the device table and the estimator."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...bundle.loader import Bundle
from ...core.errors import TemperError
from ..estimate.row import EstimateRow
from ..measurement import Measurements
from .capability import Place


class Hardware:
    """The device table, read when it is first asked for.

    Args:
        own: file of the user's own devices; None if there is none.
    """

    def __init__(self, own: Path | None) -> None:
        self._own = own
        self._devices: Any = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Of every device in the table; none where Temper comes without one."""
        try:
            return tuple(self._table())
        except _NoTableError:
            return ()

    def place(self, text: str) -> Place:
        """The device that ``DEVICE`` or ``DEVICE@MODE`` names.

        Raises:
            UsageError: if it is not in the table, with the nearest names.
        """
        device, mode = self.find(text)
        return Place(device.key, device.name, mode.name, mode.watts)

    def find(self, text: str) -> tuple[Any, Any]:
        """The same, as the table's ``Device`` and ``PowerMode``."""
        key, _, mode = text.partition("@")
        devices = self._table()
        device = _part("devices.table").find_device(devices, key.strip())
        return device, device.mode(mode.strip() or None)

    def estimate(
        self,
        names: Sequence[str],
        bundle: Bundle,
        precisions: Sequence[str],
        batches: Sequence[int],
        measured: Sequence[Measurements],
    ) -> list[EstimateRow]:
        """Estimate devices now; own measurements recalibrate.

        Raises:
            UsageError: if a device is not in the table.
        """
        chosen = [self.find(name) for name in names]
        rows: list[EstimateRow] = _part("estimate.run").estimate_bundle(
            bundle, chosen, tuple(precisions), tuple(batches), tuple(measured)
        )
        return rows

    def _table(self) -> Any:
        if self._devices is None:
            self._devices = _part("devices.table").load_devices(self._own)
        return self._devices


class _NoTableError(TemperError):
    pass


def _part(name: str) -> Any:
    # loaded by name: a plan of measurements alone does without
    try:
        return importlib.import_module(f"..{name}", __package__)
    except ModuleNotFoundError as error:
        if error.name and not error.name.startswith("temper."):
            raise
        raise _NoTableError("This Temper comes without a table of devices; plan with --measured alone.") from error
