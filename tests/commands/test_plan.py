from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from plan_parts import estimate_row, write_estimates, write_measured
from temper.benchmarks.plan import units
from temper.cli import main
from tiny_bundle import LABELS, make_tiny_bundle
from toy_data import toy_data

LINE = ("--strip-width", "1.2m", "--line-speed", "3m/s", "--defect", "2mm")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``small.temper``, ``other.temper``, ``hall`` with a measurement, ``slow`` with another, ``estimates.jsonl``."""
    folder = tmp_path_factory.mktemp("plan")
    data = replace(toy_data(folder / "data" / "images", 4), labels=LABELS)
    bundle = make_tiny_bundle(folder, size=(256, 256), name="small")
    make_tiny_bundle(folder, size=(64, 64), name="other")
    write_measured(folder / "hall", bundle, data, 0.9)
    write_measured(folder / "slow", bundle, data, 9.0, warnings=["Other programs used 58 % of the processors."])
    rows = [
        estimate_row(bundle),
        estimate_row(bundle, "t4", 0.35, power_mode="", watts=70.0, bound="launch", unknown_operators=("Mystery",)),
    ]
    write_estimates(folder / "estimates.jsonl", rows)
    prices = "currency: EUR\nprices:\n  hall: 900\n  jetson-orin-nano-8gb: 480\n"
    (folder / "prices.yml").write_text(prices, encoding="utf-8")
    (folder / "typing").mkdir()
    (folder / "typing" / "prices.yml").write_text(prices.replace("8gb", "8g"), encoding="utf-8")
    return folder


def run(place: Path, *words: object) -> int:
    return main(["plan", "--bundle", str(place / "small.temper"), *LINE, *(str(word) for word in words)])


def everything(place: Path) -> list[object]:
    estimated = ["--estimated", place / "estimates.jsonl", "--host-ms", 0]
    return ["--measured", place / "hall", "--measured", place / "slow", *estimated]


def test_a_plan_is_shown_and_written(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*everything(place), "--prices", place / "prices.yml", "--out", tmp_path]
    assert run(place, *words) == 0
    told = capsys.readouterr().out
    assert "A strip 1.2 m wide at 3 m/s, with defects from 2 mm, needs 1 line scan camera" in told
    ranked = [line for line in told.splitlines() if re.match(r"^\d +\S", line)]
    assert ["~480 EUR" in line for line in ranked] == [True, False, False]
    # the estimates are marked, the measurement is not
    assert ["~estimated" in line for line in ranked] == [True, False, True]
    assert "~" not in ranked[1]
    assert "Rejected: slow fp32, batch 1 (measured): compute: a frame takes" in told
    assert "narrower cameras it would carry" in told
    assert f"warning: {place / 'slow'}: Other programs used 58 % of the processors." in told
    plain = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert [(row["rank"], row["device"], row["kind"]) for row in plain["rows"]] == [
        (1, "jetson-orin-nano-8gb", "estimated"),
        (2, "hall", "measured"),
        (3, "t4", "estimated"),
        (None, "slow", "measured"),
    ]
    assert [bool(row["simulation"] and row["simulation"]["confirms"]) for row in plain["rows"]] == [
        True,
        True,
        True,
        False,
    ]


def test_the_page_is_whole_and_tells_estimates_from_measurements(place: Path, tmp_path: Path) -> None:
    assert run(place, *everything(place), "--out", tmp_path) == 0
    page = (tmp_path / "plan.html").read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)=["']?https?:""", page.replace("http://www.w3.org", ""))
    rows = re.findall(r"<tr( class=\"estimated\")?><td data-label=\"Rank\">\d", page)
    assert [bool(row) for row in rows] == [False, True, True]
    for part in (
        "In short",
        "What keeps up",
        "At other speeds",
        "Rejected, and why",
        "The arithmetic",
        "What was asked",
    ):
        assert f">{part}</h2>" in page
    assert "1,200.0 mm + 0 x overlap" in page
    assert "operators the estimator does not know: Mystery" in page
    assert "slow: Other programs used 58 % of the processors." in page
    # a broken line for an estimate
    assert "stroke-dasharray" in page


