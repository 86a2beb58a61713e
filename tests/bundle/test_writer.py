from __future__ import annotations

from pathlib import Path

import pytest
from plain_bundle import make_plain_bundle, plain_graphs, plain_manifest
from temper.bundle.loader import open_bundle
from temper.bundle.writer import require_bundle_target, write_bundle
from temper.core.errors import TemperError, UsageError
from temper.core.files import read_json


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    manifest = plain_manifest()
    write_bundle(tmp_path / "deep" / "steel.temper", manifest, plain_graphs(tmp_path / "made"))
    bundle = open_bundle(tmp_path / "deep" / "steel.temper")
    assert bundle.manifest == manifest
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["steel.temper"], "nothing else is left"


def test_equal_bundles_are_equal_files(tmp_path: Path) -> None:
    first = make_plain_bundle(tmp_path / "a" / "steel.temper")
    second = make_plain_bundle(tmp_path / "b" / "steel.temper")
    assert (first / "manifest.json").read_bytes() == (second / "manifest.json").read_bytes()


def test_an_older_bundle_is_replaced_whole(tmp_path: Path) -> None:
    target = make_plain_bundle(tmp_path / "steel.temper")
    (target / "left-over.txt").write_text("old")
    write_bundle(target, plain_manifest("newer"), plain_graphs(tmp_path / "made"))
    assert read_json(target / "manifest.json")["name"] == "newer"
    assert not (target / "left-over.txt").exists()


@pytest.mark.parametrize("name", ["steel", "steel.zip", ".temper"])
def test_a_name_that_is_no_bundles(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"ends in \.temper"):
        require_bundle_target(tmp_path / name)


def test_what_is_no_bundle_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "pictures.temper"
    folder.mkdir()
    require_bundle_target(folder)  # an empty folder may be filled
    (folder / "dear.jpg").write_bytes(b"picture")
    with pytest.raises(TemperError, match="a folder that is not a bundle"):
        write_bundle(folder, plain_manifest(), plain_graphs(tmp_path / "made"))
    assert (folder / "dear.jpg").exists()
    (tmp_path / "file.temper").write_text("")
    (tmp_path / "link.temper").symlink_to(tmp_path)
    for name in ("file.temper", "link.temper"):
        with pytest.raises(TemperError, match="not a bundle's folder"):
            require_bundle_target(tmp_path / name)


def test_a_graph_that_is_not_the_manifests(tmp_path: Path) -> None:
    graphs = plain_graphs(tmp_path / "made")
    graphs["int8"].write_bytes(b"another graph")
    target = tmp_path / "steel.temper"
    with pytest.raises(ValueError, match="variant 'int8' is not the one"):
        write_bundle(target, plain_manifest(), graphs)
    with pytest.raises(ValueError, match="for variants"):
        write_bundle(target, plain_manifest(), {"fp32": graphs["fp32"]})
    assert [p.name for p in tmp_path.iterdir()] == ["made"]
