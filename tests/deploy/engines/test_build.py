"""Builds in processes of their own, with a stand-in for TensorRT in them (tests/standins)."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from standin import ORIN, use_tensorrt
from temper.bundle.loader import Bundle, open_bundle
from temper.bundle.manifest import Variant
from temper.core.errors import MissingDependencyError, TemperError, UsageError
from temper.core.events import Event
from temper.deploy.engines import build as building
from temper.deploy.engines import trtexec
from temper.deploy.engines.build import BuilderName, choose_variants, ensure_engine, find_builder
from temper.deploy.engines.gpu import Gpu
from temper.deploy.engines.options import build_options
from temper.deploy.engines.record import engine_place, read_engine, read_record
from temper.detection.decode import DecodeSettings
from tiny_bundle import make_tiny_bundle, tiny_graph


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return open_bundle(make_tiny_bundle(tmp_path))


@pytest.fixture
def variant(bundle: Bundle) -> Variant:
    return bundle.variant("fp32")


class Heard(list[Event]):
    """Everything that was reported."""

    @property
    def reasons(self) -> list[str]:
        return [event.data["message"] for event in self if event.kind == "note"]


def test_an_engine_is_built_once_and_kept(bundle: Bundle, variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    use_tensorrt(monkeypatch, "10.16")
    heard = Heard()
    engine = ensure_engine(bundle, variant, report=heard.append)
    assert engine.built
    assert engine.place.folder == bundle.path.parent / "tiny.engines" / "orin-sm87-16mp"
    assert sorted(path.name for path in engine.place.folder.iterdir()) == [
        "fp32.engine",
        "fp32.json",
        "fp32.log",
        "timing-10.16.1.cache",
    ]
    record = engine.record
    assert record == read_record(engine.place)
    assert (record.gpu, record.compute_capability, record.tensorrt) == ("Orin", "8.7", "10.16.1.11")
    assert (record.graph_sha256, record.precision, record.built_with) == (variant.sha256, "fp32", "python")
    assert read_engine(engine.place, record).startswith(b'{"tensorrt": "10.16.1.11"')
    assert "[V] Graph optimization" in engine.place.log.read_text()
    assert heard.reasons == ["Building the engine of fp32 for Orin: there is none yet."]
    steps = [event.data["done"] for event in heard if event.kind == "step"]
    assert steps == sorted(steps) and (steps[0], steps[-1]) == (0, 100)

    again = ensure_engine(bundle, variant, report=heard.append)
    assert not again.built and again.record == record
    assert len(heard.reasons) == 1
    assert open_bundle(bundle.path).manifest == bundle.manifest, "the bundle is as it was"


def test_what_no_longer_fits_is_built_anew_and_the_reason_told(
    bundle: Bundle, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tensorrt(monkeypatch, "10.8")
    options = build_options((64, 64), workspace_mib=128)
    first = ensure_engine(bundle, variant, options)
    use_tensorrt(monkeypatch, "10.16")
    heard = Heard()
    second = ensure_engine(bundle, variant, report=heard.append)
    assert heard.reasons == [
        "Building the engine of fp32 for Orin: it was built with TensorRT 10.8.0.43 and this is 10.16.1.11."
    ]
    assert second.place == first.place and second.record.options == options, "as the last one was built"
    content = bytearray(second.place.engine.read_bytes())
    content[-1] ^= 1
    second.place.engine.write_bytes(content)
    heard.clear()
    third = ensure_engine(bundle, variant, report=heard.append)
    assert "is not the file its record describes" in heard.reasons[0]
    assert third.record.engine_sha256 == second.record.engine_sha256
    third.place.record.write_text("{}")
    heard.clear()
    assert ensure_engine(bundle, variant, report=heard.append).built
    assert "the record of the one there is missing or cannot be read" in heard.reasons[0]


def test_another_gpu_gets_an_engine_of_its_own(
    bundle: Bundle, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tensorrt(monkeypatch, "11.4")
    reach = build_options((64, 64), hardware_compatibility="ampere_plus")
    shared = ensure_engine(bundle, variant, reach)
    assert shared.place.folder.name == "ampere-plus"
    use_tensorrt(monkeypatch, "11.4", Gpu("H100", "9.0", 132, 81559))
    assert not ensure_engine(bundle, variant).built, "one that may be loaded here too is taken"
    use_tensorrt(monkeypatch, "11.4", Gpu("T4", "7.5", 40, 15102))
    other = ensure_engine(bundle, variant)
    assert other.built and other.record.gpu == "T4"


def test_the_smaller_of_two_that_go_by_one_name_gets_an_engine_of_its_own(
    bundle: Bundle, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tensorrt(monkeypatch, "10.16")
    larger = ensure_engine(bundle, variant)
    use_tensorrt(monkeypatch, "10.16", Gpu(ORIN.name, ORIN.compute_capability, 8, 7620))
    smaller = ensure_engine(bundle, variant)
    assert smaller.built and smaller.place != larger.place
    assert (smaller.record.multiprocessors, smaller.record.gpu_memory_mib) == (8, 7620)


def test_force_and_other_options_build_again(bundle: Bundle, variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    use_tensorrt(monkeypatch, "11.4")
    ensure_engine(bundle, variant)
    heard = Heard()
    assert ensure_engine(bundle, variant, force=True, report=heard.append).built
    wanted = build_options((64, 64), optimization_level=1)
    assert ensure_engine(bundle, variant, wanted, report=heard.append).record.options == wanted
    assert [reason.split(": ")[1] for reason in heard.reasons] == ["asked for.", "it was built with other options."]


def test_a_zipped_bundle_has_its_engines_beside_the_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    use_tensorrt(monkeypatch, "11.4")
    folder = make_tiny_bundle(tmp_path / "made")
    archive = Path(shutil.make_archive(str(tmp_path / "tiny.temper"), "zip", folder))
    with open_bundle(archive) as opened:
        engine = ensure_engine(opened, opened.variant("fp32"))
    assert engine.place.engine.is_relative_to(tmp_path / "tiny.engines")


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        ("build", r"could not build the engine: out of memory\. The builder's log: .*fp32\.log\.$"),
        ("crash", r"The process that builds the engine ended with code 139 and no engine\. It said: \[V\] Graph opt"),
    ],
)
def test_a_build_that_fails_leaves_its_log_and_the_engine_there_was(
    bundle: Bundle, variant: Variant, monkeypatch: pytest.MonkeyPatch, failure: str, sentence: str
) -> None:
    use_tensorrt(monkeypatch, "10.16")
    engine = ensure_engine(bundle, variant)
    monkeypatch.setenv("STANDIN_FAIL", failure)
    with pytest.raises(TemperError, match=sentence):
        ensure_engine(bundle, variant, force=True)
    assert engine.place.log.exists()
    read_engine(engine.place, engine.record)
    assert not [path for path in engine.place.folder.iterdir() if path.name.endswith(".partial")]


def test_only_variants_for_tensorrt_are_built(bundle: Bundle, variant: Variant) -> None:
    cpu = variant.model_copy(update={"name": "int8", "target": "cpu"})
    with pytest.raises(UsageError, match=r"The variant 'int8' is made for cpu; TensorRT takes those made for any or"):
        ensure_engine(bundle, cpu)
    with pytest.raises(UsageError, match=r"A DLA computes in fp16 and int8, and 'fp32' is fp32"):
        ensure_engine(bundle, variant, build_options((64, 64), batches=(building_batch(),), dla_core=0))
    both = Bundle(bundle.path, bundle.folder, bundle.manifest.model_copy(update={"variants": [variant, cpu]}))
    assert choose_variants(both) == [variant]
    assert choose_variants(both, ["fp32", "fp32"]) == [variant]
    none = Bundle(bundle.path, bundle.folder, bundle.manifest.model_copy(update={"variants": [cpu]}))
    with pytest.raises(UsageError, match="No variant of tiny.temper is made for TensorRT"):
        choose_variants(none)


@pytest.mark.parametrize("builder", ["python", "trtexec"])
def test_no_engine_is_built_of_a_graph_exchanged_after_the_bundle_was_opened(
    bundle: Bundle, variant: Variant, only_trtexec: Path, monkeypatch: pytest.MonkeyPatch, builder: BuilderName
) -> None:
    use_tensorrt(monkeypatch, "10.16")
    bundle.graph_path(variant).write_bytes(tiny_graph(settings=DecodeSettings(nms_iou=0.1)).SerializeToString())
    with pytest.raises(TemperError, match=r"graphs/fp32\.onnx .* is not the file its manifest describes"):
        ensure_engine(bundle, variant, builder=builder)
    assert not engine_place(bundle, variant, ORIN).engine.exists()


def building_batch() -> object:
    from temper.deploy.engines.options import fixed_span

    return fixed_span(1)


PROGRAM = """#!/usr/bin/env python3
import hashlib, json, sys
print("&&&& RUNNING TensorRT.trtexec [TensorRT v100300] [b26] # trtexec", flush=True)
options = dict(word[2:].partition("=")[::2] for word in sys.argv[1:])
if "help" not in options:
    print("[W] something to know")
    if "noTF32" not in options or {failing}:
        print("[E] Error[2]: no implementation for node\\n[E] and so on")
        sys.exit(1)
    options["graph_sha256"] = hashlib.sha256(open(options["onnx"], "rb").read()).hexdigest()
    open(options["saveEngine"], "wb").write(json.dumps(options).encode())
    old = open(options["timingCacheFile"]).read() if {has_cache} else ""
    open(options["timingCacheFile"], "w").write(old + "timed ")
