from __future__ import annotations

import json
from pathlib import Path

import pytest
from temper.bundle.schema import SCHEMAS, json_schema

DOCUMENTED = Path(__file__).resolve().parents[2] / "docs" / "reference" / "bundle"


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_documented_schema_is_current(name: str) -> None:
    path = DOCUMENTED / f"{name}.schema.json"
    assert json.loads(path.read_text(encoding="utf-8")) == json_schema(name), f"temper bundle schema {name} > {path}"
