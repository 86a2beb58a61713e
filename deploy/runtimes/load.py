"""The runtimes there are, by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...bundle.graph_file import OnnxFile
from ...bundle.loader import Bundle
from ...bundle.manifest import Precision, Target, Variant
from ...core.errors import MissingDependencyError, TemperError, UsageError, nearest
from ...core.events import Reporter, silent
from ...core.files import explain_os_errors
from ..engines.build import TARGETS as TENSORRT_TARGETS
from ..engines.build import Engine, ensure_engine
from ..engines.gpu import current_gpu
from ..engines.record import engines_folder, read_engine
from .base import Backend, FileBackend, Runtime
from .contract import CheckedRuntime
from .onnxruntime import OnnxRuntime, Rewriting, import_onnxruntime
from .onnxruntime_binding import BoundOnnxRuntime
from .onnxruntime_providers import PROVIDERS, library_fault, provider_fault
from .openvino import OpenVino
from .tensorrt import TensorRt
from .tensorrt_engine import EngineRefusedError

DEFAULT_RUNTIME = "onnxruntime"
CPU_TARGETS: tuple[Target, ...] = ("any", "cpu")


@dataclass(frozen=True)
class GraphToRun:
    """One graph of an opened bundle, and how it shall run."""

    bundle: Bundle
    variant: Variant
    threads: int | None
    report: Reporter

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"{self.bundle.path.name}:{self.variant.file}"


@dataclass(frozen=True)
class RuntimeKind:
    """One runtime.

    Attributes:
        load: makes a graph ready to run.
        absence: why it cannot be used on this machine, in a sentence, without loading much; None if it can be tried.
        targets: of the variants it is meant for.
        builds: whether the first load may take minutes, because it builds an engine.
        runs_files: whether it takes any ONNX file, as :func:`open_graph` does.
    """

    load: Callable[[GraphToRun], Backend]
    absence: Callable[[], str | None]
    targets: tuple[Target, ...]
    builds: bool = False
    runs_files: bool = True


def load_runtime(
    name: str, bundle: Bundle, variant: Variant, *, threads: int | None = None, report: Reporter = silent
) -> Runtime:
    """Load one graph of a bundle.

    Args:
        name: a name in :data:`RUNTIMES`.
        bundle: opened, so its hashes are checked.
        variant: one of the bundle's.
        threads: how many threads of the processor a call uses; None lets the runtime choose.
        report: hears of an engine that has to be built first.

    Returns:
        The runtime, its graph checked against the manifest.

    Raises:
        UsageError: if there is no such runtime, or ``threads`` is below 1.
        TemperError: if the graph does not load or breaks the contract.
    """
    kind = runtime_kind(name)
    if threads is not None and threads < 1:
        raise UsageError(f"A runtime needs at least 1 thread; {threads} were asked for.")
    asked = GraphToRun(bundle, variant, threads, report)
    backend = kind.load(asked)
    try:
        return CheckedRuntime(backend, bundle.manifest.at_size_of(variant), asked.title)
    except BaseException:
        backend.close()
        raise


def open_graph(
    name: str,
    path: Path,
    precision: Precision = "fp32",
    threads: int | None = None,
    rewriting: Rewriting = "all",
) -> FileBackend:
    """Load an ONNX file that is in no bundle (yet), and that nobody has checked.

    Args:
        name: a name in :data:`RUNTIMES` whose kind ``runs_files``.
        path: the file.
        precision: of the graph.
        threads: as in :func:`load_runtime`.
        rewriting: how much ONNX Runtime may rewrite the graph; OpenVINO has no such choice.

    Raises:
        UsageError: if there is no such runtime, or it runs only what it built from a bundle.
        TemperError: if the graph does not load.
    """
    if not runtime_kind(name).runs_files:
        raise UsageError(f"'{name}' runs engines that it builds from a bundle, and no file of a graph.")
    graph = OnnxFile.read(path)
    if name == OpenVino.name:
        return OpenVino(graph, threads)
    return OnnxRuntime(graph, threads, name, precision, rewriting=rewriting)


def runtime_kind(name: str) -> RuntimeKind:
    """What stands under a name.

    Raises:
        UsageError: if there is no such runtime.
    """
    if name not in RUNTIMES:
        raise UsageError(f"There is no runtime '{name}'.{nearest(name, RUNTIMES)}")
    return RUNTIMES[name]


def prepare_runtime(name: str, bundle: Bundle, variant: Variant, batch: int = 1, report: Reporter = silent) -> None:
    """Do now what the first load would do for minutes, and find out whether so many pictures can be taken at once.

    Raises:
        UsageError: if there is no such runtime, or its engine was not built for the batch.
        TemperError: if the engine cannot be built.
    """
    runtime_kind(name)
    if name != TensorRt.name:
        return
    rule = bundle.manifest.at_size_of(variant).input
    options = ensure_engine(bundle, variant, report=report).record.options
    if options.profile_for(batch, rule.height, rule.width) is None:
        raise UsageError(
            f"The engine of {bundle.path.name} ({variant.name}) was not built for {batch} pictures at once. "
            f"Build one that is: temper export trt {bundle.path.name} --batch 1:{batch}."
        )


def absences() -> dict[str, str | None]:
    """Every runtime with the reason why it cannot be used on this machine; None for those that can be tried."""
    return {name: kind.absence() for name, kind in RUNTIMES.items()}


def _load_onnxruntime(name: str) -> Callable[[GraphToRun], Backend]:
    def load(asked: GraphToRun) -> Backend:
        cache = engines_folder(asked.bundle.path) / "onnxruntime" if RUNTIMES[name].builds else None
        if cache is not None:
            with explain_os_errors(cache):
                cache.mkdir(parents=True, exist_ok=True)
        graph = asked.bundle.graph(asked.variant)
        kind = OnnxRuntime if name == DEFAULT_RUNTIME else BoundOnnxRuntime
        return kind(graph, asked.threads, name, asked.variant.precision, cache)

    return load


def _load_openvino(asked: GraphToRun) -> Backend:
    return OpenVino(asked.bundle.graph(asked.variant), asked.threads)


def _load_tensorrt(asked: GraphToRun) -> Backend:
    engine = ensure_engine(asked.bundle, asked.variant, report=asked.report)
    try:
        return _open_engine(engine, asked)
    except EngineRefusedError:
        if engine.built:
            raise
    # its record fits and TensorRT says no: only a new one can tell
    engine = ensure_engine(asked.bundle, asked.variant, engine.record.options, force=True, report=asked.report)
    return _open_engine(engine, asked)


def _open_engine(engine: Engine, asked: GraphToRun) -> Backend:
    content = read_engine(engine.place, engine.record)
    return TensorRt(content, engine.record.options, asked.bundle.manifest.max_detections, asked.title)


def _onnxruntime_absence(name: str) -> Callable[[], str | None]:
    def absence() -> str | None:
        try:
            module = import_onnxruntime()
            return provider_fault(name, module.get_available_providers()) or library_fault(name, module)
        except MissingDependencyError as error:
            return str(error)

    return absence


def _openvino_absence() -> str | None:
    return None if _is_installed("openvino") else "OpenVINO is not installed: pip install 'openvino>=2024.6'."


def _tensorrt_absence() -> str | None:
    try:
        current_gpu()
    except TemperError as error:
        return str(error)
    for module, package in (("tensorrt", "TensorRT's Python bindings are"), ("cuda.bindings", "cuda-python is")):
        if not _is_installed(module):
            return f"{package} not installed here; 'temper doctor' says what installs TensorRT and cuda-python."
    return None


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


#: Every runtime. Closed: one is added here and nowhere else.
RUNTIMES: dict[str, RuntimeKind] = {
    **{
        name: RuntimeKind(
            _load_onnxruntime(name),
            _onnxruntime_absence(name),
            TENSORRT_TARGETS if name == "onnxruntime-tensorrt" else CPU_TARGETS,
            builds=name == "onnxruntime-tensorrt",
        )
        for name in PROVIDERS
    },
    OpenVino.name: RuntimeKind(_load_openvino, _openvino_absence, CPU_TARGETS),
    TensorRt.name: RuntimeKind(_load_tensorrt, _tensorrt_absence, TENSORRT_TARGETS, builds=True, runs_files=False),
}
