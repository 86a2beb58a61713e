from __future__ import annotations

from pathlib import Path

import pytest
from temper.bundle.loader import Bundle, open_bundle
from temper.bundle.manifest import Variant
from temper.core.errors import TemperError
from temper.core.files import sha256_file, write_json
from temper.deploy.engines.gpu import Gpu
from temper.deploy.engines.options import BuildOptions, build_options
from temper.deploy.engines.record import (
    EnginePlace,
    EngineRecord,
    engine_place,
    engine_places,
    engines_folder,
    misfits,
    read_engine,
    read_record,
)

#: All three Jetsons go by the same name.
ORIN, NX, NANO = Gpu("Orin", "8.7", 16, 30697), Gpu("Orin", "8.7", 8, 15523), Gpu("Orin", "8.7", 4, 3620)
H100, T4 = Gpu("H100", "9.0", 132, 81559), Gpu("T4", "7.5", 40, 15102)
VERSION = (10, 3, 0, 26)


@pytest.fixture
def bundle(bundle_path: Path) -> Bundle:
    return open_bundle(bundle_path)


@pytest.fixture
def variant(bundle: Bundle) -> Variant:
    return bundle.variant("fp32")


def record_of(variant: Variant, options: BuildOptions | None = None, **fields: object) -> EngineRecord:
    values = {
        "variant": variant.name,
        "precision": variant.precision,
        "graph_sha256": variant.sha256,
        "engine_sha256": "0" * 64,
        "engine_bytes": 1,
        "gpu": ORIN.name,
        "compute_capability": ORIN.compute_capability,
        "multiprocessors": ORIN.multiprocessors,
        "gpu_memory_mib": ORIN.memory_mib,
        "tensorrt": "10.3.0.26",
        "built_with": "python",
        "options": options or build_options((64, 64)),
        "built_at": "2026-01-01T00:00:00+00:00",
        "build_seconds": 12.5,
        "temper": "0.1.0",
    }
    return EngineRecord.model_validate({**values, **fields})


@pytest.mark.parametrize("name", ["part.temper", "part.temper.zip", "part.zip", "part"])
def test_engines_lie_beside_the_bundle_and_never_in_it(tmp_path: Path, name: str) -> None:
    assert engines_folder(tmp_path / name) == tmp_path / "part.engines"


def test_each_gpu_has_its_folder_and_what_several_may_load_has_one_of_its_own(bundle: Bundle, variant: Variant) -> None:
    folders = [place.folder.name for place in engine_places(bundle, variant, ORIN)]
    assert folders == ["orin-sm87-16mp", "sm87", "ampere-plus"]
    assert engine_place(bundle, variant, ORIN).engine.name == "fp32.engine"


def test_an_engine_of_this_graph_gpu_and_tensorrt_fits(variant: Variant) -> None:
    record = record_of(variant)
    assert misfits(record, variant, ORIN, VERSION) == []
    assert misfits(record, variant, ORIN, VERSION[:3]) == [], "trtexec does not tell its build"
    assert misfits(record, variant, ORIN, VERSION, record.options) == []


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"graph_sha256": "1" * 64}, "it was built from another graph"),
        (
            {"gpu": "Xavier"},
            "it was built on Xavier (8.7, 16 multiprocessors) and this is Orin (8.7, 16 multiprocessors)",
        ),
        (
            {"compute_capability": "7.2"},
            "it was built on Orin (7.2, 16 multiprocessors) and this is Orin (8.7, 16 multiprocessors)",
        ),
        (
            {"multiprocessors": 8},
            "it was built on Orin (8.7, 8 multiprocessors) and this is Orin (8.7, 16 multiprocessors)",
        ),
        ({"tensorrt": "10.3.0.30"}, "it was built with TensorRT 10.3.0.30 and this is 10.3.0.26"),
        ({"tensorrt": "8.6.1"}, "it was built with TensorRT 8.6.1 and this is 10.3.0.26"),
    ],
)
def test_each_thing_that_no_longer_fits_is_told(variant: Variant, fields: dict[str, str], reason: str) -> None:
    assert misfits(record_of(variant, **fields), variant, ORIN, VERSION) == [reason]


