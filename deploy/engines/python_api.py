"""Building an engine with TensorRT's Python API: 8.6, 10 and 11.

Precision is in the graph. From TensorRT 10 on the network is strongly typed and no flag speaks of precision; 8.6, and
10 with a DLA, which takes no strongly typed network, must be allowed what the graph already says.

``tests/deploy/engines/test_tensorrt_names.py`` holds every attribute of ``tensorrt`` used here against the real
bindings of each version. It knows TensorRT's objects by what they are called: a builder is always ``builder``.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from typing import Any

from ...bundle.graph_file import OnnxFile
from ...bundle.manifest import Precision
from ...core.errors import MissingDependencyError, TemperError, UsageError
from ...core.files import write_bytes
from .options import BuildOptions
from .phases import PhaseTree
from .request import BuildRequest
from .versions import ONLY_STRONG_TYPES, STRONG_TYPES, Version, parse_version, require_supported

MIB = 1 << 20

Tell = Callable[[int, str], None]


def import_tensorrt() -> Any:
    """The module ``tensorrt``.

    Raises:
        MissingDependencyError: if it is not there or its libraries do not load.
    """
    try:
        import tensorrt
    except Exception as error:  # its start-up loads libraries, and fails in as many ways as these can
        raise MissingDependencyError(
            f"TensorRT cannot be imported ({first_line(error)}). On a Jetson it comes with JetPack and is seen by an "
            "environment made with --system-site-packages; elsewhere install it with "
            "pip install 'tensorrt-cu12>=10.8'."
        ) from error
    return tensorrt


def build_engine(request: BuildRequest, tell: Tell) -> str:
    """Build one engine and write it and the timing cache.

    Args:
        request: what to build, and where to write it.
        tell: hears of the progress.

    Returns:
        The version of the TensorRT that built it.

    Raises:
        TemperError: if there is no TensorRT, it is too old, or it refuses the graph or an option.
    """
    trt = import_tensorrt()
    version = parse_version(trt.__version__)
    require_supported(version)
    logger = _make_logger(trt)
    builder = _make_builder(trt, logger)
    _require_dla(builder, version, request)
    typed = _is_strongly_typed(version, request.options)
    network = builder.create_network(_creation_flags(trt, version, typed))
    _parse(trt, network, logger, request)
    config = builder.create_builder_config()
    _configure(trt, config, request.options)
    if not typed:
        _allow_precision(trt, config, request.precision)
    _add_profiles(builder, network, config, request.options)
    cache = _start_timing_cache(config, request)
    if version >= STRONG_TYPES:
        _watch(trt, config, PhaseTree(tell))
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        reason = logger.first_error or "TensorRT gives no reason"
        raise TemperError(f"TensorRT {trt.__version__} could not build the engine: {reason}.")
    write_bytes(request.engine, bytes(plan))
    write_bytes(request.timing_out, bytes(cache.serialize()))
    return str(trt.__version__)


def _make_builder(trt: Any, logger: Any) -> Any:
    try:
        return trt.Builder(logger)
    except Exception as error:  # the bindings raise a TypeError where there is no GPU or driver
        reason = logger.first_error or first_line(error)
        raise TemperError(f"TensorRT {trt.__version__} cannot work here: {reason}. Look at nvidia-smi.") from error


def _is_strongly_typed(version: Version, options: BuildOptions) -> bool:
    if version >= ONLY_STRONG_TYPES:
        return True
    return version >= STRONG_TYPES and options.dla_core is None


def _creation_flags(trt: Any, version: Version, typed: bool) -> int:
    if version >= ONLY_STRONG_TYPES:
        return 0
    if version < STRONG_TYPES:
        return _explicit_batch(trt)
    return _strongly_typed(trt) if typed else 0


def _explicit_batch(trt: Any) -> int:
    return 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)


def _strongly_typed(trt: Any) -> int:
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def _parse(trt: Any, network: Any, logger: Any, request: BuildRequest) -> None:
    parser = trt.OnnxParser(network, logger)
    if parser.parse(_read_graph(request)):
        return
    reasons = [parser.get_error(index).desc() for index in range(parser.num_errors)]
    reason = first_line(reasons[0]) if reasons else logger.first_error or "no reason given"
    raise TemperError(f"TensorRT {trt.__version__} does not take the graph: {reason}.")


def _read_graph(request: BuildRequest) -> bytes:
    """The graph's bytes, once they are known to be those that an engine is asked of."""
    content = OnnxFile.read(request.graph).content
    if hashlib.sha256(content).hexdigest() != request.graph_sha256:
        raise TemperError(
            f"The graph {request.graph.name} was changed while its engine was being built. Copy or export the bundle "
            "again."
        )
    return content


