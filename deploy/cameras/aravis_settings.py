"""Setting a camera through Aravis; what it does not have or does not take is told with what it would take."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ...core.errors import nearest
from .base import CameraMisconfigured, CameraUnavailable
from .genicam import FeatureValue, GenicamSettings, chunk_selector, nearest_feature
from .introspection import aravis


def apply_settings(device: Any, camera: Any, wanted: GenicamSettings, name: str) -> None:
    """Set a camera.

    Args:
        device: Aravis's device of ``camera``.
        camera: Aravis's camera, not acquiring.
        wanted: what is set.
        name: of the camera, for messages.

    Raises:
        CameraMisconfigured: if the camera has no such feature or does not take the value.
        CameraUnavailable: if it does not answer.
    """
    with _explained(name, "its trigger"):
        camera.clear_triggers()
    if wanted.pixel_format is not None:
        _set_pixel_format(camera, wanted.pixel_format, name)
    if wanted.region is not None:
        _set_region(camera, wanted.region, name)
    _set_number(
        camera, "exposure_us", wanted.exposure_us, camera.get_exposure_time_bounds, camera.set_exposure_time, name
    )
    _set_number(camera, "gain", wanted.gain, camera.get_gain_bounds, camera.set_gain, name)
    _set_number(camera, "frame_rate", wanted.frame_rate, camera.get_frame_rate_bounds, camera.set_frame_rate, name)
    if wanted.packet_bytes is not None:
        if not camera.is_gv_device():
            raise CameraMisconfigured(f"The camera {name} is no GigE Vision camera, so it takes no packet_bytes.")
        with _explained(name, f"packet_bytes {wanted.packet_bytes}"):
            camera.gv_set_packet_size(wanted.packet_bytes)
            got = int(camera.gv_get_packet_size())
        if got != wanted.packet_bytes:
            raise CameraMisconfigured(
                f"The camera {name} takes no packet_bytes {wanted.packet_bytes}; the nearest it takes is {got}."
            )
    _set_trigger(camera, wanted, name)
    for feature, value in wanted.features.items():
        _set_feature(device, feature, value, name)
    if wanted.encoder_chunk is not None:
        _send_with_frames(camera, wanted.encoder_chunk, name)


def _send_with_frames(camera: Any, chunk: str, name: str) -> None:
    """Have a value sent with each frame, as it was at the exposure."""
    with _explained(name, f"encoder_chunk {chunk}"):
        if not camera.are_chunks_available():
            raise CameraMisconfigured(
                f"The camera {name} sends no chunk data, so it has no encoder_chunk {chunk}; set encoder_feature "
                "instead."
            )
        camera.set_chunk_mode(True)
        camera.set_chunk_state(chunk_selector(chunk), True)


def _set_pixel_format(camera: Any, pixel_format: str, name: str) -> None:
    with _explained(name, "its pixel formats"):
        known = list(camera.dup_available_pixel_formats_as_strings())
    if pixel_format not in known:
        raise CameraMisconfigured(
            f"The camera {name} has no pixel format {pixel_format}.{nearest(pixel_format, known)}"
        )
    with _explained(name, f"pixel_format {pixel_format}"):
        camera.set_pixel_format_from_string(pixel_format)


def _set_region(camera: Any, region: tuple[int, int, int, int], name: str) -> None:
    x, y, width, height = region
    with _explained(name, "its size"):
        sensor = camera.get_sensor_size()
    if x < 0 or y < 0 or width < 1 or height < 1 or x + width > sensor.width or y + height > sensor.height:
        raise CameraMisconfigured(
            f"The camera {name} has {sensor.width} x {sensor.height} pixels; region {list(region)} (x, y, width, "
            "height) does not lie in them."
        )
    with _explained(name, f"region {list(region)}"):
        camera.set_region(x, y, width, height)
        got = camera.get_region()
    if (got.x, got.y, got.width, got.height) != region:
        raise CameraMisconfigured(
            f"The camera {name} takes no region {list(region)}; the nearest it takes is "
            f"{[got.x, got.y, got.width, got.height]}."
        )


def _set_number(
    camera: Any, field: str, value: float | None, bounds: Callable[[], Any], put: Callable[[float], None], name: str
) -> None:
    if value is None:
        return
    with _explained(name, f"{field} {value:g}"):
        low, high = (float(bound) for bound in tuple(bounds())[:2])
        if not low <= value <= high:
            raise CameraMisconfigured(f"The camera {name} takes {field} from {low:g} to {high:g}; {value:g} was given.")
        put(value)


def _set_trigger(camera: Any, wanted: GenicamSettings, name: str) -> None:
    if wanted.trigger == "free":
        return
    source = "Software" if wanted.trigger == "software" else wanted.trigger_source
    if source is None:
        raise CameraMisconfigured(
            f"The camera {name} has trigger {wanted.trigger}, and no trigger_source says which input."
        )
    with _explained(name, f"trigger_source {source}"):
        known = list(camera.dup_available_trigger_sources())
        if source not in known:
            raise CameraMisconfigured(f"The camera {name} has no trigger source {source}.{nearest(source, known)}")
        camera.set_trigger(source)


def _set_feature(device: Any, feature: str, value: FeatureValue, name: str) -> None:
    with _explained(name, f"{feature} {value}"):
        node = device.get_feature(feature)
        if node is None:
            raise CameraMisconfigured(
                f"The camera {name} has no feature {feature}.{nearest_feature(feature, _features(device))}"
            )
        Aravis, _ = aravis()
        kinds: list[tuple[Any, type | tuple[type, ...], Callable[[str, Any], None]]] = [
            (Aravis.GcBoolean, bool, device.set_boolean_feature_value),
            (Aravis.GcEnumeration, str, device.set_string_feature_value),
            (Aravis.GcFloat, (int, float), lambda n, v: device.set_float_feature_value(n, float(v))),
            (Aravis.GcInteger, int, device.set_integer_feature_value),
            (Aravis.GcString, str, device.set_string_feature_value),
        ]
        for kind, types, put in kinds:
            if isinstance(node, kind):
                if not isinstance(value, types) or (isinstance(value, bool) and kind is not Aravis.GcBoolean):
                    wanted = {"GcBoolean": "true or false", "GcFloat": "a number", "GcInteger": "a whole number"}
                    takes = wanted.get(kind.__name__, "a text")
                    raise CameraMisconfigured(f"The camera {name} takes {takes} for {feature}; it was given {value!r}.")
                put(feature, value)
                return
        raise CameraMisconfigured(f"The camera {name} has {feature}, but it is nothing that can be set.")


def _features(device: Any) -> list[str]:
    """The names of all features, by walking through the camera's categories."""
    genicam = device.get_genicam()
    names: list[str] = []
    waiting = ["Root"]
    while waiting:
        node = genicam.get_node(waiting.pop())
        children = list(node.get_features()) if node is not None and hasattr(node, "get_features") else []
        for child in children:
            inner = genicam.get_node(child)
            (waiting if inner is not None and hasattr(inner, "get_features") else names).append(child)
    return names


@contextlib.contextmanager
def _explained(name: str, what: str) -> Iterator[None]:
    """Aravis's errors as ours: a camera that does not answer may do so later, one that refuses will not."""
    _, GLib = aravis()
    try:
        yield
    except GLib.Error as error:
        said = " ".join(str(error.message).split())
        if any(word in said.lower() for word in ("timeout", "not connected", "transfer", "no answer")):
            raise CameraUnavailable(f"The camera {name} does not answer ({said}).") from error
        raise CameraMisconfigured(f"The camera {name} refuses {what}: {said}.") from error
