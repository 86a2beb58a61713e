"""Devices by name: where plans meet the device table and the estimator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from ...bundle.loader import Bundle
from ..devices.table import Device, PowerMode, find_device, load_devices
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

    @cached_property
    def devices(self) -> dict[str, Device]:
        """Every device of the table by its key.

        Raises:
            UsageError: if the user's file has a mistake.
        """
        return load_devices(self._own)

    def place(self, text: str) -> Place:
        """The device that ``DEVICE`` or ``DEVICE@MODE`` names.

        Raises:
            UsageError: if it is not in the table, with the nearest name, or has no such mode.
        """
        device, mode = self._find(text)
        return Place(device.key, device.name, mode.name, mode.watts, device.watts_of)

    def estimate(
        self,
        names: Sequence[str],
        bundle: Bundle,
        precisions: Sequence[str],
        batches: Sequence[int],
        measured: Sequence[tuple[Place, Measurements]],
    ) -> list[EstimateRow]:
        """Estimate devices now.

        Args:
            names: ``DEVICE`` or ``DEVICE@MODE`` of the table.
            bundle: that is estimated.
            precisions: int8, fp16, fp32.
            batches: pictures per call.
            measured: on devices of the table; they put those devices' estimates right.

        Raises:
            UsageError: if a device is not in the table.
            MissingDependencyError: if the ``onnx`` package is not installed.
        """
        # the estimator reads the table of its calibration, which plans of measurements alone do without
        from ..estimate.run import OwnMeasurement, estimate_bundle

        chosen = [self._find(name) for name in dict.fromkeys(names)]
        own = [OwnMeasurement(place.device, place.power_mode or None, measurements) for place, measurements in measured]
        return estimate_bundle(bundle, chosen, tuple(precisions), tuple(dict.fromkeys(batches)), own)

    def _find(self, text: str) -> tuple[Device, PowerMode]:
        key, _, mode = text.partition("@")
        device = find_device(self.devices, key.strip())
        return device, device.mode(mode.strip() or None)
