"""``temper deploy init``, ``cameras`` and ``status``: setting a line up, and seeing how it is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from .deploy import deploy

CAMERA_KINDS = ("aravis", "stream", "v4l2", "folder")


@deploy.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path("line.yml"))
@click.option("--camera", type=click.Choice(CAMERA_KINDS), default="aravis", show_default=True, help="What it begins with.")
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


@deploy.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON array.")
def cameras(as_json: bool) -> None:
    """List the GigE Vision and USB3 Vision cameras that answer, and the devices of Video4Linux."""
    from dataclasses import asdict

    from ..core.errors import MissingDependencyError
    from ..deploy.cameras.aravis import find_cameras

    missing = None
    try:
        found = [asdict(one) for one in find_cameras()]
    except MissingDependencyError as error:
        found, missing = [], str(error)
    devices = sorted(str(path) for path in Path("/dev").glob("video*"))
    if as_json:
        click.echo(json.dumps([*found, *({"id": path, "protocol": "Video4Linux"} for path in devices)], indent=2))
        return
    for one in found:
        click.echo(f"{one['id']}  {one['vendor']} {one['model']}, serial {one['serial']}, {one['protocol']} {one['address']}")
    for path in devices:
        click.echo(f"{path}  Video4Linux")
    if missing is not None:
        click.echo(missing, err=True)
    elif not found and not devices:
        click.echo("No camera answers.")


@deploy.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("results"))
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def status(folder: Path, as_json: bool) -> None:
    """Tell how the service is that works in FOLDER, the results.folder of its line.

    The exit code is 1 if it is not at work, or a part of it is not.
    """
    from ..core.errors import TemperError
    from ..deploy.line.status import service_status

    told = service_status(folder)
    if as_json:
        click.echo(json.dumps(told.to_dict(), indent=2))
    else:
        for line in told.lines():
            click.echo(line)
    if not told.well:
        if as_json:
            sys.exit(1)
        raise TemperError(told.reason)
