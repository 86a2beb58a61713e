"""JSON Schemas of what is in a bundle, from the models that read it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from .golden import GoldenAnswers
from .manifest import Manifest
from .signature import Signature

#: By the name of the file they describe, without its ending. Closed.
SCHEMAS: dict[str, type[BaseModel]] = {"manifest": Manifest, "signature": Signature, "answers": GoldenAnswers}


def json_schema(name: str) -> dict[str, Any]:
    """The schema (draft 2020-12) of one of :data:`SCHEMAS`."""
    schema = SCHEMAS[name].model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