def test_other_memory_is_no_other_gpu(variant: Variant) -> None:
    assert misfits(record_of(variant, gpu_memory_mib=30536), variant, ORIN, VERSION) == []


def test_other_options_are_a_reason_only_where_options_are_asked_for(variant: Variant) -> None:
    record = record_of(variant)
    wanted = build_options((64, 64), workspace_mib=64)
    assert misfits(record, variant, ORIN, VERSION, wanted) == ["it was built with other options"]


@pytest.mark.parametrize(
    ("reach", "fits"),
    [
        ("none", [ORIN]),
        ("same_compute_capability", [ORIN, NX, NANO]),
        ("ampere_plus", [ORIN, NX, NANO, H100]),
    ],
)
def test_an_engine_runs_as_far_as_it_was_built_for(variant: Variant, reach: str, fits: list[Gpu]) -> None:
    record = record_of(variant, build_options((64, 64), hardware_compatibility=reach))
    assert [gpu for gpu in (ORIN, NX, NANO, H100, T4) if not misfits(record, variant, gpu, VERSION)] == fits


@pytest.mark.parametrize(
    ("version", "fits"),
    [((10, 3, 0, 26), True), ((10, 3, 0, 30), True), ((10, 9, 0), True), ((10, 2, 0), False), ((11, 0, 0), False)],
)
def test_a_version_compatible_engine_loads_in_later_ones_of_its_major(
    variant: Variant, version: tuple[int, ...], fits: bool
) -> None:
    record = record_of(variant, build_options((64, 64), version_compatible=True))
    assert (misfits(record, variant, ORIN, version) == []) == fits


def write_engine(place: EnginePlace, variant: Variant, content: bytes = b"engine") -> EngineRecord:
    place.folder.mkdir(parents=True)
    place.engine.write_bytes(content)
    record = record_of(variant, engine_sha256=sha256_file(place.engine), engine_bytes=len(content))
    write_json(place.record, record.model_dump(mode="json"))
    return record


@pytest.fixture
def place(tmp_path: Path) -> EnginePlace:
    return EnginePlace(tmp_path / "engines" / "orin-sm87-16mp", "fp32")


def test_a_record_is_read_as_it_was_written(place: EnginePlace, variant: Variant) -> None:
    record = write_engine(place, variant)
    assert read_record(place) == record
    assert read_engine(place, record) == b"engine"


@pytest.mark.parametrize("content", [b"enginE", b"engin", b"engine!", b""])
def test_a_changed_engine_is_never_given_out(place: EnginePlace, variant: Variant, content: bytes) -> None:
    record = write_engine(place, variant)
    place.engine.write_bytes(content)
    with pytest.raises(TemperError, match=r"fp32\.engine is not the file its record describes"):
        read_engine(place, record)


def test_a_missing_engine_is_one_sentence(place: EnginePlace, variant: Variant) -> None:
    record = write_engine(place, variant)
    place.engine.unlink()
    with pytest.raises(TemperError, match=r"fp32\.engine cannot be read: No such file"):
        read_engine(place, record)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema_version": 1}', b"\xff\xfe", b"0" * 2_000_000])
def test_a_record_that_cannot_be_believed_is_none(place: EnginePlace, variant: Variant, content: bytes) -> None:
    write_engine(place, variant)
    place.record.write_bytes(content)
    assert read_record(place) is None


def test_a_record_with_an_unknown_field_is_none(place: EnginePlace, variant: Variant) -> None:
    record = write_engine(place, variant)
    write_json(place.record, {**record.model_dump(mode="json"), "signature": "x"})
    assert read_record(place) is None


def test_timing_is_kept_by_version(place: EnginePlace) -> None:
    assert place.timing_cache((10, 16, 1, 11)).name == "timing-10.16.1.cache"
