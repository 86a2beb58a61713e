"""Writes docs/reference/line.md from the models of line.yml: ``python scripts/line_reference.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from temper.core.settings.fields import accepted_values
from temper.deploy.line import config, config_cameras, config_outward, config_strip

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "line.md"
_HEAD = """\
# line.yml

What `temper deploy run BUNDLE --config line.yml` reads. `temper deploy init` writes one to start from, and
[how to run a line](../how-to/run-a-line.md) explains it. Every field is checked before anything is opened; a mistake
is told with its line, its value and what would be right. `--set FIELD=VALUE` changes a field from the command line.
`~`, `${VARIABLE}` and `${VARIABLE:-otherwise}` are replaced in the fields that name files, devices and addresses; so
no password has to stand in the file.

This page is made by `scripts/line_reference.py`.
"""
_GAPS = """\
## Gaps

What has no field: every time without a camera is a row in the table `gap` of `results.sqlite`, from the moment at
which it is noticed.

| a gap begins | with | and is noticed |
| --- | --- | --- |
| a camera is lost, or silent for `silence_seconds` | its last frame | then |
| the line is started | the camera's last frame of an earlier run, or the start where there was none | at the start |

It ends with the camera's next frame; only then is it known how many frames and metres it took. Until then `until`
is empty, also where the line is stopped or killed meanwhile: the run that has the camera back ends the same row, so
one stretch of time is one gap, with the cause that began it. The gap of a camera that is not in `line.yml` any more
ends with the next start. A coil's report has a gap that lasts, and a warning; receivers are told [once when it
begins and once when it has ended](messages.md#gaps). While a line is held in its safe state (`--hold`), `metrics`
answers `/health` with what is wrong.
"""
_CAMERAS = (
    config_cameras.AravisCamera,
    config_cameras.GentlCamera,
    config_cameras.StreamCamera,
    config_cameras.V4l2Camera,
    config_cameras.FolderCamera,
)
_SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("strip", config_strip.StripSection),
    ("tiles", config_strip.TilesSection),
    ("checks", config_strip.ChecksSection),
    ("judging", config_strip.JudgingSection),
    ("judging.ignore (each)", config_strip.ZoneSection),
    ("judging.severity.CLASS", config_strip.SizesSection),
    ("engine", config.EngineSection),
    ("overload", config.OverloadSection),
    ("results", config.ResultsSection),
    ("results.keep", config.KeepSection),
    ("mqtt", config_outward.MqttSection),
    ("webhook", config_outward.WebhookSection),
    ("plant", config_outward.PlantSection),
    ("metrics", config_outward.MetricsSection),
    ("supervision", config.SupervisionSection),
)


def page() -> str:
    """The page's text."""
    parts = [_HEAD, _section("The file itself", config.LineConfig)]
    common = set(config_cameras.AravisCamera.model_fields) & set(config_cameras.FolderCamera.model_fields) - {"type"}
    shared = ", ".join(f"`{name}`" for name in config_cameras.FolderCamera.model_fields if name in common)
    parts.append(f"## cameras (each)\n\nEvery camera has {shared}; the rest depends on its `type`.\n")
    parts.append(_table(config_cameras.FolderCamera, common))
    for model in _CAMERAS:
        kind = model.model_fields["type"].annotation.__args__[0]  # type: ignore[union-attr]
        parts.append(f"### type: {kind}\n\n{(model.__doc__ or '').strip()}\n")
        parts.append(_table(model, set(model.model_fields) - common - {"type"}))
    parts.append(_section("cameras (each): line_scan", config_cameras.LineScanSection))
    parts += [_section(name, model) for name, model in _SECTIONS]
    parts.append(_GAPS)
    return "\n".join(parts)


def _section(name: str, model: type[BaseModel]) -> str:
    return f"## {name}\n\n{(model.__doc__ or '').strip()}\n\n{_table(model, set(model.model_fields))}"


def _table(model: type[BaseModel], names: set[str]) -> str:
    rows = ["| field | takes | default | |", "| --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        if name not in names or (field.description is None and name not in ("cameras",) and _is_section(field.default)):
            continue
        takes = accepted_values(model, (name,)).replace("|", "\\|")
        if name == "features":
            takes = "a section of names with a number, a text, true or false each"
        if name in ("smallest_mm_by_class", "severity"):
            takes = "a section of classes"
        if name == "cameras":
            takes = "a list of cameras, see below"
        rows.append(f"| `{name}` | {takes} | {_default(field)} | {field.description or ''} |")
    return "\n".join(rows) + "\n"


def _is_section(value: Any) -> bool:
    return isinstance(value, BaseModel) or value is None


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "" if field.default_factory is None else "none"
    value = field.default
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "none" if value == () else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
