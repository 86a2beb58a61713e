from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from temper.benchmarks.plan.optics import LINKS, Sensor
from temper.benchmarks.plan.prices import read_prices
from temper.benchmarks.plan.recipe import LinkName, PlanRecipe, read_recipe
from temper.benchmarks.plan.template import recipe_text, write_recipe
from temper.commands.plan import LINK_NAMES, plan
from temper.core.errors import UsageError

NEEDED: dict[str, Any] = {"bundle": "x.temper", "strip_width": "1.2m", "line_speed": "15m/s", "defect": "0.5mm"}


def test_options_alone() -> None:
    recipe = read_recipe(None, {**NEEDED, "scan": "area", "sensor": "2448x2048", "deadline": "0.2 s", "cameras": 3})
    seen = recipe.geometry(3)
    assert (seen.strip_mm, seen.speed_m_s, seen.defect_mm, seen.bytes_per_pixel) == (1200, 15, 0.5, 3)
    assert (seen.sensor, seen.cameras, recipe.due.given_ms) == (Sensor(2448, 2048), 3, 200)


def test_options_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.yml"
    path.write_text(
        "bundle: a.temper\nstrip_width: 1m\nline_speed: 3m/s\ndefect: 1mm\nsensor: 4096\n", encoding="utf-8"
    )
    recipe = read_recipe(path, {"line_speed": "900 m/min", "measured": ["here"]})
    assert (recipe.line_speed, recipe.strip_width, recipe.measured, recipe.sensor) == (
        "900 m/min",
        "1m",
        ("here",),
        "4096",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("line_speed: 15\n", r"plan\.yml, line 4: line_speed is 15; it has no unit; write a speed such as 15m/s"),
        ("line_speed: 0 m/s\n", r"plan\.yml, line 4: line_speed is '0 m/s'; it has to be above 0"),
        ("line_speed: 1m/s\ndefct: 1mm\n", r"line 5: there is no field 'defct'. Did you mean 'defect'"),
        ("line_speed: 1m/s\ncameras: 0\n", r"line 5: cameras is 0; it takes a whole number from 1 to 64, or auto"),
        (
            "line_speed: 1m/s\ncameras: some\n",
            r"line 5: cameras is 'some'; it takes a whole number from 1 to 64, or auto",
        ),
        ("line_speed: 1m/s\nlink: GigaE\n", r"line 5: link is 'GigaE'; it takes GigE, USB3.*Did you mean"),
        ("line_speed: 1m/s\nmargin: 100%\n", r"line 5: margin is '100%'; it is no share"),
        ("line_speed: 1m/s\ndeadline: 1ms\nreach: 6m\n", r"plan\.yml: deadline and reach both say when"),
        (
            "line_speed: 1m/s\nsensor: 2448x2048\n",
            r"sensor is '2448x2048', and a camera of scan line has its pixels alone",
        ),
        ("line_speed: 1m/s\nsensor: big\n", r"line 5: sensor is 'big'; write pixels across"),
        ("line_speed: 1m/s\npixels_per_defect: 0.5\n", r"line 5: pixels_per_defect is 0.5; it takes a number from 1"),
    ],
)
def test_mistakes_of_the_file_have_their_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "plan.yml"
    path.write_text(f"bundle: a.temper\nstrip_width: 1m\ndefect: 1mm\n{text}", encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_recipe(path, {})


def test_mistakes_of_options_name_the_option() -> None:
    with pytest.raises(UsageError, match=r"^--line-speed: line_speed is '15'; it has no unit"):
        read_recipe(None, {**NEEDED, "line_speed": "15"})
    with pytest.raises(UsageError, match=r"^A plan needs --strip-width, --line-speed and --defect, as options or as"):
        read_recipe(None, {"bundle": "x.temper"})
    with pytest.raises(
        UsageError, match=r"There is no plan nowhere\.yml\. 'temper plan \.\.\. --write plan\.yml' writes one"
    ):
        read_recipe(Path("nowhere.yml"), {})


def test_a_written_recipe_is_read_again(tmp_path: Path) -> None:
    recipe = read_recipe(
        None,
        {
            **NEEDED,
            "bundle": "a: # b.temper",
            "measured": ["here=orin@15W", "no"],
            "batch": [1, 8],
            "sensor": "8192",
            "margin": "20 %",
        },
    )
    path = tmp_path / "plan.yml"
    write_recipe(recipe, path)
    assert read_recipe(path, {}) == recipe
    with pytest.raises(UsageError, match="is there already and is not replaced"):
        write_recipe(recipe, path)


def test_every_field_is_written_with_what_it_is() -> None:
    text = recipe_text(read_recipe(None, NEEDED), "plan.yml")
    for name, field in PlanRecipe.model_fields.items():
        assert f"{name}: " in text
        assert field.description
        assert field.description in text
    assert "line_speed: 15m/s\n" in text
    assert "\n# margin: 30%\n" in text


def test_the_command_line_knows_every_field_and_link() -> None:
    options = {parameter.name for parameter in plan.params}
    assert set(PlanRecipe.model_fields) <= options
    assert tuple(link.name for link in LINKS) == get_args(LinkName) == LINK_NAMES


def test_prices(tmp_path: Path) -> None:
    path = tmp_path / "prices.yml"
    path.write_text("currency: EUR\nprices:\n  orin: 480\n  box: 900.5\n", encoding="utf-8")
    prices = read_prices(path, {"orin", "box", "other"})
    assert (prices.currency, prices.by_device) == ("EUR", {"orin": 480, "box": 900.5})
    with pytest.raises(UsageError, match=r"prices\.yml, line 3: there is no device 'orin'. Did you mean 'orin-nano'\?"):
        read_prices(path, {"orin-nano", "box"})
    path.write_text("prices:\n  box: -1\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"prices\.yml, line 2: prices\.box is -1; it takes a number above 0"):
        read_prices(path, {"box"})
