"""Engines beside a bundle: where they lie, the record that says what each was built for, and whether it still fits.

An engine is code for one GPU and one TensorRT, made from one graph. It lies beside the bundle, never in it::

    NAME.temper/                        the bundle
    NAME.engines/GPU/VARIANT.engine     what TensorRT built
    NAME.engines/GPU/VARIANT.json       its record, written last
    NAME.engines/GPU/VARIANT.log        what the builder said
    NAME.engines/GPU/timing-*.cache     what the builder measured, so that the next build is quicker

``GPU`` is the name of one GPU, or of all that may load the engine: ``sm87``, ``ampere-plus``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ...bundle.loader import Bundle
from ...bundle.manifest import BUNDLE_SUFFIX, Precision, Sha256, Variant
from ...core.errors import TemperError
from .gpu import Gpu
from .options import BuildOptions, HardwareCompatibility
from .versions import Version, parse_version, same_version

RECORD_SCHEMA_VERSION: Literal[2] = 2
ENGINES_SUFFIX = ".engines"
_MOST_RECORD_BYTES = 1 << 20
_AMPERE = 8

Text = Annotated[str, StringConstraints(min_length=1, max_length=300)]


class EngineRecord(BaseModel):
    """What an engine was built from, on and for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[2] = RECORD_SCHEMA_VERSION
    variant: Text
    precision: Precision
    graph_sha256: Sha256
    engine_sha256: Sha256
    engine_bytes: int = Field(ge=1)
    gpu: Text
    compute_capability: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")]
    multiprocessors: int = Field(ge=1)
    gpu_memory_mib: int = Field(ge=1)
    tensorrt: Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)+$")]
    built_with: Literal["python", "trtexec"]
    options: BuildOptions
    built_at: Text
    build_seconds: float = Field(ge=0)
    temper: Text


@dataclass(frozen=True)
class EnginePlace:
    """Where the engine of one variant lies for one GPU, or for all that may load it."""

    folder: Path
    stem: str

    @property
    def engine(self) -> Path:
        """The engine itself."""
        return self.folder / f"{self.stem}.engine"

    @property
    def record(self) -> Path:
        """Its record."""
        return self.folder / f"{self.stem}.json"

    @property
    def log(self) -> Path:
        """What the builder said."""
        return self.folder / f"{self.stem}.log"

    def timing_cache(self, version: Version) -> Path:
        """What builders of this version measured on this GPU, of any variant."""
        return self.folder / f"timing-{'.'.join(map(str, version[:3]))}.cache"


def engines_folder(bundle: Path) -> Path:
    """The folder beside a bundle (a folder or a zip file) for its engines."""
    whole = bundle.resolve()
    name = whole.name.removesuffix(".zip").removesuffix(BUNDLE_SUFFIX)
    return whole.parent / f"{name}{ENGINES_SUFFIX}"


def engine_place(bundle: Bundle, variant: Variant, gpu: Gpu, reach: HardwareCompatibility = "none") -> EnginePlace:
    """Where the engine of a variant belongs that may be loaded as far as ``reach`` says."""
    folder = {
        "none": gpu.slug,
        "same_compute_capability": f"sm{gpu.compute_capability.replace('.', '')}",
        "ampere_plus": "ampere-plus",
    }[reach]
    return EnginePlace(engines_folder(bundle.path) / folder, variant.name)


def engine_places(bundle: Bundle, variant: Variant, gpu: Gpu) -> list[EnginePlace]:
    """Everywhere an engine of a variant may lie that this GPU can load."""
    return [engine_place(bundle, variant, gpu, reach) for reach in get_args(HardwareCompatibility)]


def read_record(place: EnginePlace) -> EngineRecord | None:
    """The record at a place; None if there is none, or it cannot be read or believed."""
    try:
        if place.record.stat().st_size > _MOST_RECORD_BYTES:
            return None
        return EngineRecord.model_validate_json(place.record.read_bytes())
    except (OSError, ValidationError):
        return None


def misfits(
    record: EngineRecord, variant: Variant, gpu: Gpu, version: Version, options: BuildOptions | None = None
) -> list[str]:
    """Why an engine must not be used here, a clause each; empty if it may.

    Args:
        record: the engine's.
        variant: the graph it must be of.
        gpu: what it must run on.
        version: of the TensorRT that must load it.
        options: what it must have been built for; None takes what the record says.
    """
    reasons = []
    if record.graph_sha256 != variant.sha256:
        reasons.append("it was built from another graph")
    if not _runs_on(record, gpu):
        reasons.append(f"it was built on {_built_on(record).title} and this is {gpu.title}")
    if not _loads_in(record, version):
        reasons.append(f"it was built with TensorRT {record.tensorrt} and this is {'.'.join(map(str, version))}")
    if options is not None and record.options != options:
        reasons.append("it was built with other options")
    return reasons


def read_engine(place: EnginePlace, record: EngineRecord) -> bytes:
    """The engine's bytes, once they are known to be those of its record.

    Raises:
        TemperError: if the file is missing or another than the record says.
    """
    try:
        content = place.engine.read_bytes() if place.engine.stat().st_size == record.engine_bytes else b""
    except OSError as error:
        raise TemperError(f"The engine {place.engine} cannot be read: {error.strerror}.") from error
    if hashlib.sha256(content).hexdigest() != record.engine_sha256:
        raise TemperError(f"The engine {place.engine} is not the file its record describes: it was damaged or changed.")
    return content


def _runs_on(record: EngineRecord, gpu: Gpu) -> bool:
    """Whether a GPU is like the one an engine was built on, or one that it was built to run on too.

    Memory is no part of that: what a driver says of it changes with its version.
    """
    if replace(_built_on(record), memory_mib=gpu.memory_mib) == gpu:
        return True
    if record.options.hardware_compatibility == "same_compute_capability":
        return record.compute_capability == gpu.compute_capability
    if record.options.hardware_compatibility == "ampere_plus":
        return all(
            int(capability.split(".")[0]) >= _AMPERE
            for capability in (record.compute_capability, gpu.compute_capability)
        )
    return False


def _built_on(record: EngineRecord) -> Gpu:
    return Gpu(record.gpu, record.compute_capability, record.multiprocessors, record.gpu_memory_mib)


def _loads_in(record: EngineRecord, version: Version) -> bool:
    """Whether a TensorRT is the one an engine was built with, or a later one that it was built for too."""
    built = parse_version(record.tensorrt)
    if same_version(built, version):
        return True
    return record.options.version_compatible and built[0] == version[0] and built[:3] <= version[:3]
