"""The documentation says what the code takes."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_of_line_yml_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "line_reference.py"))
    assert made["PAGE"].read_text(encoding="utf-8") == made["page"](), "run scripts/line_reference.py"
