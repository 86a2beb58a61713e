"""What a line's configuration needs installed, looked for before the line is started."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from ...core.errors import MissingDependencyError, install_hint
from .config import LineConfig

#: Section of ``line.yml`` -> module, and the extra that brings it.
_SECTIONS = {
    "mqtt": ("paho", "plant"),
    "webhook": ("httpx", "plant"),
    "plant": ("psycopg", "plant"),
    "metrics": ("prometheus_client", "plant"),
}
#: The same by the type of a camera. Aravis is the system's, and told of when it is asked for.
_CAMERAS = {"stream": ("av", "cameras"), "v4l2": ("av", "cameras"), "gentl": ("harvesters", "cameras")}


def require_libraries(config: LineConfig) -> None:
    """Refuse a line for which something is not installed: its parts would only fail again and again.

    Raises:
        MissingDependencyError: naming what of the configuration needs it, and the command that installs it.
    """
    for asks, module, extra in _needs(config):
        if importlib.util.find_spec(module) is None:
            raise MissingDependencyError(
                f"{asks} of the line needs {module}, which is not installed. {install_hint(extra)} Or leave that out "
                "of the configuration."
            )


def _needs(config: LineConfig) -> Iterator[tuple[str, str, str]]:
    for section, (module, extra) in _SECTIONS.items():
        if getattr(config, section) is not None:
            yield f"The section '{section}'", module, extra
    for camera in config.cameras:
        if camera.type in _CAMERAS:
            yield f"The camera '{camera.name}'", *_CAMERAS[camera.type]
