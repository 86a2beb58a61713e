"""The schemas in the documentation are those of what is written, and what is written keeps to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench_rows import write_benchmark
from pydantic import ValidationError
from temper.benchmarks.measurement import read_rows
from temper.benchmarks.report.results import collect_results, write_results_json
from temper.benchmarks.report.schema import json_schemas, results_model, write_schemas
from temper.detection.dataset import DataSet

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "reference" / "measurements"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, data: DataSet) -> Path:
    folder = tmp_path_factory.mktemp("written")
    measured = read_rows(write_benchmark(folder, data))
    write_results_json(folder / "results.json", "steel", ["One."], ["Two."], collect_results(measured), measured)
    return folder


def test_the_documented_schemas_are_those_of_the_models(tmp_path: Path) -> None:
    write_schemas(tmp_path)
    again = "run: python scripts/measurement_schemas.py"
    assert {path.name for path in FOLDER.iterdir()} == set(json_schemas()), again
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (FOLDER / path.name).read_bytes(), again


def test_what_is_written_keeps_to_the_schema(folder: Path) -> None:
    text = (folder / "results.json").read_text(encoding="utf-8")
    assert results_model().model_validate_json(text)


def test_every_field_that_is_written_is_described(folder: Path) -> None:
    """Of both files, down to the last field, by the schema itself."""
    schemas = json_schemas()
    undescribed(json.loads((folder / "results.json").read_text()), schemas["results.schema.json"])
    rows = [json.loads(line) for line in (folder / "measurements.jsonl").read_text().splitlines()]
    of_row = schemas["measurements.schema.json"]["discriminator"]["mapping"]
    assert {row["row"] for row in rows} <= set(of_row)
    for row in rows:
        whole = schemas["measurements.schema.json"]
        undescribed(row, {"$ref": of_row[row["row"]], "$defs": whole["$defs"]})


def undescribed(value: Any, schema: dict[str, Any], definitions: dict[str, Any] | None = None) -> None:
    known = definitions or schema["$defs"]
    if "$ref" in schema:
        return undescribed(value, known[schema["$ref"].rsplit("/", 1)[1]], known)
    if "anyOf" in schema:
        options = [one for one in schema["anyOf"] if one.get("type") != "null"]
        return undescribed(value, options[0], known) if value is not None and len(options) == 1 else None
    if isinstance(value, dict) and "properties" in schema:
        assert set(value) <= set(schema["properties"]) and set(schema.get("required", ())) <= set(value)
        for name, one in value.items():
            undescribed(one, schema["properties"][name], known)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for one in value:
            undescribed(one, schema["items"], known)
    return None


def test_a_field_that_is_not_known_is_no_part_of_the_schema(folder: Path) -> None:
    content = json.loads((folder / "results.json").read_text())
    with pytest.raises(ValidationError, match="colour"):
        results_model().model_validate({**content, "colour": "grey"})
