from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field, ValidationError
from temper.core.settings.fields import accepted_values, explain_mistake, field_schema, section_fields, walk_fields
from temper.core.settings.section import Section
from temper.distill.recipe import Recipe


class Inner(Section):
    size: int = Field(3, ge=1, le=9, description="of it")
    kinds: tuple[Literal["a", "b"], ...] = Field(("a",), min_length=1)


class Outer(Section):
    inner: Inner = Inner()
    maybe: Inner | None = None
    share: float = Field(0.5, gt=0, lt=1)
    step: int = Field(2, ge=0, multiple_of=2)
    pair: tuple[int, int] = (1, 2)
    text: str | None = None
    only: Literal["this"] = "this"
    flag: bool = True
    either: Literal[1, 2, 3] = 1


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("inner", "a section with size, kinds"),
        ("inner.size", "a whole number from 1 to 9"),
        ("inner.kinds", "a list of one or more, each a or b"),
        ("inner.kinds.0", "a or b"),
        ("maybe", "a section with size, kinds, or null"),
        ("maybe.size", "a whole number from 1 to 9"),
        ("share", "a number above 0 and below 1"),
        ("step", "a whole number from 0, a multiple of 2"),
        ("pair", "a list of 2, each a whole number"),
        ("pair.1", "a whole number"),
        ("text", "a text, or null"),
        ("only", "this"),
        ("flag", "true or false"),
        ("either", "1, 2 or 3"),
        ("nowhere", ""),
        ("inner.size.more", ""),
    ],
)
def test_what_a_field_takes_in_words(path: str, words: str) -> None:
    assert accepted_values(Outer, tuple(path.split("."))) == words


def test_fields_are_walked_sections_first() -> None:
    assert section_fields(Outer, ("maybe",)) == ["size", "kinds"]
    assert section_fields(Outer, ("share",)) == []
    first = [".".join(path) for path in walk_fields(Outer)][:5]
    assert first == ["inner", "inner.size", "inner.kinds", "maybe", "maybe.size"]


def test_a_long_value_is_cut_and_a_sign_that_does_not_print_is_replaced() -> None:
    def told(value: object) -> str:
        with pytest.raises(ValidationError) as caught:
            Outer.model_validate({"share": value})
        return explain_mistake(Outer, caught.value.errors()[0], lambda path: "here")

    assert told("x" * 100) == f"here: share is '{'x' * 59}...; it takes a number above 0 and below 1."
    assert told("\x1b[31m") == "here: share is '?[31m'; it takes a number above 0 and below 1."


def test_every_field_of_a_recipe_can_be_explained() -> None:
    fields = list(walk_fields(Recipe))
    assert len(fields) > 50
    for path in fields:
        entry = field_schema(Recipe, path)
        assert entry is not None
        assert accepted_values(Recipe, path), path
        if entry.get("type") != "object" and "oneOf" not in entry:  # sections have headings
            assert entry.get("description"), f"{'.'.join(path)} has no description"
