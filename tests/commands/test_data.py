"""``temper data`` as it is typed: what it prints, what it writes, and the exit code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from foreign_data import voc_xml, write_official, write_text
from temper.cli import main
from temper.commands.data import data
from temper.core.errors import TemperError, UsageError
from temper.detection.dataset import load_split
from temper.detection.images import read_image


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Pascal VOC with 14 training and 6 validation pictures."""
    return write_official(tmp_path / "source", 14, 6)


@pytest.fixture
def folder(source: Path, tmp_path: Path) -> Path:
    """The same as a data set folder."""
    assert invoke("import", source, tmp_path / "data").exit_code == 0
    return tmp_path / "data"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(data, list(map(str, arguments)))


def test_import_says_what_it_did_and_what_comes_next(source: Path, tmp_path: Path) -> None:
    write_text(source / "ANNOTATIONS/patches_1.xml", voc_xml([("patches", 1, 1, 20, 30)] * 3))
    result = invoke("import", source, tmp_path / "my data")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Imported 14 train and 6 val pictures with 27 boxes of 2 classes from Pascal VOC." in result.stdout
    assert "2 boxes were exact duplicates of another and dropped." in result.stdout
    assert f"{tmp_path}/my data is ready." in result.stdout
    assert f"temper data check '{tmp_path}/my data'" in result.stdout  # to be copied as it stands


def test_import_as_json(source: Path, tmp_path: Path) -> None:
    (source / "val.txt").unlink()
    (source / "train.txt").unlink()
    result = invoke("import", source, tmp_path / "data", "--ratio", "3:1", "--seed", 5, "--json")
    summary = json.loads(result.stdout)
    assert summary["pictures"] == {"train": 15, "val": 5}
    assert (summary["format"], summary["split_made"], summary["labels"]) == ("voc", True, ["patches", "scratches"])
    assert sum(summary["boxes"].values()) == 27
    assert len(load_split(tmp_path / "data", "val")) == 5


def test_import_replaces_by_force_alone(source: Path, folder: Path) -> None:
    result = invoke("import", source, folder)
    assert isinstance(result.exception, TemperError)
    assert "holds a data set already. Choose another folder, or replace it with --force." in str(result.exception)
    assert invoke("import", source, folder, "--force").exit_code == 0


def test_split_shows_classes_and_pictures_of_each_split(folder: Path, tmp_path: Path) -> None:
    result = invoke("split", folder, "--ratio", "2:1:1", "--seed", 3, "--out", tmp_path / "out")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["pictures", "10", "5", "5"] in lines
    assert sum(map(int, next(line for line in lines if line[:1] == ["patches"])[1:])) == 14
    assert f"{tmp_path}/out is split 2:1:1 with seed 3." in result.stdout
    again = json.loads(invoke("split", folder, "--ratio", "2:1:1", "--seed", 3, "--json").stdout)
    assert again["pictures"] == {"train": 10, "val": 5, "test": 5}
    assert again["folder"] == str(folder)
    for split in ("train", "val", "test"):
        first, second = (load_split(place, split) for place in (folder, tmp_path / "out"))
        assert first.content_hash() == second.content_hash()
        assert sum(again["boxes"][split].values()) == sum(len(sample.labels) for sample in first.samples)


def test_a_check_without_errors_leaves_with_0_and_a_strict_one_with_1(folder: Path) -> None:
    result = invoke("check", folder)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "2 warnings" in result.stdout  # so few boxes of each class
    assert "error" not in result.stdout
    assert invoke("check", folder, "--strict").exit_code == 1


def test_a_check_with_errors_lists_them_and_leaves_with_1(source: Path, tmp_path: Path) -> None:
    for number in range(1, 14, 2):
        write_text(source / f"ANNOTATIONS/patches_{number}.xml", voc_xml([("patches", 9, 1, 3, 3)]))
    shutil.copy(source / "IMAGES/patches_1.jpg", source / "IMAGES/scratches_14.jpg")
    result = invoke("check", source, "--contact-sheet", tmp_path / "sheet.png")
    assert (result.exit_code, result.stderr) == (1, "")
    assert "ANNOTATIONS/patches_1.xml" in result.stdout and "ANNOTATIONS/patches_13.xml" in result.stdout
    assert "ANNOTATIONS/patches_9.xml" not in result.stdout
    assert "2 more; --all lists them" in result.stdout
    assert "8 errors, " in result.stdout
    assert "'temper data split' keeps pictures that are the same or nearly so in one split." in result.stdout
    assert f"The contact sheet is {tmp_path}/sheet.png." in result.stdout
    assert read_image(tmp_path / "sheet.png", "rgb").shape[2] == 3
    assert "ANNOTATIONS/patches_9.xml" in invoke("check", source, "--all").stdout


