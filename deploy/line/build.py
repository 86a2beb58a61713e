"""A line's parts, made from its configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from ...core.errors import UsageError, nearest
from ...detection.images import Channels
from ..cameras.base import Camera
from ..cameras.checks import CheckSettings, PictureChecks
from ..cameras.folder_files import FolderFiles
from ..cameras.folder_lines import FolderBlocks, FolderLines
from ..cameras.genicam import GenicamSettings
from ..cameras.kept import Backoff, KeptCamera
from ..cameras.line_scan import LineCount, LineScanCamera
from ..cameras.track import ByEncoder, ByFrame, ByLine, BySpeed, Track
from ..detector import BundleDetector
from ..frames import LastSeen
from ..results.store import Store
from ..strip.across import AcrossFrames
from ..strip.judging import Judging, SeverityRule, Zone
from ..strip.repeats import Repeats
from ..strip.scale import Scale
from .config import LineConfig
from .config_cameras import (
    AravisCamera,
    CameraSection,
    FolderCamera,
    GenicamCamera,
    GentlCamera,
    StreamCamera,
    V4l2Camera,
)
from .config_strip import SizesSection, StripSection
from .judge import Judge


def require_fitting(config: LineConfig, labels: list[str]) -> None:
    """Hold a configuration against the bundle that it is used with.

    Raises:
        UsageError: if it names a class that the bundle does not have, or a camera that the line does not have.
    """
    named: dict[str, Iterable[str]] = {
        "judging.smallest_mm_by_class": config.judging.smallest_mm_by_class,
        "judging.severity": config.judging.severity,
    }
    for field, classes in named.items():
        for label in classes:
            if label not in labels:
                raise UsageError(
                    f"{field} names a class '{label}' that the bundle does not have.{nearest(label, labels)}"
                )
    cameras = [camera.name for camera in config.cameras]
    for zone in config.judging.ignore:
        if zone.camera is not None and zone.camera not in cameras:
            raise UsageError(
                f"judging.ignore names a camera '{zone.camera}' that the line does not have."
                f"{nearest(zone.camera, cameras)}"
            )


def make_files(config: LineConfig, store: Store) -> dict[str, FolderFiles]:
    """What is known of the files of each camera that is a folder.

    Raises:
        TemperError: if the store cannot be read.
    """
    return {
        section.name: FolderFiles(
            Path(section.path),
            section.afterwards,
            store.inspected(section.name),
            partial(store.forget_files, section.name),
        )
        for section in config.cameras
        if isinstance(section, FolderCamera)
    }


def make_cameras(
    config: LineConfig, channels: Channels, last_seen: Mapping[str, LastSeen], files: Mapping[str, FolderFiles]
) -> list[KeptCamera]:
    """The line's cameras; none is opened yet.

    Args:
        config: of the line.
        channels: what the bundle takes.
        last_seen: of an earlier run, for each camera that had a frame stored.
        files: of each camera that is a folder.
    """
    shared = _shared_track(config.strip)
    checks = CheckSettings(**config.checks.model_dump())
    return [
        KeptCamera(
            section.name,
            _factory(section, channels, files.get(section.name), config.strip),
            checks=PictureChecks(checks),
            track=_own_track(section, config.strip) or shared,
            backoff=Backoff(most=section.reconnect_seconds),
            last_seen=last_seen.get(section.name),
            ahead_m=section.along_mm / 1000,
            silence_seconds=section.silence_seconds,
        )
        for section in config.cameras
    ]


def make_judge(config: LineConfig, detector: BundleDetector) -> Judge:
    """The line's rules, with the bundle's thresholds."""
    labels = list(detector.bundle.manifest.labels)
    judging = config.judging
    smallest = np.array([judging.smallest_mm_by_class.get(label, judging.smallest_mm) for label in labels], np.float64)
    zones = [
        Zone(zone.camera, zone.points)
        if zone.points is not None
        else Zone(None, tuple((edge, side) for edge, side in zip(zone.across_mm or (), (-np.inf, np.inf), strict=True)))
        for zone in judging.ignore
    ]
    severity = {
        labels.index(label): SeverityRule(**rule.model_dump()) if isinstance(rule, SizesSection) else rule
        for label, rule in judging.severity.items()
    }
    scales = {
        section.name: Scale(*section.scale, across_mm=section.across_mm)
        for section in config.cameras
        if section.scale is not None
    }
    along = [section.along_mm for section in config.cameras]
    follows = config.strip.by != "nothing"
    strip = config.strip
    return Judge(
        Judging(detector.thresholds, smallest, zones, severity, strip.merge_mm / 2 if follows else 0.0),
        scales,
        config.overload.deadline_ms,
        AcrossFrames(strip.merge_mm / 2, 1000 * strip.longest_m, max(along) - min(along)) if follows else None,
        Repeats(strip.repeats_from_m, strip.repeats_to_m, strip.repeats_tolerance_mm, strip.repeats_times)
        if follows
        else None,
        {section.name: section.side for section in config.cameras},
    )


def _shared_track(strip: StripSection) -> Track | None:
    """What tells the position of all cameras alike; an encoder's count is each camera's own."""
    if strip.by == "speed" and strip.metres_per_second is not None:
        return BySpeed(strip.metres_per_second)
    if strip.by == "frame" and strip.metres_per_frame is not None:
        return ByFrame(strip.metres_per_frame)
    return None


def _counts_lines(section: CameraSection, strip: StripSection) -> bool:
    """Whether a line scan camera's lines are counted here, as it tells no encoder's count."""
    return not (strip.camera_counts and isinstance(section, GenicamCamera))


def _own_track(section: CameraSection, strip: StripSection) -> Track | None:
    """What tells the position of one camera by its own count; None where all share one."""
    if strip.by != "encoder" or strip.metres_per_count is None:
        return None
    if section.line_scan is not None and _counts_lines(section, strip):
        return ByLine(strip.metres_per_count)
    return ByEncoder(strip.metres_per_count, strip.encoder_bits)


def _factory(
    section: CameraSection, channels: Channels, files: FolderFiles | None, strip: StripSection
) -> Callable[[], Camera]:
    """What opens a camera, and makes frames of its lines where it scans lines."""
    counted = LineCount()
    bits = None if _counts_lines(section, strip) else strip.encoder_bits

    def open_camera() -> Camera:
        camera = _open(section, channels, files, strip)
        lines = section.line_scan
        if lines is None:
            return camera
        if files is None:
            return LineScanCamera(camera, lines.height, lines.overlap, counted, bits)
        blocks = FolderBlocks(camera)
        return FolderLines(LineScanCamera(blocks, lines.height, lines.overlap, counted, bits), blocks, files)

    return open_camera


def _open(section: CameraSection, channels: Channels, files: FolderFiles | None, strip: StripSection) -> Camera:
    """Open a camera; its library is imported only now."""
    if isinstance(section, AravisCamera):
        from ..cameras.aravis import AravisCamera as Aravis

        wanted = _genicam(section, section.packet_bytes, strip)
        return Aravis(section.name, section.address or section.id, wanted, channels)
    if isinstance(section, GentlCamera):
        from ..cameras.gentl import GentlCamera as Gentl

        return Gentl(section.name, Path(section.producer), section.id, _genicam(section, None, strip), channels)
    if isinstance(section, StreamCamera):
        from ..cameras.stream import StreamCamera as Stream

        seconds = (section.open_seconds, section.read_seconds)
        return Stream(section.name, section.url, channels, section.transport, *seconds)
    if isinstance(section, V4l2Camera):
        from ..cameras.v4l2 import V4l2Camera as V4l2

        as_wanted = (section.size, section.frame_rate, section.pixel_format)
        return V4l2(section.name, section.device, channels, *as_wanted)
    from ..cameras.folder import FolderCamera as Folder

    times = (section.settle_seconds, section.give_up_seconds)
    return Folder(section.name, Path(section.path), channels, *times, files)


def _genicam(section: AravisCamera | GentlCamera, packet_bytes: int | None, strip: StripSection) -> GenicamSettings:
    return GenicamSettings(
        pixel_format=section.pixel_format,
        region=section.region,
        exposure_us=section.exposure_us,
        gain=section.gain,
        frame_rate=section.frame_rate,
        trigger=section.trigger,
        trigger_source=section.trigger_source,
        trigger_hz=section.trigger_hz,
        packet_bytes=packet_bytes,
        buffers=section.buffers,
        encoder_feature=strip.encoder_feature,
        encoder_chunk=strip.encoder_chunk,
        encoder_bits=strip.encoder_bits,
        features=section.features,
    )