"""


def make_trtexec(path: Path, failing: bool = False, has_cache: bool = False) -> None:
    text = PROGRAM.replace("{failing}", str(failing)).replace("{has_cache}", str(has_cache))
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def only_trtexec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with trtexec and without the bindings."""
    program = tmp_path / "trtexec"
    monkeypatch.setattr(building, "current_gpu", lambda: ORIN)
    monkeypatch.setattr(trtexec, "PLACES", (program,))
    make_trtexec(program)
    return program


def test_trtexec_builds_where_only_it_is_there(bundle: Bundle, variant: Variant, only_trtexec: Path) -> None:
    engine = ensure_engine(bundle, variant)
    assert (engine.record.built_with, engine.record.tensorrt) == ("trtexec", "10.3.0")
    said = json.loads(read_engine(engine.place, engine.record))
    assert Path(said["onnx"]).is_relative_to(engine.place.folder), "a copy that nobody else has, of what was checked"
    assert said["graph_sha256"] == engine.record.graph_sha256 == variant.sha256
    assert said["maxShapes"] == "image:8x64x64"
    assert "stronglyTyped" in said
    assert engine.place.timing_cache((10, 3, 0)).read_text() == "timed "
    assert "something to know" in engine.place.log.read_text()
    assert not ensure_engine(bundle, variant).built
    make_trtexec(only_trtexec, has_cache=True)
    assert ensure_engine(bundle, variant, force=True).built
    assert engine.place.timing_cache((10, 3, 0)).read_text() == "timed timed "


def test_a_trtexec_that_fails_says_its_first_error(bundle: Bundle, variant: Variant, only_trtexec: Path) -> None:
    make_trtexec(only_trtexec, failing=True)
    with pytest.raises(
        TemperError,
        match=r"^trtexec ended with code 1 and no engine\. It said: \[E\] Error\[2\]: no implementation for n",
    ):
        ensure_engine(bundle, variant)


def test_which_builder_there_is(only_trtexec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_builder().name == "trtexec"
    with pytest.raises(MissingDependencyError, match="TensorRT cannot be imported"):
        find_builder("python")
    monkeypatch.setattr(trtexec, "PLACES", ())
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingDependencyError, match="TensorRT cannot be imported"):
        find_builder()
    with pytest.raises(MissingDependencyError, match="There is no trtexec in PATH"):
        find_builder("trtexec")
    use_tensorrt(monkeypatch, "10.8")
    assert find_builder().version == (10, 8, 0, 43)
