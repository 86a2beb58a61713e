"""The real NEU-DET, in its official layout, a mirror's, and as a COCO archive."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from foreign_data import picture_names
from temper.core.files import write_json
from temper.detection.dataset import load_split, to_coco
from temper.distill.data.check import check_source
from temper.distill.data.folder import split_folder
from temper.distill.data.importer import import_data

CLASSES = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")


@pytest.fixture(scope="module")
def imported(neu_det: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NEU-DET as a data set folder."""
    target = tmp_path_factory.mktemp("neu-det") / "data"
    import_data(neu_det, target)
    return target


def test_the_official_layout(neu_det: Path, tmp_path: Path) -> None:
    summary = import_data(neu_det, tmp_path / "data")
    assert summary.pictures == {"train": 1260, "val": 360}
    assert summary.labels == CLASSES
    assert (summary.duplicates_dropped, summary.boxes_cut, summary.split_made) == (3, 0, False)
    assert sum(summary.boxes.values()) + summary.duplicates_dropped == 3767
    # one strip was published twice, and lies in both splits
    assert len(summary.notes) == 1 and "1 picture is in two splits, such as IMAGES/patches_105.jpg" in summary.notes[0]
    strangers = 0
    for split in ("train", "val"):
        data = load_split(tmp_path / "data", split)
        listed = [f"{stem}.jpg" for stem in (neu_det / f"{split}.txt").read_text().split()]
        assert picture_names(data) == listed
        for sample in data.samples:
            assert sample.size == (200, 200)
            assert (sample.boxes.min(), sample.boxes.max()) >= (0, 1)
            assert sample.boxes.max() <= 200
            strangers += sum(not sample.file_name.startswith(data.labels[label]) for label in sample.labels)
    assert strangers == 168


def test_a_box_of_the_whole_picture_keeps_all_200_pixels(imported: Path) -> None:
    boxes = [sample.boxes for split in ("train", "val") for sample in load_split(imported, split).samples]
    assert min(float(of_picture.min()) for of_picture in boxes) == 0
    assert max(float(of_picture.max()) for of_picture in boxes) == 200


def test_a_mirrors_layout_gives_the_same_boxes(neu_det: Path, imported: Path, tmp_path: Path) -> None:
    for split, name in (("train", "train"), ("val", "validation")):
        (tmp_path / "mirror" / name / "annotations").mkdir(parents=True)
        for stem in (neu_det / f"{split}.txt").read_text().split():
            folder = tmp_path / "mirror" / name / "images" / stem.rpartition("_")[0]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{stem}.jpg").symlink_to(neu_det / "IMAGES" / f"{stem}.jpg")
            annotation = tmp_path / "mirror" / name / "annotations" / f"{stem}.xml"
            annotation.symlink_to(neu_det / "ANNOTATIONS" / f"{stem}.xml")
    summary = import_data(tmp_path / "mirror", tmp_path / "data")
    assert (summary.pictures, summary.labels) == ({"train": 1260, "val": 360}, CLASSES)
    for split in ("train", "val"):
        official, mirror = (load_split(folder, split).samples for folder in (imported, tmp_path / "data"))
        by_name = {sample.file_name: sample for sample in mirror}
        assert len(by_name) == len(official)
        for sample in official:
            assert by_name[sample.file_name].boxes.tolist() == sample.boxes.tolist()
            assert by_name[sample.file_name].labels.tolist() == sample.labels.tolist()


def test_a_coco_archive_gives_the_same_data_set(imported: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_json(tmp_path / "coco" / f"instance_{split}.json", to_coco(load_split(imported, split)))
    archive = tmp_path / "NEU-DET-COCO.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tarred:
        tarred.add(tmp_path / "coco", "NEU-DET-COCO/annotations")
        tarred.add(imported / "images", "NEU-DET-COCO/JPEGImages")
    summary = import_data(archive, tmp_path / "data")
    assert (summary.format, summary.duplicates_dropped, summary.boxes_cut) == ("coco", 0, 0)
    for split in ("train", "val"):
        assert load_split(tmp_path / "data", split).content_hash() == load_split(imported, split).content_hash()


def test_a_check_finds_what_is_known_of_it(neu_det: Path, imported: Path) -> None:
    report = check_source(neu_det)
    kinds = [finding.kind for finding in report.findings]
    assert (report.errors, kinds.count("duplicate-box"), kinds.count("same-picture")) == (1, 3, 1)
    assert {f.file for f in report.findings if f.kind == "near-picture"} == {
        "IMAGES/inclusion_125.jpg",
        "IMAGES/inclusion_210.jpg",
    }
    sizes = [sum(figures.sizes[name] for figures in report.splits.values()) for name in ("small", "medium", "large")]
    assert sizes == [360, 2491, 916]
    assert {finding.kind for finding in check_source(imported).findings} == {"same-picture", "near-picture"}


def test_a_new_split_is_even_and_parts_no_pair(imported: Path, tmp_path: Path) -> None:
    splits = split_folder(imported, (7, 2, 1), 0, tmp_path / "data")
    assert {name: len(part) for name, part in splits.items()} == {"train": 1134, "val": 324, "test": 162}
    names = [name for part in splits.values() for name in picture_names(part)]
    assert len(names) == len(set(names)) == 1620
    for label in range(len(CLASSES)):
        having = {name: sum(label in sample.labels for sample in part.samples) for name, part in splits.items()}
        shares = {name: count / sum(having.values()) for name, count in having.items()}
        assert shares == pytest.approx({"train": 0.7, "val": 0.2, "test": 0.1}, abs=0.015)
    assert check_source(tmp_path / "data").errors == 0
