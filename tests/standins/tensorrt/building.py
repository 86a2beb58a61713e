"""The builder's side: network, parser, configuration, profiles, timing cache."""

from __future__ import annotations

import json
import os
from typing import Any

import onnx

from . import NAMES, VERSION, __version__
from .enumerations import BuilderFlag, DeviceType, ILogger, IProgressMonitor, Member, Strict

MAJOR = int(VERSION.split(".")[0])


def logger_of(logger: Any) -> ILogger:
    """A logger that was derived as it must be; the real bindings say it less kindly."""
    if not isinstance(logger, ILogger) or not hasattr(logger, "standin_ready"):
        raise TypeError("a logger is derived from ILogger and calls its __init__")
    return logger


class IHostMemory(Strict):
    """Bytes of TensorRT's."""

    def __init__(self, content: bytes) -> None:
        self.standin_content = content

    def __bytes__(self) -> bytes:
        return self.standin_content


class ITensor(Strict):
    """An input of the network."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self.name, self.shape = name, shape


class INetworkDefinition(Strict):
    """What the parser fills."""

    def __init__(self, typed: bool) -> None:
        self.standin_typed = typed
        self.standin_model: onnx.ModelProto | None = None

    def get_input(self, index: int) -> ITensor:
        assert self.standin_model is not None
        value = self.standin_model.graph.input[index]
        shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in value.type.tensor_type.shape.dim)
        return ITensor(value.name, shape)


class ParserError(Strict):
    """Why a graph was not taken."""

    def __init__(self, text: str) -> None:
        self.standin_text = text

    def desc(self) -> str:
        return self.standin_text


class OnnxParser(Strict):
    """Takes the graph, unless TensorRT's documentation says that it does not."""

    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        logger_of(logger)
        self.standin_network = network
        self.standin_errors: list[str] = []

    @property
    def num_errors(self) -> int:
        return len(self.standin_errors)

    def get_error(self, index: int) -> ParserError:
        return ParserError(self.standin_errors[index])

    def parse(self, model: bytes) -> bool:
        try:
            parsed = onnx.load_model_from_string(model)
        except Exception:
            self.standin_errors.append("Failed to parse the ONNX model.\nIn line 1")
            return False
        images = {value.name for value in parsed.graph.input if value.type.tensor_type.elem_type == 2}
        for node in parsed.graph.node:
            if images & set(node.input) and node.op_type != "Cast":
                self.standin_errors.append(f"{node.name} ({node.op_type}): UINT8 must feed directly into a cast")
        self.standin_network.standin_model = parsed
        return not self.standin_errors


class IOptimizationProfile(Strict):
    """Shapes from least to most."""

    def __init__(self) -> None:
        self.standin_shapes: dict[str, list[list[int]]] = {}

    def set_shape(self, input: str, min: tuple[int, ...], opt: tuple[int, ...], max: tuple[int, ...]) -> None:
        if not all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True)):
            raise ValueError("the shapes do not grow")
        self.standin_shapes[input] = [list(min), list(opt), list(max)]


class ITimingCache(Strict):
    """What was measured: here a version and a count."""

    def __init__(self, content: bytes) -> None:
        self.standin_content = content

    def serialize(self) -> IHostMemory:
        return IHostMemory(self.standin_content)


