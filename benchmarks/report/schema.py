"""JSON Schemas of ``measurements.jsonl`` and ``results.json``, from the rows that are written and read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from ...core.files import write_json
from ...detection.metrics import AccuracyFigures
from ..energy.rows import EnergyRow, SoakRow
from ..inspection_rows import CurveRow, EscapeRow, FalseAlarmRow, PrecisionRow, SortingRow
from ..latency_rows import LatencyRow
from ..measurement import BenchmarkRow, FootprintRow, Row
from .results import BENCHMARK_FIELDS, FOOTPRINT_FIELDS, LEFT_OUT_OF_ENERGY, LEFT_OUT_OF_RESULTS
from .results import SCHEMA_VERSION as RESULTS_VERSION

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_OWN_FIELDS = ConfigDict(extra="forbid")


def json_schemas() -> dict[str, dict[str, Any]]:
    """The schema (draft 2020-12) of each file, by its name in ``docs/reference/measurements/``."""
    line: TypeAdapter[Row] = TypeAdapter(Annotated[Row, Field(discriminator="row")])
    return {
        # of one line: the file has many
        "measurements.schema.json": {"$schema": DRAFT, **line.json_schema()},
        "results.schema.json": {"$schema": DRAFT, **results_model().model_json_schema()},
    }


def write_schemas(folder: Path) -> None:
    """Write every schema to ``folder``."""
    for name, schema in json_schemas().items():
        write_json(folder / name, schema)


def results_model() -> type[BaseModel]:
    """What ``results.json`` holds, put together of the rows that its figures come from."""
    benchmark = get_type_hints(BenchmarkRow, include_extras=True)
    entry = _of(BenchmarkRow, ("bundles",))["bundles"][0]
    (bundle,) = entry.__args__
    manifest = get_type_hints(bundle)["manifest"]
    with_hash = create_model("Bundle", __base__=manifest, manifest_sha256=(str, ...))
    return _model(
        "Results",
        "The figures of one benchmark, without its samples.",
        schema_version=(Literal[RESULTS_VERSION], ...),
        name=(str, ...),
        summary=(list[str], ...),
        results=(_list_of(_result_model()), ...),
        **{name: (benchmark[name], ...) for name in BENCHMARK_FIELDS},
        settings=(benchmark["settings"], ...),
        warnings=(list[str], ...),
        machine_before=(benchmark["machine_before"], ...),
        machine_after=(benchmark["machine_after"], ...),
        bundles=(_list_of(with_hash), ...),
    )


def _model(title: str, doc: str, /, **parts: Any) -> type[BaseModel]:
    """A model of these fields, each its type and its default, and of no others."""
    made: type[BaseModel] = create_model(title, __config__=_OWN_FIELDS, __doc__=doc, **parts)
    return made


def _list_of(kind: Any) -> Any:
    return list[kind]


def _result_model() -> type[BaseModel]:
    kept = [field.name for field in fields(LatencyRow) if field.name not in LEFT_OUT_OF_RESULTS]
    footprint = {name: (kind[0] | None, ...) for name, kind in _of(FootprintRow, FOOTPRINT_FIELDS).items()}
    return _model(
        "Result",
        "One candidate in one scenario; null is what was not measured or may not be given.",
        title=(str, ...),
        **_of(LatencyRow, kept),
        accuracy=(AccuracyFigures | None, ...),
        inspection=(_inspection_model() | None, ...),
        **footprint,
        energy=(_list_of(_without(EnergyRow, LEFT_OUT_OF_ENERGY)), ...),
        soak=(_without(SoakRow, LEFT_OUT_OF_ENERGY) | None, ...),
    )


def _inspection_model() -> type[BaseModel]:
    return _model(
        "Inspection",
        "What escapes and is flagged, of all classes together where no label stands.",
        average_precision=(_list_of(_without_subject(PrecisionRow)), ...),
        escape=(_list_of(_without_subject(EscapeRow)), ...),
        false_alarms=(_list_of(_without_subject(FalseAlarmRow)), ...),
        sorting=(_without_subject(SortingRow), ...),
        curves=(_list_of(_without_subject(CurveRow)), ...),
    )


def _without_subject(row: type[Any]) -> type[BaseModel]:
    return _without(row, ("subject", "row"))


def _without(row: type[Any], left_out: Collection[str]) -> type[BaseModel]:
    names = [field.name for field in fields(row) if field.name not in left_out]
    return _model(row.__name__.replace("Row", ""), row.__doc__ or "", **_of(row, names))


def _of(row: type[Any], names: Collection[str]) -> dict[str, Any]:
    """These fields of a row as a model's: its type, and its default."""
    hints = get_type_hints(row, include_extras=True)
    found = {}
    for field in fields(row):
        if field.name in names:
            made = field.default_factory if field.default_factory is not MISSING else None
            default = Field(default_factory=made) if made else ... if field.default is MISSING else field.default
            found[field.name] = (hints[field.name], default)
    return found
