"""A check finds what hurts, says where, and never stops at the first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from foreign_data import coco, drawing, voc_xml, write_coco, write_drawing, write_official, write_text
from temper.core.errors import TemperError, UsageError
from temper.distill.data.check import CheckReport, check_source
from temper.distill.data.finding import SEVERITIES
from temper.distill.data.importer import import_data


def kinds(report: CheckReport) -> set[str]:
    """But for those that a data set of nine pictures always has."""
    return {finding.kind for finding in report.findings} - {"class-imbalance", "size-imbalance"}


def rewrite(*objects: tuple[str, object, object, object, object]) -> Callable[[Path], None]:
    return lambda source: write_text(source / "ANNOTATIONS/patches_1.xml", voc_xml(list(objects)))


def truncate(source: Path) -> None:
    path = source / "IMAGES/patches_1.jpg"
    path.write_bytes(path.read_bytes()[:300])


def mislabel(source: Path) -> None:
    path = source / "IMAGES/patches_1.jpg"
    path.write_bytes(bytes(cv2.imencode(".png", drawing(1))[1]))


def blur_into_val(source: Path) -> None:
    cv2.imwrite(str(source / "IMAGES/patches_7.jpg"), cv2.GaussianBlur(drawing(1), (3, 3), 0))


@pytest.mark.parametrize(
    ("spoil", "kind", "severity", "file", "message"),
    [
        (rewrite(("patches", 1, 1, 70, 30)), "box-outside", "warning", "IMAGES/patches_1.jpg", "reaches over its edge"),
        (rewrite(("patches", 70, 1, 80, 30)), "box-outside", "error", "IMAGES/patches_1.jpg", "lies outside"),
        (rewrite(("patches", 30, 1, 20, 30)), "empty-box", "error", "ANNOTATIONS/patches_1.xml", "is inverted"),
        (rewrite(("patches", 1, "x", 20, 30)), "broken-box", "error", "ANNOTATIONS/patches_1.xml", "not a number"),
        (rewrite(*[("patches", 1, 1, 9, 9)] * 2), "duplicate-box", "warning", "IMAGES/patches_1.jpg", "2 times over"),
        (
            rewrite(("patches", 1, 1, 9, 9), ("scratches", 1, 1, 9, 9)),
            "two-classes",
            "warning",
            "IMAGES/patches_1.jpg",
            "patches, scratches",
        ),
        (rewrite(("", 1, 1, 9, 9)), "unknown-class", "error", "ANNOTATIONS/patches_1.xml", "has no name"),
        (rewrite(("Patch", 1, 1, 9, 9)), "similar-classes", "warning", "", "'Patch', 'patches' count as 2 classes"),
        (
            lambda source: write_text(source / "ANNOTATIONS/patches_7.xml", voc_xml([("pits", 1, 1, 9, 9)])),
            "unknown-class",
            "error",
            "",
            "'pits' has 1 box here and none in the training split",
        ),
        (
            lambda source: write_text(source / "ANNOTATIONS/patches_1.xml", voc_xml([], (61, 40))),
            "size-differs",
            "error",
            "IMAGES/patches_1.jpg",
            "says 61 x 40",
        ),
        (truncate, "unreadable-picture", "error", "IMAGES/patches_1.jpg", "is a JPEG that is cut short"),
        (mislabel, "mislabelled-picture", "warning", "IMAGES/patches_1.jpg", "It is a PNG"),
        (
            lambda source: write_text(source / "ANNOTATIONS/patches_1.xml", "<annotation>"),
            "broken-annotation",
            "error",
            "ANNOTATIONS/patches_1.xml",
            "The XML cannot be read",
        ),
        (
            lambda source: (source / "IMAGES/patches_1.jpg").unlink(),
            "missing-picture",
            "error",
            "ANNOTATIONS/patches_1.xml",
            "No picture has the name",
        ),
        (
            lambda source: shutil.copy(source / "IMAGES/patches_1.jpg", source / "IMAGES/patches_7.jpg"),
            "same-picture",
            "error",
            "IMAGES/patches_7.jpg",
            "also in 'train' as IMAGES/patches_1.jpg, so what is judged was trained on",
        ),
        (
            lambda source: shutil.copy(source / "IMAGES/patches_1.jpg", source / "IMAGES/patches_3.jpg"),
            "same-picture",
            "warning",
            "IMAGES/patches_3.jpg",
            "also there as IMAGES/patches_1.jpg.",
        ),
        (
            blur_into_val,
            "near-picture",
            "warning",
            "IMAGES/patches_7.jpg",
            "the same as IMAGES/patches_1.jpg in",
        ),
    ],
)
def test_what_is_wrong_is_found(
    tmp_path: Path, spoil: Callable[[Path], object], kind: str, severity: str, file: str, message: str
) -> None:
    source = write_official(tmp_path)
    assert kinds(check_source(source)) == set()
    spoil(source)
    report = check_source(source)
    found = [(finding.severity, finding.file) for finding in report.findings if finding.kind == kind]
    assert found[0] == (severity, file)
    assert message in next(finding.message for finding in report.findings if finding.kind == kind)
    assert (report.errors > 0) == (severity == "error")


def test_everything_is_found_at_once_the_worst_first(tmp_path: Path) -> None:
    source = write_official(tmp_path)
    rewrite(("patches", 1, 1, 70, 30), ("patches", 30, 1, 20, 30), ("patches", 1, "x", 20, 30))(source)
    write_text(source / "ANNOTATIONS/patches_3.xml", "no xml")
    (source / "IMAGES/patches_5.jpg").write_bytes(b"")
    report = check_source(source)
    assert kinds(report) == {
        "box-outside",
        "empty-box",
        "broken-box",
        "broken-annotation",
        "missing-picture",  # train.txt names what has no annotation now
        "unreadable-picture",
    }
    order = [SEVERITIES.index(finding.severity) for finding in report.findings]
    assert order == sorted(order)
    values = report.to_dict()
    assert json.loads(json.dumps(values)) == json.loads(json.dumps(values, allow_nan=False))
    assert (values["errors"], values["warnings"]) == (report.errors, report.warnings)


def test_broken_coco_is_all_listed(tmp_path: Path) -> None:
    source = write_coco(tmp_path)
    path = source / "annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"] = [1, 2, float("nan"), 4]
    content["annotations"][1]["bbox"] = [1, 2, -3, 4]
    content["annotations"][2]["category_id"] = 99
    content["annotations"][3]["image_id"] = 99
    content["images"][4]["file_name"] = "ghost.png"
    content["images"].append(dict(content["images"][5], id=1))
    path.write_text(json.dumps(content))
    report = check_source(source)
    assert kinds(report) - {"no-boxes"} == {
        "broken-box",
        "empty-box",
        "unknown-class",
        "broken-annotation",
        "missing-picture",
    }
    # the annotation of no image, and the image that is there twice
    assert sum(finding.kind == "broken-annotation" for finding in report.findings) == 2
    files = {finding.file for finding in report.findings if finding.severity == "error" and finding.file}
    assert files == {"annotations/instances_train2017.json"}


def test_a_data_set_of_temper_is_checked_like_any_other(tmp_path: Path) -> None:
    import_data(write_official(tmp_path / "source"), tmp_path / "data")
    report = check_source(tmp_path / "data")
    assert (report.format, report.labels, kinds(report)) == ("temper", ("patches", "scratches"), set())
    assert {name: figures.pictures for name, figures in report.splits.items()} == {"train": 6, "val": 3}
    (tmp_path / "data/images/patches_1.jpg").unlink()
    assert "missing-picture" in kinds(check_source(tmp_path / "data"))


def test_an_archive_is_checked_and_nothing_is_left_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = shutil.make_archive(str(tmp_path / "a"), "gztar", write_official(tmp_path / "source"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert kinds(check_source(Path(archive))) == set()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_without_splits_likeness_is_a_remark(tmp_path: Path) -> None:
    source = write_official(tmp_path, lists=False)
    blur_into_val(source)
    near = [finding for finding in check_source(source).findings if finding.kind == "near-picture"]
    assert [(finding.severity, finding.file, finding.other) for finding in near] == [
        ("info", "IMAGES/patches_7.jpg", "IMAGES/patches_1.jpg")
    ]


def test_of_a_film_each_picture_is_found_once(tmp_path: Path) -> None:
    for number in range(12):
        split = "train" if number < 8 else "val"
        image = drawing(1).astype(int) + number // 2 * 2
        path = tmp_path / split / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), image.clip(0, 255).astype("uint8"))
        write_text(path.with_suffix(".xml"), voc_xml([("a", 1, 1, 9, 9)]))
    findings = [finding for finding in check_source(tmp_path).findings if finding.kind == "near-picture"]
    assert sorted(finding.file for finding in findings) == ["val/08.png", "val/10.png"]


def test_an_empty_data_set_is_an_error(tmp_path: Path) -> None:
    write_text(tmp_path / "all.json", json.dumps(coco([])))
    report = check_source(tmp_path)
    assert [finding.message for finding in report.findings] == ["There is no picture with an annotation."]
    assert report.errors == 1
    write_drawing(tmp_path / "a.png", 0)
    write_text(tmp_path / "all.json", json.dumps({**coco(["a.png"]), "annotations": []}))
    errors = [finding.message for finding in check_source(tmp_path).findings if finding.severity == "error"]
    assert errors == ["No picture has a box, so there is nothing to learn."]


def test_a_sheet_that_cannot_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"sheet\.jpg is written as PNG"):
        check_source(tmp_path / "nowhere", tmp_path / "sheet.jpg")
    (tmp_path / "sheet.png").mkdir()
    with pytest.raises(UsageError, match=r"sheet\.png is a folder"):
        check_source(tmp_path / "nowhere", tmp_path / "sheet.png")
    with pytest.raises(TemperError, match="There is no data at"):
        check_source(tmp_path / "nowhere")
