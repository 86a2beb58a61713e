"""What the process that builds is asked for, and what it tells on its way; plain JSON, a line each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ...bundle.manifest import Precision, Sha256
from .options import BuildOptions


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BuildRequest(_Message):
    """One engine to build.

    Attributes:
        graph: the ONNX file.
        graph_sha256: of its bytes; another file under that name is not built from.
        precision: of the graph; only TensorRT before 10 needs to be told.
        engine: where to write the engine.
        timing_in: a timing cache to start from, if the file is there.
        timing_out: where to write the timing cache afterwards.
    """

    graph: Path
    graph_sha256: Sha256
    precision: Precision
    options: BuildOptions
    engine: Path
    timing_in: Path
    timing_out: Path


class Progress(_Message):
    """How far the build is, as TensorRT counts; its steps differ much in length."""

    kind: Literal["progress"] = "progress"
    percent: int = Field(ge=0, le=100)
    phase: str


class Done(_Message):
    """The engine is written."""

    kind: Literal["done"] = "done"
    tensorrt: str


class Failed(_Message):
    """There will be no engine; the sentence says why."""

    kind: Literal["failed"] = "failed"
    message: str


Tale = Progress | Done | Failed
_TALE: TypeAdapter[Tale] = TypeAdapter(Annotated[Tale, Field(discriminator="kind")])


def parse_tale(line: str | bytes) -> Tale:
    """What a line of the building process says.

    Raises:
        ValueError: if it is none of the messages above.
    """
    return _TALE.validate_json(line)
