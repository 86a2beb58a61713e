"""From a bundle's graph to an engine on this machine, built anew when the one that lies there no longer fits."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from ... import __version__
from ...bundle.graph_file import OnnxFile
from ...bundle.loader import Bundle
from ...bundle.manifest import Manifest, Target, Variant
from ...core.errors import MissingDependencyError, TemperError, UsageError
from ...core.events import Event, Reporter, silent
from ...core.files import PARTIAL_SUFFIX, explain_os_errors, sha256_file, write_json
from .gpu import Gpu, current_gpu
from .options import MOST_TOPK, BuildOptions, make_profiles
from .python_api import import_tensorrt
from .record import (
    EnginePlace,
    EngineRecord,
    engine_place,
    engine_places,
    misfits,
    read_engine,
    read_record,
)
from .request import BuildRequest, Done, Failed, Progress, parse_tale
from .trtexec import find_trtexec, trtexec_command, trtexec_version
from .versions import Version, parse_version, version_text

STAGE = "engine"
#: Targets of the variants that TensorRT takes.
TARGETS: tuple[Target, ...] = ("any", "tensorrt")

BuilderName = Literal["python", "trtexec"]


@dataclass(frozen=True)
class Builder:
    """What builds engines here."""

    name: BuilderName
    version: Version
    program: Path | None = None


@dataclass(frozen=True)
class Engine:
    """An engine that fits: its record and its file have been checked."""

    place: EnginePlace
    record: EngineRecord
    built: bool


def find_builder(wanted: BuilderName | None = None) -> Builder:
    """TensorRT's Python API if it is installed, else ``trtexec``.

    Args:
        wanted: only this one.

    Raises:
        MissingDependencyError: if there is none.
    """
    missing: MissingDependencyError | None = None
    if wanted != "trtexec":
        try:
            return Builder("python", parse_version(str(import_tensorrt().__version__)))
        except MissingDependencyError as error:
            missing = error
    program = find_trtexec() if wanted != "python" else None
    if program is not None:
        return Builder("trtexec", trtexec_version(program), program)
    if wanted == "trtexec" or missing is None:
        raise MissingDependencyError(
            "There is no trtexec in PATH nor where TensorRT's packages put it. It comes with libnvinfer-bin: "
            "sudo apt install libnvinfer-bin."
        )
    raise missing


def default_options(bundle: Bundle, variant: Variant) -> BuildOptions:
    """Tuned for one picture at a time at the variant's size, good for a few."""
    rule = bundle.manifest.at_size_of(variant).input
    return BuildOptions(profiles=make_profiles((), (), (rule.width, rule.height)))


def ensure_engine(
    bundle: Bundle,
    variant: Variant,
    options: BuildOptions | None = None,
    *,
    builder: BuilderName | None = None,
    force: bool = False,
    report: Reporter = silent,
) -> Engine:
    """The engine of a variant for this machine, built if there is none that fits.

    Args:
        bundle: opened, so its hashes are checked.
        variant: one of the bundle's.
        options: what it must be built for; None takes any engine that fits, and builds anew as the last one was built.
        builder: what builds it; None takes what is there.
        force: build even if there is one that fits.
        report: hears of the progress, under the stage ``engine``.

    Raises:
        UsageError: if the variant is not for TensorRT, or an option does not fit it.
        TemperError: if there is no GPU or no TensorRT, or the build fails.
    """
    require_suitable(variant, options)
    gpu = current_gpu()
    tool = find_builder(builder)
    if options is not None:
        places = [engine_place(bundle, variant, gpu, options.hardware_compatibility)]
    else:
        places = engine_places(bundle, variant, gpu)
    fitting, reasons, last = _look(places, variant, gpu, tool.version, options)
    if fitting is not None and not force:
        return fitting
    chosen = options or (last.options if last is not None else default_options(bundle, variant))
    reason = "; ".join(reasons) or ("asked for" if force else "there is none yet")
    if (trouble := topk_trouble(bundle.manifest)) is not None:
        report(Event("warning", STAGE, {"message": trouble}))
    report(Event("note", STAGE, {"message": f"Building the engine of {variant.name} for {gpu.name}: {reason}."}))
    place = engine_place(bundle, variant, gpu, chosen.hardware_compatibility)
    return Engine(place, _build(place, bundle, variant, gpu, tool, chosen, report), built=True)


