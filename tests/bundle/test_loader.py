from __future__ import annotations

import json
import os
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_bundle import make_plain_bundle
from temper.bundle import loader
from temper.bundle.archive import MAX_ENTRIES
from temper.bundle.loader import Bundle, open_bundle
from temper.bundle.manifest import Manifest, with_checksum
from temper.core.errors import TemperError, UsageError
from temper.core.files import sha256_file


@pytest.fixture
def bundle_path(tmp_path: Path) -> Path:
    return make_plain_bundle(tmp_path / "steel.temper")


def zipped(folder: Path, target: Path, *, top: str = "") -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{top}{file.relative_to(folder)}")
    return target


def temporary_bundles(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("temper-bundle.*") if path.is_dir())


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders go, so that a test can see that none is left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_a_folder_is_opened_where_it_lies(bundle_path: Path) -> None:
    with open_bundle(bundle_path) as bundle:
        assert bundle.folder == bundle.path == bundle_path
        assert bundle.manifest.name == "steel"
        path = bundle.graph_path(bundle.variant("int8"))
        assert path.read_bytes() == b"int8 graph"
    assert bundle_path.is_dir()


def test_a_variant_by_name_or_precision(bundle_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    assert bundle.variant("fp32").name == "fp32"
    assert bundle.variant("fp16").name == "fp16-any", "one for any target comes before others"
    of_tensorrt = bundle.manifest.variants[-1].model_copy(update={"name": "int8-trt", "target": "tensorrt"})
    of_processors = bundle.variant("int8").model_copy(update={"target": "cpu"})
    others = [variant for variant in bundle.manifest.variants if variant.name != "int8"]
    variants = [*others, of_processors, of_tensorrt.model_copy(update={"precision": "int8"})]
    both = Bundle(bundle.path, bundle.folder, bundle.manifest.model_copy(update={"variants": variants}))
    assert both.variant("int8").name == "int8"
    assert both.variant("int8", ("any", "cpu")).name == "int8"
    assert both.variant("int8", ("any", "tensorrt")).name == "int8-trt", "a runtime gets the int8 that it takes"
    assert bundle.variant("int8", ("any", "tensorrt")).name == "int8", "told apart by who asks, if there is no other"
    with pytest.raises(UsageError, match=r"no variant 'int4'; it has fp32, int8, fp16-tensorrt, fp16-any"):
        bundle.variant("int4")


def test_a_variant_of_another_bundle(bundle_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    stranger = bundle.variant("fp32").model_copy(update={"file": "other.onnx"})
    with pytest.raises(ValueError, match="not of the bundle"):
        bundle.graph_path(stranger)


def test_a_file_exchanged_after_the_opening_is_not_handed_out(bundle_path: Path, tmp_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    variant = bundle.variant("fp32")
    assert bundle.read(variant) == b"fp32 graph"
    (bundle_path / variant.file).write_bytes(b"fp32 GRAPH")
    for use in (bundle.read, bundle.graph):
        with pytest.raises(TemperError, match=r"graphs/fp32.onnx .* is not the file its manifest describes"):
            use(variant)
    (bundle_path / variant.file).write_bytes(b"fp32 graph and more")
    with pytest.raises(TemperError, match=r"graphs/fp32.onnx .* is not the file its manifest describes"):
        bundle.read(variant)
    (bundle_path / variant.file).unlink()
    (bundle_path / variant.file).symlink_to(bundle_path / "graphs/int8.onnx")
    with pytest.raises(TemperError, match="through a link"):
        bundle.read(variant)
    with pytest.raises(ValueError, match="not of the bundle"):
        bundle.graph(variant.model_copy(update={"file": "other.onnx"}))


def test_the_manifests_hash_is_of_the_bytes_that_were_checked(bundle_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    digest = sha256_file(bundle_path / "manifest.json")
    assert bundle.manifest_sha256 == digest
    (bundle_path / "manifest.json").write_text("{}")
    assert bundle.manifest_sha256 == digest
    assert Bundle(bundle_path, bundle_path, bundle.manifest).manifest_sha256 == digest, "as it is written"


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TemperError, match=r"There is no bundle .*nothing.temper"):
        open_bundle(tmp_path / "nothing.temper")
    with pytest.raises(TemperError, match=r"not a Temper bundle: it has no manifest.json"):
        open_bundle(tmp_path)


@pytest.mark.parametrize("content", [b"int8 grapX", b"int8", b""])
def test_a_changed_graph_is_refused(bundle_path: Path, content: bytes) -> None:
    (bundle_path / "graphs/int8.onnx").write_bytes(content)
    with pytest.raises(TemperError, match=r"graphs/int8.onnx .* damaged or changed"):
        open_bundle(bundle_path)


def test_a_missing_graph_is_named(bundle_path: Path) -> None:
    (bundle_path / "graphs/fp32.onnx").unlink()
    with pytest.raises(TemperError, match=r"has no file graphs/fp32.onnx"):
        open_bundle(bundle_path)


@pytest.mark.parametrize("what", ["manifest.json", "graphs", "graphs/fp32.onnx"])
def test_links_are_refused(bundle_path: Path, tmp_path: Path, what: str) -> None:
    moved = tmp_path / "moved"
    shutil.move(bundle_path / what, moved)
    (bundle_path / what).symlink_to(moved)
    with pytest.raises(TemperError, match="through a link"):
        open_bundle(bundle_path)


def test_a_graph_that_is_no_plain_file(bundle_path: Path) -> None:
    (bundle_path / "graphs/fp32.onnx").unlink()
    os.mkfifo(bundle_path / "graphs/fp32.onnx")
    with pytest.raises(TemperError, match="not a plain file"):
        open_bundle(bundle_path)


def test_too_much_in_all(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "MAX_TOTAL_BYTES", 20)
    with pytest.raises(TemperError, match="at most 20 are read"):
        open_bundle(bundle_path)


def test_other_files_do_no_harm(bundle_path: Path) -> None:
    (bundle_path / "notes.txt").write_text("beside the point")
    open_bundle(bundle_path)


@pytest.mark.parametrize("top", ["", "steel.temper/"])
def test_a_zip_is_unpacked_and_goes_again(bundle_path: Path, tmp_path: Path, temporary: Path, top: str) -> None:
    archive = zipped(bundle_path, tmp_path / "steel.zip", top=top)
    with open_bundle(archive) as bundle:
        assert bundle.path == archive
        assert stat.S_IMODE(bundle.folder.stat().st_mode) == 0o700
        assert bundle.graph_path(bundle.variant("fp32")).read_bytes() == b"fp32 graph"
        assert temporary_bundles(temporary) == [bundle.folder]
    assert not temporary_bundles(temporary)


def test_a_zip_forgotten_open_goes_with_the_bundle(bundle_path: Path, tmp_path: Path, temporary: Path) -> None:
    bundle = open_bundle(zipped(bundle_path, tmp_path / "steel.zip"))
    assert temporary_bundles(temporary)
    del bundle
    assert not temporary_bundles(temporary)


def test_only_what_the_manifest_names_is_unpacked(bundle_path: Path, tmp_path: Path) -> None:
    (bundle_path / "extra.bin").write_bytes(b"x" * 1000)
    with open_bundle(zipped(bundle_path, tmp_path / "steel.zip")) as bundle:
        assert not (bundle.folder / "extra.bin").exists()


def _add(archive: Path, name: str, content: bytes = b"x", *, mode: int = 0) -> None:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(info, content)


@pytest.mark.parametrize("name", ["../evil", "graphs/../../evil", "/etc/evil", "a\\b", "c:evil"])
def test_a_zip_entry_that_climbs(bundle_path: Path, tmp_path: Path, temporary: Path, name: str) -> None:
    archive = zipped(bundle_path, tmp_path / "steel.zip")
    _add(archive, name)
    with pytest.raises(TemperError, match="would leave its folder"):
        open_bundle(archive)
    assert not temporary_bundles(temporary)
    assert not (temporary / "evil").exists()


def test_a_zip_entry_that_is_a_link(bundle_path: Path, tmp_path: Path) -> None:
    archive = zipped(bundle_path, tmp_path / "steel.zip")
    _add(archive, "graphs/link.onnx", b"/etc/passwd", mode=stat.S_IFLNK | 0o777)
    with pytest.raises(TemperError, match="a link or a device"):
        open_bundle(archive)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_entry_that_stands_twice(bundle_path: Path, tmp_path: Path) -> None:
    archive = zipped(bundle_path, tmp_path / "steel.zip")
    _add(archive, "graphs/fp32.onnx", b"other")
    with pytest.raises(TemperError, match="stands twice"):
        open_bundle(archive)


def test_a_zip_bomb_stops_at_the_manifests_figure(bundle_path: Path, tmp_path: Path, temporary: Path) -> None:
    (bundle_path / "graphs/fp32.onnx").write_bytes(b"\0" * (64 << 20))
    archive = zipped(bundle_path, tmp_path / "steel.zip")
    with pytest.raises(TemperError, match="another length"):
        open_bundle(archive)
    assert not temporary_bundles(temporary)


def test_a_zip_entry_without_a_name(bundle_path: Path, tmp_path: Path) -> None:
    archive = zipped(bundle_path, tmp_path / "steel.zip")
    _add(archive, "q", b"x")
    archive.write_bytes(archive.read_bytes().replace(b"q", b"\0"))
    with pytest.raises(TemperError, match="an entry of it has no name"):
        open_bundle(archive)


def test_a_zip_with_too_many_entries(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for index in range(MAX_ENTRIES + 1):
            archive.writestr(f"{index}", b"")
    with pytest.raises(TemperError, match="entries, more than"):
        open_bundle(tmp_path / "many.zip")


def test_a_zip_with_a_method_of_its_own(bundle_path: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "steel.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.write(bundle_path / "manifest.json", "manifest.json")
    with pytest.raises(TemperError, match="plain zip"):
        open_bundle(tmp_path / "steel.zip")


def test_files_that_are_no_zip(tmp_path: Path) -> None:
    for content in (b"", b"PK", b"not a zip at all" * 100):
        (tmp_path / "x.zip").write_bytes(content)
        with pytest.raises(TemperError, match="neither a folder nor a whole zip"):
            open_bundle(tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(TemperError, match=r"it has no manifest.json"):
        open_bundle(tmp_path / "y.zip")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_zip_never_crashes(tmp_path: Path, data: st.DataObject) -> None:
    archive = tmp_path / "steel.zip"
    if not archive.exists():
        zipped(make_plain_bundle(tmp_path / "steel.temper"), archive)
    content = bytearray(archive.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    sentence = ""
    try:
        with open_bundle(damaged) as bundle:
            # what opens is whole
            for variant in bundle.manifest.variants:
                assert sha256_file(bundle.graph_path(variant)) == variant.sha256
    except TemperError as error:
        sentence = str(error)
    assert "\n" not in sentence


def test_the_manifest_is_the_models_own(bundle_path: Path) -> None:
    on_disk = json.loads((bundle_path / "manifest.json").read_text())
    assert Manifest.model_validate({**on_disk, "checksum": None}) == open_bundle(bundle_path).manifest
    assert with_checksum(on_disk) == on_disk


@pytest.mark.parametrize("field", ["thresholds", "nms_iou", "checksum"])
def test_a_manifest_that_somebody_edited_is_refused(bundle_path: Path, field: str) -> None:
    path = bundle_path / "manifest.json"
    values = json.loads(path.read_text())
    changes = {"thresholds": dict.fromkeys(values["labels"], 1.0), "nms_iou": 0.9, "checksum": "0" * 64}
    path.write_text(json.dumps({**values, field: changes[field]}))
    with pytest.raises(TemperError, match="is not as it was written: it was damaged or changed"):
        open_bundle(bundle_path)


def test_a_manifest_of_an_older_version_says_so(bundle_path: Path) -> None:
    path = bundle_path / "manifest.json"
    values = json.loads(path.read_text())
    del values["checksum"]
    path.write_text(json.dumps(values))
    with pytest.raises(TemperError, match="has no checksum, as those of older versions. Export it again"):
        open_bundle(bundle_path)
