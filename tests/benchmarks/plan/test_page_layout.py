"""The page in a real browser: nothing of importance lies beyond the edge of a laptop's or a phone's screen."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from plan_parts import estimate_row, write_estimates, write_measured
from temper.benchmarks.plan.page import render_page
from temper.benchmarks.plan.recipe import read_recipe
from temper.benchmarks.plan.run import make_plan
from temper.detection.dataset import DataSet

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt install chromium)")
#: Measures the pages once they are laid out; each stands in a frame as wide as a screen.
MEASURE = """
addEventListener("load", () => {
  const found = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, wide = page.documentElement;
    const tables = [...page.querySelectorAll(".scroll")].map(
      one => [one.innerText.slice(0, 40), one.scrollWidth - one.clientWidth]);
    const cells = [...page.querySelectorAll("table.ranked tbody tr:first-child > *")].map(
      one => [one.dataset.label || "Device", one.getBoundingClientRect().right]);
    found[frame.width] = {page: wide.scrollWidth - wide.clientWidth, tables, cells};
  }
  document.body.innerHTML = "<pre>" + JSON.stringify(found).replaceAll("<", "&lt;") + "</pre>";
});
"""


@pytest.fixture(scope="module")
def laid_out(bundles: dict[str, Path], data: DataSet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("layout")
    bundle = bundles["student"]
    write_measured(folder / "a-long-name-of-a-hall" / "inspection-pc-7", bundle, data, 0.3)
    write_measured(folder / "mill" / "inspection-pc-7", bundle, data, 20.0)
    rows = [
        estimate_row(bundle, name, 0.2, unknown_operators=("Mystery",)) for name in ("jetson-orin-nano-super-8gb", "l4")
    ]
    write_estimates(folder / "estimates.jsonl", rows)
    prices = {"jetson-orin-nano-super-8gb": 480, "l4": 12900, "a-long-name-of-a-hall/inspection-pc-7": 2350}
    (folder / "prices.yml").write_text(json.dumps({"currency": "EUR", "prices": prices}), encoding="utf-8")
    asked = {
        "bundle": str(bundle), "strip_width": "1.2m", "line_speed": "1m/s", "defect": "2mm",
        "tile_overlap": 8, "frame_overlap": 8,
        "prices": str(folder / "prices.yml"), "estimated": [str(folder / "estimates.jsonl")], "host_ms": 0.0,
        "measured": [str(folder / hall / "inspection-pc-7") for hall in ("a-long-name-of-a-hall", "mill")],
    }  # fmt: skip
    page = render_page(make_plan(read_recipe(None, asked)))
    # the page forbids scripts, so they run around it
    frames = "".join(
        f'<iframe width="{width}" height="900" srcdoc="{html.escape(page)}"></iframe>' for width in (1280, 390)
    )
    (folder / "frames.html").write_text(f"<!doctype html><body>{frames}<script>{MEASURE}</script>", encoding="utf-8")
    assert CHROMIUM is not None
    words = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1400,1000",
        f"--user-data-dir={folder / 'profile'}",
    ]
    done = subprocess.run(
        [CHROMIUM, *words, "--virtual-time-budget=2000", "--dump-dom", f"file://{folder / 'frames.html'}"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(html.unescape(re.findall(r"<pre>(.*)</pre>", done.stdout, re.S)[0]))
    return found


@pytest.mark.parametrize("width", ["1280", "390"])
def test_nothing_lies_beyond_the_edge(laid_out: dict[str, Any], width: str) -> None:
    seen = laid_out[width]
    assert seen["page"] <= 0
    assert [table for table in seen["tables"] if table[1] > 1] == []
    labels = [label for label, _ in seen["cells"]]
    assert {"Rank", "Device", "Figures are", "Devices", "Watts", "Cost", "Keeps up to", "Cameras a device"} <= set(
        labels
    )
    assert max(right for _, right in seen["cells"]) <= int(width)
