from __future__ import annotations

import stat
from pathlib import Path

import pytest
from temper.bundle.manifest import InputRule
from temper.core.errors import TemperError, UsageError
from temper.deploy.engines import trtexec
from temper.deploy.engines.options import build_options, parse_batch
from temper.deploy.engines.request import BuildRequest
from temper.deploy.engines.trtexec import find_trtexec, number_version, trtexec_command, trtexec_version

GREY = InputRule(width=200, height=160, channels="grey")
RGB = InputRule(width=200, height=160, channels="rgb")
PROGRAM = Path("/usr/src/tensorrt/bin/trtexec")


def request(precision: str = "fp32", **options: object) -> BuildRequest:
    batches = options.pop("batches", ("1:1:8",))
    return BuildRequest(
        graph=Path("/b/graphs/fp32.onnx"),
        graph_sha256="0" * 64,
        precision=precision,
        options=build_options((200, 160), batches=tuple(map(parse_batch, batches)), **options),
        engine=Path("/e/engine"),
        timing_in=Path("/e/old"),
        timing_out=Path("/e/timing"),
    )


def words(version: tuple[int, ...], asked: BuildRequest, rule: InputRule = GREY) -> list[str]:
    return trtexec_command(PROGRAM, version, asked, rule)[1:]


COMMON = ["--onnx=/b/graphs/fp32.onnx", "--saveEngine=/e/engine", "--timingCacheFile=/e/timing", "--skipInference"]
SHAPES = ["--minShapes=image:1x160x200", "--optShapes=image:1x160x200", "--maxShapes=image:8x160x200"]


def test_the_plain_command_of_each_version() -> None:
    assert words((8, 6, 1), request()) == [*COMMON, *SHAPES, "--noTF32"]
    assert words((10, 3, 0), request()) == [*COMMON, *SHAPES, "--stronglyTyped", "--noTF32"]
    assert words((11, 4, 0), request()) == [*COMMON, *SHAPES, "--noTF32"]


@pytest.mark.parametrize(
    ("version", "precision", "flags"),
    [
        ((8, 6, 1), "fp16", {"--fp16"}),
        ((8, 6, 1), "int8", {"--int8"}),
        ((10, 3, 0), "fp16", {"--stronglyTyped"}),
        ((10, 3, 0), "int8", {"--stronglyTyped"}),
        ((11, 4, 0), "fp16", set()),
        ((11, 4, 0), "int8", set()),
    ],
)
def test_precision_is_spoken_of_only_where_it_must_be(
    version: tuple[int, ...], precision: str, flags: set[str]
) -> None:
    said = set(words(version, request(precision)))
    assert said & {"--fp16", "--int8", "--stronglyTyped"} == flags


def test_colour_has_a_fourth_dimension() -> None:
    assert "--maxShapes=image:8x160x200x3" in words((10, 3, 0), request(), RGB)


def test_several_profiles_are_numbered() -> None:
    said = words((10, 3, 0), request(batches=("1", "8")))
    start = said.index("--profile=0")
    assert said[start : start + 8] == [
        "--profile=0",
        *(f"--{corner}Shapes=image:1x160x200" for corner in ("min", "opt", "max")),
        "--profile=1",
        *(f"--{corner}Shapes=image:8x160x200" for corner in ("min", "opt", "max")),
    ]
    with pytest.raises(UsageError, match=r"trtexec of TensorRT 8\.6 builds one profile, and 2 are asked for"):
        words((8, 6, 1), request(batches=("1", "8")))


def test_every_option_has_its_flag() -> None:
    asked = request(
        "fp16",
        batches=("1",),
        workspace_mib=512,
        optimization_level=4,
        version_compatible=True,
        hardware_compatibility="ampere_plus",
        dla_core=1,
        tf32=True,
    )
    assert words((10, 3, 0), asked)[7:] == [
        "--fp16",  # a DLA takes no strongly typed network in TensorRT 10
        "--memPoolSize=workspace:512",
        "--builderOptimizationLevel=4",
        "--versionCompatible",
        "--hardwareCompatibilityLevel=ampere+",
        "--useDLACore=1",
        "--allowGPUFallback",
    ]


def test_one_capability_came_with_10_9() -> None:
    asked = request(hardware_compatibility="same_compute_capability")
    assert "--hardwareCompatibilityLevel=sameComputeCapability" in words((10, 9, 0), asked)
    with pytest.raises(UsageError, match=r"trtexec of TensorRT 10\.3 cannot build for every GPU of one compute capab"):
        words((10, 3, 0), asked)


def test_a_trtexec_that_is_too_old_is_refused() -> None:
    with pytest.raises(TemperError, match=r"TensorRT 8\.5\.2 is too old"):
        words((8, 5, 2), request())


@pytest.mark.parametrize(
    ("number", "version"), [(8601, (8, 6, 1)), (100300, (10, 3, 0)), (101601, (10, 16, 1)), (110400, (11, 4, 0))]
)
def test_the_number_in_c_is_a_version(number: int, version: tuple[int, ...]) -> None:
    assert number_version(number) == version


def make_program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_program_says_its_version_whatever_it_ends_with(tmp_path: Path) -> None:
    program = make_program(
        tmp_path / "trtexec", "echo '&&&& RUNNING TensorRT.trtexec [TensorRT v100300] [b26] # x'; exit 1"
    )
    assert trtexec_version(program) == (10, 3, 0)


def test_a_program_without_a_version_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TemperError, match="does not say which TensorRT it is of"):
        trtexec_version(make_program(tmp_path / "trtexec", "echo libnvinfer.so.10 is missing; exit 127"))
    with pytest.raises(TemperError, match="trtexec does not run: "):
        trtexec_version(tmp_path / "nothing" / "trtexec")


def test_the_program_is_found_in_path_or_where_tensorrt_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(trtexec, "PLACES", (tmp_path / "place",))
    assert find_trtexec() is None
    make_program(tmp_path / "place", "exit 0")
    assert find_trtexec() == tmp_path / "place"
    (tmp_path / "bin").mkdir()
    assert find_trtexec() == tmp_path / "place"
    make_program(tmp_path / "bin" / "trtexec", "exit 0")
    assert find_trtexec() == tmp_path / "bin" / "trtexec"
