"""Write docs/reference/measurements/*.schema.json anew, after a change of the rows that a benchmark writes."""

from __future__ import annotations

from pathlib import Path

from temper.benchmarks.report.schema import write_schemas

if __name__ == "__main__":
    write_schemas(Path(__file__).resolve().parents[1] / "docs" / "reference" / "measurements")
