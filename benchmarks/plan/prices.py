"""What devices cost, from a file of the user's."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ...core.errors import UsageError, nearest
from ...core.settings.file import SettingsSource
from ...core.settings.section import Section


class _PricesFile(Section):
    currency: str = Field("", max_length=10)
    prices: dict[str, Annotated[float, Field(gt=0, le=1e9)]] = Field(min_length=1)


@dataclass(frozen=True)
class Prices:
    """Prices of devices.

    Attributes:
        currency: as it stands in the file.
        by_device: price by the device's key.
    """

    currency: str = ""
    by_device: Mapping[str, float] = field(default_factory=dict)


def read_prices(path: Path, known: Collection[str]) -> Prices:
    """Read a file such as::

        currency: EUR
        prices:
          jetson-orin-nano-8gb: 480

    Args:
        path: of the file.
        known: keys of devices.

    Raises:
        UsageError: naming every mistake with its line, a device that is not known among them.
    """
    source = SettingsSource.read(
        path, "file of prices", " It has 'currency: EUR' and 'prices:' with a price by device."
    )
    listed = source.values.get("prices")
    names = [str(name) for name in listed] if isinstance(listed, dict) else []
    mistakes = [
        f"{source.place(('prices', name))}: there is no device '{name}'.{nearest(name, known)}"
        for name in names
        if name not in known
    ]
    if mistakes:
        raise UsageError("\n".join(mistakes))
    checked = source.checked(_PricesFile, [])
    return Prices(checked.currency, checked.prices)
