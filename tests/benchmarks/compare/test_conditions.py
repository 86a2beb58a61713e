from __future__ import annotations

import contextlib
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.benchmarks.compare.conditions import NAMES, Condition, parse_conditions, reasons_to_fail
from temper.core.errors import UsageError

OPERATORS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
spaces = st.text(" \t", max_size=2)


@given(
    parts=st.lists(
        st.tuples(st.sampled_from(NAMES), st.sampled_from(list(OPERATORS)), numbers, spaces, spaces),
        min_size=1,
        max_size=4,
    )
)
def test_what_the_grammar_allows_is_read_as_written(parts: list[tuple[str, str, float, str, str]]) -> None:
    text = ",".join(f"{before}{name}{after}{sign}{before}{limit!r}" for name, sign, limit, before, after in parts)
    assert parse_conditions(text) == [Condition(name, sign, limit) for name, sign, limit, _, _ in parts]


@given(st.text(max_size=40))
def test_any_other_text_is_refused_in_a_sentence(text: str) -> None:
    with contextlib.suppress(UsageError):
        parsed = parse_conditions(text)
        # what was read says the same again
        assert parse_conditions(",".join(f"{one.name}{one.operator}{one.limit!r}" for one in parsed)) == parsed


@given(name=st.sampled_from(NAMES), sign=st.sampled_from(list(OPERATORS)), limit=numbers, value=numbers)
def test_a_condition_fails_exactly_where_it_holds(name: str, sign: str, limit: float, value: float) -> None:
    reasons = reasons_to_fail([Condition(name, sign, limit)], {name: value})
    assert bool(reasons) == OPERATORS[sign](value, limit)


def test_a_figure_without_a_value_does_not_pass_in_silence() -> None:
    (reason,) = reasons_to_fail(parse_conditions("ap_small_drop>1"), {"ap_small_drop": None})
    assert reason == "ap_small_drop>1 cannot be judged, as ap_small_drop has no value here"


def test_the_reason_has_the_value_and_its_unit() -> None:
    (reason,) = reasons_to_fail(parse_conditions("map_drop > 0.5"), {"map_drop": 0.8312})
    assert reason == "map_drop is 0.8312 points, and map_drop>0.5 was to fail"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("map_dorp>0.5", r"no figure 'map_dorp' in a comparison\. Did you mean 'map_drop'\?"),
        ("zzz>0.5", "Known here: ap50_drop, .*latency_ratio, map_drop. Each also with _low or _high"),
        ("map_drop=0.5", "'map_drop=0.5' is no condition"),
        ("map_drop>", "'map_drop>' is no condition"),
        ("map_drop>nan", "is no condition"),
        ("map_drop>1e999", "is too large"),
        ("map_drop>0.5,", "a condition is missing"),
        ("", "a condition is missing"),
        ("__import__('os').system('true')", "is no condition"),
        ("map_drop>0.5 or 1", "is no condition"),
    ],
)
def test_a_wrong_expression_is_named(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_conditions(text)