class IBuilderConfig(Strict):
    """How to build. TF32 is on at first, as in TensorRT."""

    def __init__(self) -> None:
        self.standin_flags: set[Member] = {BuilderFlag.TF32}
        self.standin_pools: dict[str, int] = {}
        self.standin_profiles: list[IOptimizationProfile] = []
        self.standin_cache: ITimingCache | None = None

    def set_flag(self, flag: Member) -> None:
        self.standin_flags.add(flag)

    def clear_flag(self, flag: Member) -> None:
        self.standin_flags.discard(flag)

    def set_memory_pool_limit(self, pool: Member, pool_size: int) -> None:
        self.standin_pools[pool.name] = pool_size

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self.standin_profiles.append(profile)
        return len(self.standin_profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
        return ITimingCache(bytes(serialized_timing_cache))

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        fits = not cache.standin_content or cache.standin_content.startswith(__version__.encode())
        if fits or ignore_mismatch:
            self.standin_cache = cache
        return fits or ignore_mismatch


class Builder(Strict):
    """Makes engines that hold their graph."""

    def __init__(self, logger: ILogger) -> None:
        self.standin_logger = logger_of(logger)

    @property
    def num_DLA_cores(self) -> int:
        return int(os.environ.get("STANDIN_DLA_CORES", "0"))

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        assert MAJOR > 8 or flags & 1, "TensorRT 8 parses ONNX into networks with an explicit batch only"
        return INetworkDefinition(typed=MAJOR >= 11 or (MAJOR == 10 and bool(flags & 2)))

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> IHostMemory | None:
        logger = self.standin_logger
        logger.log(ILogger.VERBOSE, "Graph optimization")
        if os.environ.get("STANDIN_FAIL") == "crash":
            os._exit(139)
        fault = "out of memory" if os.environ.get("STANDIN_FAIL") == "build" else build_fault(network, config)
        monitor = getattr(config, "progress_monitor", None)
        if monitor is not None:
            tell(monitor)
        if fault:
            logger.log(ILogger.ERROR, f"{fault}\n(in the stand-in)")
            return None
        cache = config.standin_cache
        assert cache is not None and network.standin_model is not None
        count = int(cache.standin_content.split()[-1]) if cache.standin_content else 0
        cache.standin_content = f"{__version__} {count + 1}".encode()
        head = {
            "tensorrt": __version__,
            "flags": sorted(flag.name for flag in config.standin_flags),
            "typed": network.standin_typed,
            "pools": config.standin_pools,
            "level": getattr(config, "builder_optimization_level", None),
            "hardware": getattr(getattr(config, "hardware_compatibility_level", None), "name", "NONE"),
            "dla": getattr(config, "DLA_core", None),
            "profiles": [profile.standin_shapes for profile in config.standin_profiles],
            "progress": monitor is not None,
        }
        return IHostMemory(json.dumps(head).encode() + b"\n" + network.standin_model.SerializeToString())


def build_fault(network: INetworkDefinition, config: IBuilderConfig) -> str | None:
    """What TensorRT would say no to."""
    flags = {flag.name for flag in config.standin_flags}
    model = network.standin_model
    assert model is not None
    types = {tensor.data_type for tensor in model.graph.initializer}
    quantised = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    if network.standin_typed and flags & {"FP16", "INT8"}:
        return "precision flags cannot be set for a strongly typed network"
    if not network.standin_typed:
        if onnx.TensorProto.FLOAT16 in types and "FP16" not in flags:
            return "the network has half-precision tensors, but the fp16 flag is not set"
        if quantised and "INT8" not in flags:
            return "the network has quantization layers, but the int8 flag is not set"
    if not config.standin_profiles:
        return "Network has dynamic or shape inputs, but no optimization profile has been defined."
    if getattr(config, "default_device_type", None) is DeviceType.DLA:
        if MAJOR == 10 and network.standin_typed:
            return "a strongly typed network does not run on DLA"
        if "GPU_FALLBACK" not in flags:
            return "a layer cannot run on DLA, and GPU fallback is not allowed"
    return None


def tell(monitor: IProgressMonitor) -> None:
    """Two phases, one in the other."""
    assert hasattr(monitor, "standin_ready"), "a monitor is derived from IProgressMonitor and calls its __init__"
    monitor.phase_start("Building Engine", None, 2)  # type: ignore[arg-type]
    monitor.phase_start("Timing Runner", "Building Engine", 4)
    for step in range(4):
        assert monitor.step_complete("Timing Runner", step)
    monitor.phase_finish("Timing Runner")
    assert monitor.step_complete("Building Engine", 0)
    monitor.phase_finish("Building Engine")


__all__ = [name for name in globals() if name in NAMES]
