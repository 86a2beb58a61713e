"""What devices cost and how much power they take, from a file of the user's."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from ...core.errors import UsageError
from ...core.settings.file import SettingsSource
from ...core.settings.section import Section
from .capability import Capability
from .units import POWER, parse_quantity

_MOST = 1e9
_CURRENCY = r"[^\d\s.,:+\-][^\d\s]{0,9}"
_AMOUNT = re.compile(rf"\s*(\d{{1,9}}(?:\.\d{{1,4}})?)\s+({_CURRENCY})\s*")


class _PricesFile(Section):
    currency: str = Field("", max_length=10, pattern=rf"^({_CURRENCY})?$", description="of all prices, such as EUR")
    prices: dict[str, Annotated[float, Field(gt=0, le=_MOST)]] = Field({}, description="price by device")
    watts: dict[str, Annotated[float, Field(gt=0, le=1e6)]] = Field({}, description="of a whole device, by device")

    @model_validator(mode="after")
    def _says_something(self) -> _PricesFile:
        if not self.prices and not self.watts:
            raise ValueError("it has neither 'prices:' nor 'watts:' with a device below it; write one")
        return self


@dataclass(frozen=True)
class Prices:
    """What a user says of devices.

    Attributes:
        currency: of all prices; empty if the file names none.
        by_device: price by the device's key.
        watts: that a whole device takes, by ``DEVICE`` or ``DEVICE@MODE``.
        unused: a sentence for each device that is in no table and not measured.
    """

    currency: str = ""
    by_device: Mapping[str, float] = field(default_factory=dict)
    watts: Mapping[str, float] = field(default_factory=dict)
    unused: tuple[str, ...] = ()

    def with_watts(self, capabilities: Iterable[Capability]) -> list[Capability]:
        """The capabilities with the watts that were given here in place of those of the device table."""
        return [self._with_watts(one) for one in capabilities]

    def _with_watts(self, one: Capability) -> Capability:
        modes = {key.lower(): watts for key, watts in self.watts.items()}
        found = modes.get(f"{one.place.device}@{one.place.power_mode}".lower(), self.watts.get(one.place.device))
        return one if found is None else replace(one, place=replace(one.place, watts=found, watts_of="device"))


def read_prices(path: Path, known: Collection[str]) -> Prices:
    """Read a file such as::

        currency: EUR
        prices:
          jetson-orin-nano-8gb: 480     # or 480 EUR
          pc: 1150
        watts:
          pc: 95                        # or 95 W
          jetson-orin-nano-8gb@15W: 19

    Args:
        path: of the file.
        known: keys of devices.

    Raises:
        UsageError: naming every mistake with its line: a misspelt device, a second currency, a wrong unit.
    """
    source = SettingsSource.read(
        path, "file of prices", " It has 'currency: EUR' and 'prices:' with a price by device."
    )
    mistakes, unused = _names(source, known)
    currency = _one_currency(source, mistakes)
    _read_watts(source, mistakes)
    if mistakes:
        raise UsageError("\n".join(mistakes))
    checked = source.checked(_PricesFile, [])
    return Prices(checked.currency or currency, checked.prices, checked.watts, tuple(unused))


def _names(source: SettingsSource, known: Collection[str]) -> tuple[list[str], list[str]]:
    """Devices that are misspelt, and those that are only of other plans: one file of prices may serve several."""
    mistakes, unused = [], []
    for section in ("prices", "watts"):
        for name in map(str, _section(source, section)):
            device = name.partition("@")[0] if section == "watts" else name
            if device in known:
                continue
            place, near = source.place((section, name)), get_close_matches(device, known, n=1, cutoff=0.6)
            if near:
                mistakes.append(f"{place}: there is no device '{device}'. Did you mean '{near[0]}'?")
            else:
                unused.append(
                    f"{place}: '{device}' is neither in the device table nor measured here, and is passed over."
                )
    return mistakes, unused


def _section(source: SettingsSource, name: str) -> dict[Any, Any]:
    found = source.values.get(name)
    return found if isinstance(found, dict) else {}


def _one_currency(source: SettingsSource, mistakes: list[str]) -> str:
    """Take the currency out of prices such as ``480 EUR``; a second one is a mistake."""
    prices = _section(source, "prices")
    currency = source.values.get("currency") or ""
    first = source.place(("currency",))
    for name, value in prices.items():
        matched = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
        if matched is None:
            continue
        place = source.place(("prices", str(name)))
        if not currency:
            currency, first = matched[2], place
        elif matched[2] != currency:
            mistakes.append(
                f"{place}: the price of {name} is in {matched[2]}, and {first} says {currency}; a plan reckons in one "
                "currency, so give all prices in it."
            )
        prices[name] = float(matched[1])
    return str(currency)


def _read_watts(source: SettingsSource, mistakes: list[str]) -> None:
    watts = _section(source, "watts")
    for name, value in watts.items():
        if isinstance(value, str):
            try:
                watts[name] = parse_quantity(value, POWER)
            except ValueError as error:
                mistakes.append(f"{source.place(('watts', str(name)))}: watts of {name} is '{value}'; {error}.")