def choose_variants(bundle: Bundle, names: Sequence[str] = (), *, any_size: bool = False) -> list[Variant]:
    """The variants of these names or precisions; without any, all that TensorRT takes.

    Args:
        bundle: opened.
        names: of variants, or precisions.
        any_size: without names only those whose height and width may vary.

    Raises:
        UsageError: if there is no such variant, or none that TensorRT takes.
    """
    if names:
        chosen = [bundle.variant(name, TARGETS) for name in names]
        return list({variant.name: variant for variant in chosen}.values())
    suitable = [variant for variant in bundle.manifest.variants if variant.target in TARGETS]
    if not suitable:
        raise UsageError(f"No variant of {bundle.path.name} is made for TensorRT; all are made for processors.")
    if any_size and not any(variant.any_size for variant in suitable):
        raise UsageError(
            f"Every graph of {bundle.path.name} that TensorRT takes is of one size, so leave --size out, or export one "
            "of any size with 'temper export onnx --input dynamic'."
        )
    return [variant for variant in suitable if variant.any_size or not any_size]


def topk_trouble(manifest: Manifest) -> str | None:
    """Why TensorRT may refuse a bundle's graphs, by what its manifest says, in a sentence; None if it should not."""
    export = manifest.made_by.recipe.get("export")
    candidates = export.get("candidates") if isinstance(export, dict) else None
    most = max(manifest.max_detections, candidates if isinstance(candidates, int) else 0)
    if most <= MOST_TOPK:
        return None
    return (
        f"{manifest.name} was exported with export.candidates or export.max_detections of {most:,}, and TensorRT's "
        f"TopK takes at most {MOST_TOPK:,}, so a graph with that many does not build; export it again with fewer."
    )


def require_suitable(variant: Variant, options: BuildOptions | None) -> None:
    """Refuse a variant that TensorRT, or a DLA, cannot run.

    Raises:
        UsageError: saying which could be chosen instead.
    """
    if variant.target not in TARGETS:
        raise UsageError(
            f"The variant '{variant.name}' is made for {variant.target}; TensorRT takes those made for any or tensorrt."
        )
    if options is not None and options.dla_core is not None and variant.precision == "fp32":
        raise UsageError(f"A DLA computes in fp16 and int8, and '{variant.name}' is fp32. Choose another --variant.")


def _look(
    places: list[EnginePlace], variant: Variant, gpu: Gpu, version: Version, options: BuildOptions | None
) -> tuple[Engine | None, list[str], EngineRecord | None]:
    """The youngest engine that fits; why those there do not; the youngest record that could be read."""
    records = [(place, record) for place in places if (record := read_record(place)) is not None]
    records.sort(key=lambda pair: pair[1].built_at, reverse=True)
    reasons: list[str] = []
    for place, record in records:
        wrong = misfits(record, variant, gpu, version, options)
        if not wrong:
            try:
                read_engine(place, record)
            except TemperError as error:
                wrong = [str(error).rstrip(".")]
            else:
                return Engine(place, record, built=False), [], record
        reasons += wrong
    if not records and any(place.engine.exists() for place in places):
        reasons = ["the record of the one there is missing or cannot be read"]
    return None, list(dict.fromkeys(reasons)), records[0][1] if records else None


