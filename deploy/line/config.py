"""``line.yml``: one file that says everything about a line. Checked whole before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from ...core.errors import UsageError
from ...core.settings.fields import FieldPath
from ...core.settings.file import SettingsSource
from ...core.settings.section import Section, each_once
from .config_cameras import CameraSection, GenicamCamera, Name, StreamCamera
from .config_outward import MetricsSection, MqttSection, PlantSection, WebhookSection
from .config_strip import ChecksSection, JudgingSection, StripSection, TilesSection

Positive = Annotated[float, Field(gt=0, le=1e9)]
#: The fields that name files or addresses: ``~`` and ``${VAR}`` in them are replaced.
PATH_FIELDS: tuple[FieldPath, ...] = (
    ("bundle",),
    ("public_key",),
    ("results", "folder"),
    ("mqtt", "ca"),
    ("mqtt", "certificate"),
    ("mqtt", "key"),
    ("mqtt", "password_file"),
    ("webhook", "secret_file"),
    ("plant", "password_file"),
    ("webhook", "url"),
    ("plant", "url"),
)
#: Likewise of each camera.
CAMERA_FIELDS = ("url", "path", "producer", "device")


class EngineSection(Section):
    """What runs the graph."""

    variant: str | None = Field(None, description="which graph: a precision or a name; fp32 if there is one")
    runtime: str = Field("onnxruntime", description="what runs it; 'temper doctor' lists what is there")
    threads: int | None = Field(None, ge=1, le=512, description="of the runtime; it chooses")
    batch: int | None = Field(
        None, ge=1, le=1024, description="most pictures in one call; measured at the start where it is empty"
    )


class OverloadSection(Section):
    """What happens to frames that come faster than they can be inspected."""

    policy: Literal["drop-oldest", "drop-newest", "block"] = Field(
        "drop-oldest", description="which frame is given up where the queue is full; block lets the source wait"
    )
    queue: int = Field(16, ge=1, le=10_000, description="frames that may wait for the engine")
    deadline_ms: Positive | None = Field(
        None, description="from exposure to verdict; a frame that takes longer is not inspected: late"
    )


class KeepSection(Section):
    """How much is kept, and for how long."""

    gigabytes: Positive = Field(20.0, description="of pictures; the oldest go first")
    days: Positive = Field(30.0, description="of pictures")
    verdict_days: Positive = Field(365.0, description="of verdicts, defects, gaps and coils in the local store")
    free_gigabytes: float = Field(
        1.0, ge=0, le=1e6, description="that stay free on the disk: below it no picture is written, verdicts still are"
    )


class ResultsSection(Section):
    """Where results go."""

    folder: str = Field("results", description="holds results.sqlite and the pictures")
    pictures: Literal["all", "defects", "none"] = Field("defects", description="which thumbnails are written")
    full_frames: Literal["all", "defects", "none"] = Field(
        "none", description="of which frames the picture is kept as the camera gave it"
    )
    keep: KeepSection = KeepSection()


class SupervisionSection(Section):
    """When a part of the service counts as dead, and what it may use."""

    hang_seconds: float = Field(10.0, ge=1, le=3600, description="without a sign of life, then a part is started anew")
    start_seconds: float = Field(120.0, ge=1, le=3600, description="that a part may take until it is ready")
    stop_seconds: float = Field(20.0, ge=1, le=3600, description="that a part may take to finish what it has")
    restarts: int = Field(10, ge=1, le=1000, description="within restart_window_seconds, then only slowly")
    restart_window_seconds: float = Field(600.0, ge=10, le=86_400, description="in which restarts are counted")
    memory_megabytes: Positive | None = Field(
        None, description="of one part; above it the part is started anew in good order"
    )


class LineConfig(Section):
    """A line: its cameras, how their pictures are judged, and where verdicts go."""

    line: Name = Field(description="name of the line, in topics, metrics and the database")
    bundle: str | None = Field(None, description="the bundle, where none is given on the command line")
    public_key: str | None = Field(None, description="a signature by this key is required of the bundle")
    cameras: tuple[CameraSection, ...] = Field(min_length=1, max_length=64)
    strip: StripSection = StripSection()
    tiles: TilesSection = TilesSection()
    checks: ChecksSection = ChecksSection()
    judging: JudgingSection = JudgingSection()
    engine: EngineSection = EngineSection()
    overload: OverloadSection = OverloadSection()
    results: ResultsSection = ResultsSection()
    mqtt: MqttSection | None = None
    webhook: WebhookSection | None = None
    plant: PlantSection | None = None
    metrics: MetricsSection | None = MetricsSection()
    supervision: SupervisionSection = SupervisionSection()

    @field_validator("cameras")
    @classmethod
    def _names_differ(cls, cameras: tuple[CameraSection, ...]) -> tuple[CameraSection, ...]:
        each_once(tuple(camera.name for camera in cameras))
        return cameras

    @model_validator(mode="after")
    def _fits_together(self) -> LineConfig:
        without = [camera.name for camera in self.cameras if not camera.has_scale]
        if without and self.judging.needs_scale:
            raise ValueError("judging has sizes in mm, so each camera needs mm_per_pixel")
        if without and self.strip.by != "nothing":
            raise ValueError(f"strip.by follows defects in mm, so the camera {without[0]} needs mm_per_pixel")
        for camera in self.cameras:
            slowest = max(camera.open_seconds, camera.read_seconds) if isinstance(camera, StreamCamera) else 0.0
            if slowest >= self.supervision.hang_seconds:
                raise ValueError(
                    f"the camera {camera.name} may take {slowest:g} s to answer, and supervision.hang_seconds "
                    f"({self.supervision.hang_seconds:g}) must be longer"
                )
        if self.strip.by == "nothing" and any(camera.line_scan for camera in self.cameras):
            raise ValueError("a line scan camera needs strip.by, so that its lines have a position")
        if self.strip.by == "frame" and any(camera.line_scan for camera in self.cameras):
            raise ValueError(
                "a line scan camera's frames are cut of its lines, so 'by: frame' does not place them: set "
                "'by: encoder' and metres_per_count, the strip's way in a line"
            )
        if self.strip.by == "encoder":
            for camera in self.cameras:
                counts = isinstance(camera, GenicamCamera) and self.strip.camera_counts
                if camera.line_scan is None and not counts:
                    raise ValueError(
                        f"the camera {camera.name} counts no encoder: 'by: encoder' needs line_scan, or a GenICam "
                        "camera and strip.encoder_feature or encoder_chunk"
                    )
        return self


def read_line(path: Path, overrides: Sequence[str] = (), environment: dict[str, str] | None = None) -> LineConfig:
    """Read and check a line's configuration; nothing is opened.

    Args:
        path: a YAML file.
        overrides: changes such as ``overload.queue=8``; later ones win.
        environment: what ``${VAR}`` stands for; the process's environment if None.

    Raises:
        UsageError: naming every mistake, one a line: the field, its line, its value, and what is accepted.
    """
    source = _source(path, overrides)
    source.fill_empty_sections(LineConfig)
    listed = source.values.get("cameras")
    cameras = range(len(listed)) if isinstance(listed, list) else ()
    fields = [*PATH_FIELDS, *(("cameras", str(place), name) for place in cameras for name in CAMERA_FIELDS)]
    mistakes = source.expand_paths(fields, dict(os.environ) if environment is None else environment)
    return source.checked(LineConfig, mistakes)


def read_metrics(path: Path, overrides: Sequence[str] = ()) -> MetricsSection | None:
    """Where a line would serve its health, whatever is wrong with the rest of its configuration.

    Returns:
        It; None where that is switched off, or cannot be known: the file is none, or this is what is wrong.
    """
    try:
        source = _source(path, overrides)
        section = source.values.get("metrics", {})
        return None if section is None else MetricsSection.model_validate(section)
    except (UsageError, ValidationError):
        return None


def _source(path: Path, overrides: Sequence[str]) -> SettingsSource:
    source = SettingsSource.read(path, "line configuration", " 'temper deploy init' writes one to start from.")
    for text in overrides:
        source.override(text, "overload.queue=8")
    return source