def test_machines_get_one_object(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "--measured", place / "hall", "--json") == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["event"] == "planned"
    assert plain["demands"][0]["optics"]["pixels"] == 2400
    assert plain["rows"][0]["call_ms"]["median"] == pytest.approx(0.9)


def test_a_recipe_is_written_and_run_again(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "plan.yml"
    assert run(place, "--measured", place / "slow", "--write", recipe) == 0
    assert f"Written: {recipe}. Run it with 'temper plan {recipe}'." in capsys.readouterr().out
    assert main(["plan", str(recipe)]) == 0
    assert "Nothing that was measured or estimated keeps up with 3 m/s" in capsys.readouterr().out
    assert main(["plan", str(recipe), "--measured", str(place / "hall")]) == 0
    assert "1 x " in capsys.readouterr().out


def test_a_folder_of_hosts_is_all_of_them(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("hall", "slow"):
        (tmp_path / "hosts" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "hosts" / name).symlink_to(place / name)
    assert run(place, "--measured", tmp_path / "hosts", "--json") == 0
    assert {row["device"] for row in json.loads(capsys.readouterr().out)["rows"]} == {"hall", "slow"}


def test_nothing_keeps_up_and_the_page_says_so(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "--measured", place / "slow", "--out", tmp_path) == 0
    told = capsys.readouterr().out
    first = "Nothing that was measured or estimated keeps up with 3 m/s; what would help most: "
    assert told.startswith(f"{first}--cameras 6, each seeing less, with which 6 x slow would do, or a strip of ")
    # a plan was made, and that is its answer; a script may ask to be told
    assert run(place, "--measured", place / "slow", "--fail-if-none") == 1
    assert run(place, "--measured", place / "hall", "--fail-if-none") == 0
    assert "Nothing that was measured or estimated keeps up; below is why." in (tmp_path / "plan.html").read_text(
        "utf-8"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], r"There is nothing to plan with: give --measured DIR"),
        (["--line-speed", "0m/s"], r"--line-speed: line_speed is '0m/s'; it has to be above 0"),
        (["--line-speed", "-3 m/s"], r"--line-speed: line_speed is '-3 m/s'; it has to be above 0"),
        (["--defect", "2"], r"--defect: defect is '2'; it has no unit"),
        (["--max-power", "60m"], r"--max-power: max_power is '60m'; 'm' is no unit of a power"),
        (["--measured", "HALL", "--resolution", "3mm"], r"A defect of 2 mm is smaller than a pixel of 3 mm"),
        (["--measured", "nowhere"], r"There are no measurements at nowhere/measurements\.jsonl"),
        (
            ["--measured", "HALL", "--prices", "PRICES"],
            r"prices\.yml, line 4: there is no device 'jetson-orin-nano-8g'. Did you mean",
        ),
        (["--measured", "HALL", "--precision", "int8"], r"has no variant 'int8'; it has fp32"),
        (["--bundle", "nowhere.temper", "--measured", "HALL"], r"nowhere\.temper"),
        (
            ["--bundle", "OTHER", "--measured", "HALL"],
            r"was measured with small \(manifest .*not with other \(manifest",
        ),
        (["--bundle", "OTHER", "--estimated", "ESTIMATES"], r"was estimated of small .*not of other"),
        (["--measured", "hall="], r"--measured hall=: write the folder, or folder and device, as in hall=DEVICE@MODE"),
        (["--link", "GigaE"], r"there is no 'GigaE'. Did you mean 'GigE'"),
    ],
)
def test_bad_input_is_one_sentence(
    place: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {
        "HALL": place / "hall",
        "PRICES": place / "typing" / "prices.yml",
        "OTHER": place / "other.temper",
        "ESTIMATES": place / "estimates.jsonl",
    }
    assert run(place, *(known.get(word, word) for word in words)) in (1, 2)
    told = capsys.readouterr().err
    assert re.search(message, told)
    assert told.count("\n") == 1


def test_a_link_that_is_too_slow_is_told_with_what_would_do(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "--measured", place / "hall", "--cameras", 1, "--link", "GigE", "--line-speed", "30m/s") == 0
    told = capsys.readouterr().out
    assert "camera link: each camera sends 144 MB/s, more than GigE carries (115 MB/s); of " in told


def test_machines_in_folders_of_one_name_are_told_apart(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for hall, source in (("north", "hall"), ("south", "slow")):
        (tmp_path / hall / "pc").mkdir(parents=True)
        (tmp_path / hall / "pc" / "measurements.jsonl").symlink_to(place / source / "measurements.jsonl")
    prices = tmp_path / "prices.yml"
    prices.write_text("currency: EUR\nprices: {north/pc: 900, south/pc: 400}\nwatts: {north/pc: 95}\n")
    folders = ("--measured", tmp_path / "north" / "pc", "--measured", tmp_path / "south" / "pc", "--prices", prices)
    assert run(place, *folders, "--out", tmp_path / "plan") == 0
    told = capsys.readouterr().out
    assert re.search(r"^1 +north/pc ", told, re.M) and "Rejected: south/pc fp32" in told
    assert "95 W, 900 EUR" in told
    # told to be one device, it is still said which
    (tmp_path / "prices.yml").unlink()
    as_one = [f"{tmp_path / hall / 'pc'}=jetson-orin-nano-8gb" for hall in ("north", "south")]
    assert run(place, "--measured", as_one[0], "--measured", as_one[1], "--json") == 0
    plain = json.loads(capsys.readouterr().out)
    assert [(row["device"], row["where"]) for row in plain["rows"]] == [
        ("jetson-orin-nano-8gb", "north/pc"),
        ("jetson-orin-nano-8gb", "south/pc"),
    ]
    assert len(plain["what_if"]) == 2 and plain["keeps_up"] and plain["sentences"][0].startswith("A strip 1.2 m")


def test_costs_have_a_currency_wherever_they_are(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, *everything(place), "--prices", place / "prices.yml", "--out", tmp_path) == 0
    page = (tmp_path / "plan.html").read_text(encoding="utf-8")
    plain = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert plain["currency"] == "EUR"
    steps = {step["name"]: step for step in plain["rows"][0]["steps"]}
    assert steps["Cost"] == {"name": "Cost", "sum": "~1 x 480 EUR", "result": "~480 EUR"}
    assert steps["Watts"]["sum"] == "~1 x 15 W, of the module alone"
    for text in re.findall(r"~?\b(?:480|900)\b[^<\n]*", page):
        assert "EUR" in text or ":" in text or "480" not in text
    without = tmp_path / "prices.yml"
    without.write_text("prices:\n  hall: 900\n", encoding="utf-8")
    capsys.readouterr()
    assert run(place, "--measured", place / "hall", "--prices", without) == 0
    assert "prices.yml names no currency for its prices; add a line such as 'currency: EUR'." in capsys.readouterr().out


def test_a_power_that_nobody_knows_is_not_taken_for_none(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--measured", place / "hall", "--estimated", place / "estimates.jsonl", "--host-ms", 0]
    assert run(place, *words, "--max-power", "100W") == 0
    told = capsys.readouterr().out
    assert re.search(r"^1 +jetson-orin-nano-8gb .*~15 W +module alone", told, re.M)
    assert "Rejected: hall fp32, batch 1 (measured): power: not known, as nobody said what it takes" in told
    assert "Rejected: t4 fp32, batch 1 (~estimated): power: not known, as ~70 W are of the board alone" in told
    given = tmp_path / "watts.yml"
    given.write_text("watts:\n  hall: 95 W\n  t4: 0.17 kW\n  jetson-orin-nano-8gb@15W: 19\n", encoding="utf-8")
    assert run(place, *words, "--max-power", "100W", "--prices", given) == 0
    told = capsys.readouterr().out
    assert re.search(r"^\d +hall .* 95 W ", told, re.M) and re.search(r"^\d +jetson-orin-nano-8gb .*~19 W ", told, re.M)
    assert "alone" not in told and "power: ~1 of them take ~170 W, and 100 W are allowed" in told


def test_a_bundle_is_no_plan(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(place / "small.temper")]) == 2
    assert "small.temper is a bundle" in capsys.readouterr().err


def test_a_missing_library_is_told_with_its_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pint", None)
    units._registry.cache_clear()
    assert main(["plan", "--bundle", "x", *LINE]) == 1
    told = capsys.readouterr().err
    assert "pip install '.[plan]'" in told
    assert told.count("\n") == 1