def _build(
    place: EnginePlace,
    bundle: Bundle,
    variant: Variant,
    gpu: Gpu,
    tool: Builder,
    options: BuildOptions,
    report: Reporter,
) -> EngineRecord:
    started, clock = datetime.now(timezone.utc), time.monotonic()
    graph = bundle.graph(variant)  # what is no graph is refused before anything is made
    with explain_os_errors(place.folder):
        place.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=place.folder, prefix=f".{place.stem}.", suffix=PARTIAL_SUFFIX
        ) as scratch_name:
            scratch = Path(scratch_name)
            request = BuildRequest(
                graph=_graph_for(tool, bundle.graph_path(variant), graph, scratch),
                graph_sha256=variant.sha256,
                precision=variant.precision,
                options=options,
                engine=scratch / "engine",
                timing_in=place.timing_cache(tool.version),
                timing_out=scratch / "timing",
            )
            if tool.program is None:
                version = _build_in_python(request, place.log, scratch, report)
            else:
                version = _build_with_trtexec(tool, request, bundle, place.log)
            record = EngineRecord(
                variant=variant.name,
                precision=variant.precision,
                graph_sha256=variant.sha256,
                engine_sha256=sha256_file(request.engine),
                engine_bytes=request.engine.stat().st_size,
                gpu=gpu.name,
                compute_capability=gpu.compute_capability,
                multiprocessors=gpu.multiprocessors,
                gpu_memory_mib=gpu.memory_mib,
                tensorrt=version,
                built_with=tool.name,
                options=options,
                built_at=started.isoformat(timespec="seconds"),
                build_seconds=round(time.monotonic() - clock, 1),
                temper=__version__,
            )
            # the record last: an engine without its own is built anew
            os.replace(request.engine, place.engine)
            if request.timing_out.is_file():
                os.replace(request.timing_out, place.timing_cache(tool.version))
            write_json(place.record, record.model_dump(mode="json"))
    return record


def _graph_for(tool: Builder, path: Path, graph: OnnxFile, scratch: Path) -> Path:
    """The file a builder reads: the bundle's own where it looks at the hash itself, else a copy nobody else has."""
    if tool.program is None:
        return path.resolve()
    copy = scratch / "graph.onnx"
    copy.write_bytes(graph.content)
    return copy


def _build_in_python(request: BuildRequest, log: Path, scratch: Path, report: Reporter) -> str:
    """Build in a process of its own and pass its progress on; gives the version of its TensorRT."""
    asked = scratch / "request.json"
    asked.write_text(request.model_dump_json(), encoding="utf-8")
    reading, writing = os.pipe()
    words = [sys.executable, "-m", "temper.deploy.engines.worker", str(asked), str(writing)]
    failure, version = "", ""
    with os.fdopen(reading, "rb") as channel, contextlib.ExitStack() as stack:
        try:
            child = stack.enter_context(_running(words, log, pass_fds=(writing,)))
        finally:
            os.close(writing)
        for line in channel:
            if not line.endswith(b"\n"):
                break  # it was ended while it wrote
            tale = parse_tale(line)
            if isinstance(tale, Progress):
                report(Event("step", STAGE, {"done": tale.percent, "total": 100, "unit": f"% ({tale.phase})"}))
            elif isinstance(tale, Failed):
                failure = tale.message
            elif isinstance(tale, Done):
                version = tale.tensorrt
        code = child.wait()
    if failure:
        raise TemperError(f"{failure} The builder's log: {log}.")
    if code != 0 or not version:
        raise _died("The process that builds the engine", code, log)
    return version


def _build_with_trtexec(tool: Builder, request: BuildRequest, bundle: Bundle, log: Path) -> str:
    if tool.program is None:
        raise ValueError("this builder has no program")
    if request.timing_in.is_file():
        request.timing_out.write_bytes(request.timing_in.read_bytes())
    words = trtexec_command(tool.program, tool.version, request, bundle.manifest.input)
    with _running(words, log) as child:
        code = child.wait()
    if code != 0 or not request.engine.is_file():
        raise _died("trtexec", code, log)
    return version_text(tool.version)


@contextlib.contextmanager
def _running(words: list[str], log: Path, pass_fds: tuple[int, ...] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """A child whose output is the log, and which never outlives the block."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            # Ctrl-C is for the parent, which then ends its children
            start_new_session=True,
            # the folder one happens to stand in must not shadow installed packages
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()


def _died(who: str, code: int, log: Path) -> TemperError:
    if code == -signal.SIGKILL:
        return TemperError(
            f"{who} was killed, most likely because memory ran out. Give it less with --workspace, or a "
            f"smaller largest --batch. The builder's log: {log}."
        )
    with log.open("rb") as file:
        lines = file.read()[-65536:].decode("utf-8", errors="replace").strip().splitlines()
    errors = [line for line in lines if "[E]" in line]
    said = (errors or lines[-1:] or ["nothing"])[0].strip().rstrip(".")[:300]
    return TemperError(f"{who} ended with code {code} and no engine. It said: {said}. The builder's log: {log}.")
