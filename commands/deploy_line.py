"""``temper deploy init``, ``cameras`` and ``status``: setting a line up, and seeing how it is."""

from __future__ import annotations

import json
from pathlib import Path

import click

CAMERA_KINDS = ("aravis", "stream", "v4l2", "folder")


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path("line.yml"))
@click.option(
    "--camera", type=click.Choice(CAMERA_KINDS), default="aravis", show_default=True, help="What it begins with."
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def init(file: Path, camera: str, force: bool) -> None:
    """Write a commented line configuration to start from."""
    from ..core.errors import UsageError
    from ..core.files import write_text
    from ..deploy.line.template import line_template

    if file.exists() and not force:
        raise UsageError(f"{file} is there already. Name another file, or replace it with --force.")
    write_text(file, line_template("line-1", camera, str(file)))
    click.echo(f"Wrote {file}. Name the line and its cameras in it, then: temper deploy run BUNDLE --config {file}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON array.")
def cameras(as_json: bool) -> None:
    """List the cameras that answer: GigE Vision, USB3 Vision, those of GenTL producers, and devices of Video4Linux.

    Producers are looked for where GENICAM_GENTL64_PATH says.
    """
    from dataclasses import asdict

    from ..deploy.cameras.discovery import find_cameras

    found = find_cameras()
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found.cameras], indent=2))
    else:
        for one in found.cameras:
            said = " ".join(word for word in (one.vendor, one.model, one.serial and f"serial {one.serial}") if word)
            click.echo(f"{one.id}  {said}  {one.protocol} {one.address}{'  in use' if one.in_use else ''}")
    for remark in found.remarks:
        click.echo(remark, err=True)
    if not found.cameras and not found.remarks and not as_json:
        click.echo("No camera answers.")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("results"))
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def status(folder: Path, as_json: bool) -> None:
    """Tell how the service is that works in FOLDER, the results.folder of its line.

    The exit code is 1 if it is not at work, or a part of it is not.
    """
    from ..core.errors import TemperError
    from ..deploy.line.status import service_status

    told = service_status(folder)
    click.echo(json.dumps(told.to_dict(), indent=2) if as_json else "\n".join(told.lines()))
    if not told.well:
        raise TemperError(told.reason)


#: Options of 'deploy run' that a line's configuration says instead.
_OF_SOURCES = ("source", "recursive", "out", "variant", "runtime", "threads", "pictures", "limit", "as_json")


def run_configured(
    context: click.Context,
    bundle: Path | None,
    config: Path,
    overrides: tuple[str, ...],
    hold: bool,
    public_key: Path | None,
) -> None:
    """``temper deploy run --config``: a line as a service."""
    from ..core.errors import TemperError, UsageError
    from ..deploy.line.service import run_line
    from ..deploy.line.start import prepare_line
    from ..deploy.stop import stop_on_signals
    from ..deploy.supervision.log import log_to_stderr

    given = [
        name for name in _OF_SOURCES if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        option = {"as_json": "json"}.get(given[0], given[0])
        raise UsageError(f"--{option} does not go with --config: line.yml says it.")
    log_to_stderr()
    with stop_on_signals() as stop:
        prepared = prepare_line(config, overrides, bundle, public_key, stop if hold else None)
        if prepared is None:
            return
        if not run_line(prepared.config, prepared.bundle, prepared.public_key, stop) and not stop.is_set():
            raise TemperError("The line has ended, and not well; the messages above say why.")
