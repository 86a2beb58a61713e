"""What every row of a benchmark is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict

Role = Literal["teacher", "student", "distilled", "other"]
Kind = Literal["measured"]

#: Rows are read back strictly: a field that is not known is another schema's.
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Subject:
    """Which model, as which graph, on which runtime."""

    __pydantic_config__ = STRICT

    model: str
    role: Role
    variant: str
    precision: str
    runtime: str
