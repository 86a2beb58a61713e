"""What every section of a file of settings has in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


def each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse a list that says something twice; for pydantic's ``field_validator``.

    Raises:
        ValueError: naming what stands there twice.
    """
    twice = next((value for place, value in enumerate(values) if value in values[:place]), None)
    if twice is not None:
        raise ValueError(f"{twice} stands there twice; leave one out")
    return values


Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A section: unknown fields are refused, and nothing changes after it was checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)
