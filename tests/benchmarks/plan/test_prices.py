from __future__ import annotations

from pathlib import Path

import pytest
from plan_parts import capability
from temper.benchmarks.plan.capability import Place
from temper.benchmarks.plan.prices import Prices, read_prices
from temper.core.errors import UsageError

KNOWN = ("pc", "orin")


def read(folder: Path, text: str) -> Prices:
    path = folder / "prices.yml"
    path.write_text(text, encoding="utf-8")
    return read_prices(path, KNOWN)


@pytest.mark.parametrize(
    "text",
    [
        "currency: EUR\nprices: {pc: 900, orin: 480}",
        "currency: EUR\nprices: {pc: 900 EUR, orin: 480}",
        "prices: {pc: 900 EUR, orin: 480.00 EUR}",
    ],
)
def test_a_currency_is_of_all_prices(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text)
    assert (found.currency, found.by_device) == ("EUR", {"pc": 900.0, "orin": 480.0})


def test_prices_and_watts_may_each_stand_alone(tmp_path: Path) -> None:
    assert read(tmp_path, "prices: {pc: 900}") == Prices("", {"pc": 900.0})
    found = read(tmp_path, "watts:\n  pc: 0.1 kW\n  orin: 19\n  orin@7W: 9 W\n")
    assert found.watts == {"pc": 100.0, "orin": 19.0, "orin@7W": 9.0}


def test_devices_of_other_plans_are_passed_over_and_told(tmp_path: Path) -> None:
    found = read(tmp_path, "prices:\n  pc: 900\n  cellar: 500\n")
    assert found.unused[0].endswith(
        "line 3: 'cellar' is neither in the device table nor measured here, and is passed over."
    )


def test_given_watts_are_of_the_whole_device_and_the_mode_counts_first() -> None:
    given = Prices(watts={"orin": 19.0, "orin@7W": 9.0})
    places = [Place("orin", "An Orin", mode, 5.0, "module") for mode in ("7w", "15W")] + [Place("pc", "A PC")]
    found = given.with_watts(capability(place=place) for place in places)
    assert [(one.place.watts, one.place.watts_of) for one in found] == [
        (9.0, "device"),
        (19.0, "device"),
        (None, "device"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "prices:\n  pc: 900 EUR\n  orin: 480 USD\n",
            r"prices\.yml, line 3: the price of orin is in USD, and .*line 2 says EUR; a plan reckons in one currency",
        ),
        ("currency: EUR\nprices:\n  pc: 900 USD\n", r"line 3: the price of pc is in USD, and .*line 1 says EUR"),
        ("prices:\n  oron: 900\n", r"line 2: there is no device 'oron'\. Did you mean 'orin'\?"),
        ("watts:\n  oron@15W: 9\n", r"line 2: there is no device 'oron'\. Did you mean 'orin'\?"),
        ("watts:\n  pc: 95 m\n", r"line 2: watts of pc is '95 m'; 'm' is no unit of a power"),
        ("watts:\n  pc: 0\n", r"line 2: watts\.pc is 0; it takes a number above 0"),
        ("prices:\n  pc: cheap\n", r"line 2: prices\.pc is 'cheap'; it takes a number above 0"),
        ("currency: EUR\n", r"neither 'prices:' nor 'watts:'"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as told:
        read(tmp_path, text)
    assert "\n" not in str(told.value)