def test_a_check_as_json_is_one_object_with_every_finding(source: Path, tmp_path: Path) -> None:
    for number in range(1, 14, 2):
        write_text(source / f"ANNOTATIONS/patches_{number}.xml", voc_xml([("patches", 9, 1, 3, 3)]))
    result = invoke("check", source, "--json", "--contact-sheet", tmp_path / "sheet.png")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["errors"], report["format"]) == (1, 7, "voc")
    broken = [finding for finding in report["findings"] if finding["kind"] == "empty-box"]
    assert len(broken) == 7
    assert broken[0]["file"] == "ANNOTATIONS/patches_1.xml"
    assert broken[0]["box"] == [8, 0, 3, 3]
    assert report["splits"]["train"]["pictures"] == 14
    assert (tmp_path / "sheet.png").is_file()


def test_synthesise_makes_a_data_set_that_passes_the_check(tmp_path: Path) -> None:
    result = invoke("synthesise", tmp_path / "steel", "--train", 6, "--val", 2, "--size", "96x80", "--seed", 3)
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path}/steel holds 6 pictures to train on and 2 to judge on.\n"
    assert load_split(tmp_path / "steel", "train").samples[0].size == (96, 80)
    assert json.loads(invoke("check", tmp_path / "steel", "--json").stdout)["errors"] == 0
    again = invoke("synthesise", tmp_path / "steel", "--train", 6, "--val", 2, "--force", "--json")
    assert json.loads(again.stdout)["pictures"] == {"train": 6, "val": 2}


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("200", "is not of the form WIDTHxHEIGHT"),
        ("200x-1", "is not of the form WIDTHxHEIGHT"),
        ("10x10", "too small for defects; ask for at least 64 x 64"),
        ("99999x100", "too large; ask for at most 8192 x 8192"),
    ],
)
def test_synthesise_refuses_sizes_without_sense(tmp_path: Path, size: str, message: str) -> None:
    result = invoke("synthesise", tmp_path / "steel", "--train", 1, "--val", 1, "--size", size)
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("import {tmp}/nowhere {tmp}/data", 2, "There is no data at"),
        ("import {tmp}/empty {tmp}/data", 2, "holds no data set that can be read"),
        ("import {tmp}/source {tmp}/source/data", 2, "overlap"),
        ("import {tmp}/source {tmp}/source", 2, "is the source itself"),
        ("import {tmp}/source {tmp}/source/train.txt/data", 2, "overlap"),
        ("import {tmp}/source {tmp}/taken", 2, "holds something else than a data set (thesis.txt)"),
        ("import {tmp}/source {tmp}/taken/thesis.txt", 2, "is a file. Choose a folder"),
        ("import {tmp}/source {tmp}/taken/thesis.txt/data", 1, "a file stands where one of its folders would"),
        ("import {tmp}/source {tmp}/data --ratio 7-2-1", 2, "is not of the form train:val:test"),
        ("import {tmp}/source {tmp}/data --seed -1", 2, "is not in the range x>=0"),
        ("import {tmp}/source", 2, "Missing argument 'TARGET'"),
        ("check {tmp}/nowhere", 2, "There is no data at"),
        ("check {tmp}/empty", 2, "holds no data set that can be read"),
        ("check {tmp}/source --contact-sheet {tmp}/a.jpg", 2, "Give it a name that ends in .png"),
        ("check {tmp}/source --contact-sheet {tmp}/taken/thesis.txt/a.png", 1, "a file stands where"),
        ("split {tmp}/source", 1, "is no data set folder of Temper. Make one with 'temper data import'"),
        ("split {tmp}/nowhere", 2, "There is no data set folder"),
        ("synthesise {tmp}/taken", 2, "holds something else than a data set"),
        ("synthesise {tmp}/data --train 0", 2, "is not in the range x>=1"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_nothing_is_written(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str, code: int, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    write_text(tmp_path / "taken/thesis.txt", "years of work")
    before = sorted(tmp_path.rglob("*"))
    assert main(["data", *(word.format(tmp=tmp_path) for word in arguments.split())]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ") and err.count("\n") == 1
    assert message in err and "bug" not in err
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "taken/thesis.txt").read_text() == "years of work"


def test_a_broken_annotation_is_one_sentence_that_leads_to_the_check(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_text(source / "ANNOTATIONS/patches_1.xml", "<annotation>")
    assert main(["data", "import", str(source), str(tmp_path / "data")]) == 1
    err = capsys.readouterr().err
    assert f"{source}/ANNOTATIONS/patches_1.xml: The XML cannot be read: no element found" in err
    assert "'temper data check' lists every such place." in err


@pytest.mark.parametrize("command", ["import", "split", "check", "synthesise"])
def test_help_says_what_each_takes(command: str) -> None:
    text = invoke(command, "--help").stdout
    assert "--json" in text
    if command == "check":
        for line in ("0  no errors (with --strict, no warnings either)", "1  errors were found", "2  wrong use"):
            assert line in text
