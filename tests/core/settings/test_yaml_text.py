from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from temper.core.errors import UsageError
from temper.core.settings.yaml_text import MAX_DEPTH, parse_value, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-4", 5e-4),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-3", -3),
        ("017", "017"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-01-31", "2024-01-31"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ("[1, 2.5, x]", [1, 2.5, "x"]),
        ("{a: {b: null}}", {"a": {"b": None}}),
        ("1" * 40, float("1" * 40)),
    ],
)
def test_values_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    parsed = parse_value(text, "--set x").values
    assert parsed == value
    assert type(parsed) is type(value)


def test_every_field_knows_its_line() -> None:
    document = parse_yaml(
        "name: x\n\ndata:\n  synthetic:\n    train: 3 # many\n  split_ratio:\n    - 1\n    - 2\n", "r"
    )
    assert document.lines == {
        ("name",): 1,
        ("data",): 3,
        ("data", "synthetic"): 4,
        ("data", "synthetic", "train"): 5,
        ("data", "split_ratio"): 6,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\n", "r, line 1: a recipe has no anchors and aliases"),
        ("a: 1\nb: *x\n", "r, line 2: a recipe has no anchors and aliases"),
        ("a: 1\nb: !!python/object/apply:os.system [ls]\n", "r, line 2: a recipe has no tags"),
        ("a: !!binary aGk=\n", "r, line 1: a recipe has no tags"),
        ("? [a, b]\n: 1\n", "r, line 1: the name of a field must be a plain word"),
        ("a: 1\n---\nb: 2\n", "this is not YAML .*another document"),
        ("a: {b: 1\n", "this is not YAML"),
        (f"a: {'[' * (MAX_DEPTH + 1)}{']' * (MAX_DEPTH + 1)}\n", f"more than {MAX_DEPTH} levels"),
        ("a: {b: {c: 1, c: 2}}\n", r"line 1: a\.b\.c is there twice \(first in line 1\)"),
    ],
)
def test_what_a_recipe_must_not_hold(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_yaml(text, "r")


def test_very_deep_nesting_is_no_crash() -> None:
    with pytest.raises(UsageError, match="levels inside one another are no recipe"):
        parse_yaml("[" * 100_000, "r")


_texts = st.text(max_size=20).filter(str.isprintable)
_numbers = st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False)


def _around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3)


_values = st.recursive(st.none() | st.booleans() | _texts | _numbers, _around, max_leaves=8)


@given(st.dictionaries(_texts, _values, max_size=4))
def test_json_reads_back_as_it_was(value: dict[str, Any]) -> None:
    """A run's recipe.json is read as YAML where it is given for a recipe."""
    assert parse_yaml(json.dumps(value, ensure_ascii=False, indent=2), "r").values == value


@given(st.text(max_size=60))
def test_no_text_brings_a_traceback(text: str) -> None:
    with contextlib.suppress(UsageError):
        parse_yaml(text, "r")


def test_the_loader_of_pyyaml_is_left_as_it_was() -> None:
    parse_value("no", "x")
    assert yaml.safe_load("no") is False
