from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.distill.recipe import ExportSection
from temper.distill.recipe_sizes import GraphSize, parse_sizes

sides = st.integers(32, 16384)


@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=4, unique=True))
def test_sizes_are_what_they_say(wanted: list[tuple[int, int]]) -> None:
    sizes = parse_sizes([f"{width}x{height}" for width, height in wanted], (64, 64))
    assert [size.pixels for size in sizes] == wanted
    for size in sizes:
        for full, side in zip(size.padded, size.pixels, strict=True):
            assert full % 32 == 0 and 0 <= full - side < 32


def test_without_any_the_usual_and_dynamic() -> None:
    assert parse_sizes((), (160, 96)) == [GraphSize(160, 96)]
    assert parse_sizes(("200x200", "dynamic"), (160, 96)) == [GraphSize(200, 200), GraphSize(160, 96, any_size=True)]
    assert [size.suffix for size in parse_sizes(("200x100", "dynamic"), (32, 32))] == ["200x100", "dynamic"]


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (["200"], "'200' is no size of a picture"),
        (["200*200"], "no size of a picture"),
        (["200x200", "200x200"], "200x200 is there twice"),
        (["31x200"], "31x200 is out of bounds"),
        (["200x99999"], "200x99999 is out of bounds"),
        ([""], "'' is no size"),
    ],
)
def test_what_is_no_size(texts: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_sizes(texts, (64, 64))
    with pytest.raises(ValueError, match=sentence.replace("*", r"\*")):
        ExportSection(inputs=texts)
