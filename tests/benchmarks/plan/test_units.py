from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.benchmarks.plan.units import DISTANCE, LENGTH, POWER, SPEED, TIME, Dimension, parse_quantity, parse_share


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("1.2m", LENGTH, 1200),
        ("0.5mm", LENGTH, 0.5),
        ("500 µm", LENGTH, 0.5),
        ("500 um", LENGTH, 0.5),
        ("1 inch", LENGTH, 25.4),
        ("15m/s", SPEED, 15),
        ("15 m/s", SPEED, 15),
        ("900 m/min", SPEED, 15),
        ("900m / min", SPEED, 15),
        ("54 km/h", SPEED, 15),
        ("6m", DISTANCE, 6),
        ("0.2 s", TIME, 200),
        ("50ms", TIME, 50),
        ("0.25 kW", POWER, 250),
        ("6e1W", POWER, 60),
    ],
)
def test_quantities_as_people_write_them(text: str, dimension: Dimension, value: float) -> None:
    assert parse_quantity(text, dimension) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "dimension", "message"),
    [
        ("15", SPEED, r"it has no unit; write a speed such as 15m/s or 900 m/min"),
        ("15 mm", SPEED, r"'mm' is no unit of a speed"),
        ("1.2 bananas", LENGTH, r"'bananas' is no unit; write a length"),
        ("0 m/s", SPEED, r"it has to be above 0"),
        ("-1m", LENGTH, r"it has to be above 0"),
        ("m", LENGTH, r"write a length as a number with its unit"),
        ("", LENGTH, r"write a length as a number with its unit"),
        ("1,2m", LENGTH, r"is no unit|as a number"),
        ("9**9**9m", LENGTH, r"as a number|is no unit"),
        ("1 m**99999999", LENGTH, r"as a number|is no unit"),
        ("1e999 mm", LENGTH, r"as a number|is no unit"),
        ("20 degC", POWER, r"is no unit of a power"),
        ("__import__('os')", LENGTH, r"as a number"),
    ],
)
def test_what_is_none_is_told_in_half_a_sentence(text: str, dimension: Dimension, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_quantity(text, dimension)


@given(
    st.floats(1e-6, 1e6), st.sampled_from([("mm", 1), ("m", 1000), ("cm", 10), ("km", 1e6)]), st.sampled_from(["", " "])
)
def test_every_length_with_a_unit_is_read(number: float, unit: tuple[str, float], space: str) -> None:
    read = parse_quantity(f"{number:.9f}{space}{unit[0]}", LENGTH)
    assert read == pytest.approx(float(f"{number:.9f}") * unit[1])


@given(st.text(max_size=40))
def test_any_other_text_is_refused_and_nothing_else_happens(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert 0 < parse_quantity(text, LENGTH) < math.inf


@pytest.mark.parametrize(("text", "value"), [("30%", 0.3), ("30 %", 0.3), ("0.3", 0.3), ("0", 0), ("99.9%", 0.999)])
def test_shares(text: str, value: float) -> None:
    assert parse_share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["30", "100%", "-1%", "1", "much", "", "%"])
def test_no_share(text: str) -> None:
    with pytest.raises(ValueError, match="it is no share from 0 % to below 100 %; write 30% or 0.3"):
        parse_share(text)