def _configure(trt: Any, config: Any, options: BuildOptions) -> None:
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * MIB)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatibility == "ampere_plus":
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    elif options.hardware_compatibility == "same_compute_capability":
        _reach_same_capability(trt, config)
    if options.dla_core is not None:
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = options.dla_core
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _reach_same_capability(trt: Any, config: Any) -> None:
    level = getattr(trt.HardwareCompatibilityLevel, "SAME_COMPUTE_CAPABILITY", None)
    if level is None:
        raise UsageError(
            f"TensorRT {trt.__version__} cannot build for every GPU of one compute capability; it can for "
            "ampere_plus, or for this GPU alone."
        )
    config.hardware_compatibility_level = level


def _allow_precision(trt: Any, config: Any, precision: Precision) -> None:
    """Allow a weakly typed network what its graph says, and nothing else: what is fp32 there stays fp32."""
    if precision == "fp16":
        config.set_flag(trt.BuilderFlag.FP16)
    elif precision == "int8":
        config.set_flag(trt.BuilderFlag.INT8)


def _require_dla(builder: Any, version: Version, request: BuildRequest) -> None:
    core = request.options.dla_core
    if core is None:
        return
    if core >= builder.num_DLA_cores:
        raise UsageError(
            f"There is no DLA core {core} here: TensorRT finds {builder.num_DLA_cores}. "
            "Leave --dla out, and the GPU runs everything."
        )
    if request.precision == "int8" and version < ONLY_STRONG_TYPES:
        raise UsageError(
            "A DLA takes no graph with int8 inside before TensorRT 11. Choose the fp16 variant, or leave --dla out."
        )


def _add_profiles(builder: Any, network: Any, config: Any, options: BuildOptions) -> None:
    image = network.get_input(0)
    declared = tuple(image.shape)
    for shape in options.profiles:
        least, usual, most = shape.shapes(declared)
        profile = builder.create_optimization_profile()
        profile.set_shape(image.name, least, usual, most)
        if config.add_optimization_profile(profile) < 0:
            raise TemperError(f"TensorRT does not take the shapes {least} to {most} for '{image.name}'.")


def _start_timing_cache(config: Any, request: BuildRequest) -> Any:
    """The cache that the build will use and add to; what another version or GPU measured is left aside."""
    content = request.timing_in.read_bytes() if request.timing_in.is_file() else b""
    for start in dict.fromkeys((content, b"")):
        cache = config.create_timing_cache(start)
        if config.set_timing_cache(cache, False):
            return cache
    raise TemperError("TensorRT takes no timing cache, not even an empty one.")


def _make_logger(trt: Any) -> Any:
    """TensorRT's messages to standard error, which is the log file; the first error is kept for the sentence."""

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.first_error = ""

        def log(self, severity: Any, message: str) -> None:
            letter = {
                trt.ILogger.INTERNAL_ERROR: "F",
                trt.ILogger.ERROR: "E",
                trt.ILogger.WARNING: "W",
                trt.ILogger.INFO: "I",
            }.get(severity, "V")
            if letter in "FE" and not self.first_error:
                self.first_error = first_line(message)
            sys.stderr.write(f"[{letter}] {message}\n")

    return Logger()


def _watch(trt: Any, config: Any, tree: PhaseTree) -> None:
    config.progress_monitor = _make_monitor(trt, tree)


def _make_monitor(trt: Any, tree: PhaseTree) -> Any:
    """TensorRT's progress, told to the tree."""

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            tree.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            tree.step(phase_name, step)
            return True  # go on

        def phase_finish(self, phase_name: str) -> None:
            tree.finish(phase_name)

    return Monitor()


def first_line(error: object) -> str:
    """The first line of a message, without its full stop; the error's class if it has no message."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(". ")
