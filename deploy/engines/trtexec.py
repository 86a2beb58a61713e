"""Building an engine with ``trtexec``, NVIDIA's own program, where the Python bindings are not installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from ...bundle.manifest import InputRule, Precision
from ...core.errors import TemperError, UsageError
from .options import BuildOptions, Profile
from .request import BuildRequest
from .versions import ONLY_STRONG_TYPES, STRONG_TYPES, Version, require_supported

#: Where TensorRT's packages put it; it is in no PATH there.
PLACES = (Path("/usr/src/tensorrt/bin/trtexec"), Path("/opt/tensorrt/bin/trtexec"))
_ANSWER_SECONDS = 120
_REACH = {"same_compute_capability": "sameComputeCapability", "ampere_plus": "ampere+"}
_SINCE_SAME_CAPABILITY = (10, 9)
_INPUT = "image"


def find_trtexec() -> Path | None:
    """The program, from PATH or where TensorRT's packages put it."""
    found = shutil.which("trtexec")
    return Path(found) if found else next((path for path in PLACES if path.is_file()), None)


def trtexec_version(program: Path) -> Version:
    """Its TensorRT's version, three numbers, from the line it begins with.

    Raises:
        TemperError: if it does not run or says none.
    """
    try:
        done = subprocess.run([str(program), "--help"], capture_output=True, text=True, timeout=_ANSWER_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise TemperError(f"{program} does not run: {error}.") from error
    found = re.search(r"\[TensorRT v(\d+)\]", done.stdout + done.stderr)
    if not found:
        raise TemperError(f"{program} does not say which TensorRT it is of. Is TensorRT installed whole?")
    return number_version(int(found.group(1)))


def number_version(number: int) -> Version:
    """TensorRT's version from its number in C: 8601 is 8.6.1, 100300 is 10.3.0."""
    if number < 10_000:
        return number // 1000, number // 100 % 10, number % 100
    return number // 10_000, number // 100 % 100, number % 100


def trtexec_command(program: Path, version: Version, request: BuildRequest, rule: InputRule) -> list[str]:
    """The words that build one engine and run nothing.

    Args:
        program: ``trtexec``.
        version: of its TensorRT.
        request: what to build; the timing cache is read and written at ``timing_out``.
        rule: the bundle's input, which tells grey from RGB.

    Raises:
        UsageError: if this version's program cannot do what is asked for.
        TemperError: if the version is too old.
    """
    require_supported(version)
    options = request.options
    words = [
        str(program),
        f"--onnx={request.graph}",
        f"--saveEngine={request.engine}",
        f"--timingCacheFile={request.timing_out}",
        "--skipInference",
        *_shape_words(version, options.profiles, () if rule.channels == "grey" else (3,)),
        *_precision_words(version, options, request.precision),
    ]
    if options.workspace_mib is not None:
        words.append(f"--memPoolSize=workspace:{options.workspace_mib}")
    if options.optimization_level is not None:
        words.append(f"--builderOptimizationLevel={options.optimization_level}")
    if not options.tf32:
        words.append("--noTF32")
    if options.version_compatible:
        words.append("--versionCompatible")
    if options.hardware_compatibility != "none":
        if options.hardware_compatibility == "same_compute_capability" and version < _SINCE_SAME_CAPABILITY:
            raise UsageError(
                f"trtexec of TensorRT {version[0]}.{version[1]} cannot build for every GPU of one compute capability; "
                "it can for ampere_plus, or for this GPU alone."
            )
        words.append(f"--hardwareCompatibilityLevel={_REACH[options.hardware_compatibility]}")
    if options.dla_core is not None:
        words += [f"--useDLACore={options.dla_core}", "--allowGPUFallback"]
    return words


def _shape_words(version: Version, profiles: tuple[Profile, ...], rest: tuple[int, ...]) -> list[str]:
    if len(profiles) > 1 and version < STRONG_TYPES:
        raise UsageError(
            f"trtexec of TensorRT {version[0]}.{version[1]} builds one profile, and {len(profiles)} are asked for. "
            "Give one --batch and one --size, or install TensorRT's Python bindings."
        )
    words = []
    for index, profile in enumerate(profiles):
        if len(profiles) > 1:
            words.append(f"--profile={index}")
        spans = (profile.batch, profile.height, profile.width)
        for option, corner in (("--minShapes", 0), ("--optShapes", 1), ("--maxShapes", 2)):
            shape = [span.corners[corner] for span in spans] + list(rest)
            words.append(f"{option}={_INPUT}:{'x'.join(map(str, shape))}")
    return words


def _precision_words(version: Version, options: BuildOptions, precision: Precision) -> list[str]:
    """Nothing from TensorRT 11 on; strong types in 10; in 8.6, and with a DLA, what the graph says is allowed."""
    if version >= ONLY_STRONG_TYPES:
        return []
    if version >= STRONG_TYPES and options.dla_core is None:
        return ["--stronglyTyped"]
    return {"fp32": [], "fp16": ["--fp16"], "int8": ["--int8"]}[precision]
