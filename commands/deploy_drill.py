"""``temper deploy drill``: a line is broken on purpose, and everything is counted."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .options import public_key_option

SCENARIOS = ("camera", "broker", "plant", "kill", "disk", "clock", "frames", "overload", "soak")


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--scenario", "names", multiple=True, type=click.Choice(SCENARIOS), help="Which; all but soak, one after the other."
)
@click.option(
    "--times",
    type=click.IntRange(min=1),
    help="How often something is broken; files for frames, minutes for overload and soak.",
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("drill"), show_default=True, help="A new folder.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of what chance decides.")
@public_key_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a scenario.")
def drill(
    bundle: Path,
    names: tuple[str, ...],
    times: int | None,
    out: Path,
    seed: int,
    public_key: Path | None,
    as_json: bool,
) -> None:
    """Try BUNDLE's line on this machine: kill its camera, its broker and itself, and overload it.

    A GigE Vision camera that counts what it sends, a broker and a subscriber run beside it, on loopback. Afterwards
    each frame that was sent must have a verdict or lie in a gap that was told, and each event must have been heard
    once, in order. The exit code is 1 if anything is not so.
    """
    import random

    from ..bundle.loader import open_bundle
    from ..core.errors import TemperError, UsageError
    from ..core.events import Event
    from ..deploy.drill.result import Drill, figures_text
    from ..deploy.drill.run import TIMES, run_scenario

    if out.exists():
        raise UsageError(f"{out} is there already. Choose another --out.")
    with open_bundle(bundle, public_key):
        pass
    key = None if public_key is None else public_key.absolute()

    def tell(event: Event) -> None:
        if not as_json:
            click.echo(f"{event.stage}: {event.data['done']} of {event.data['total']}", err=True)

    failed = []
    for name in names or SCENARIOS[:-1]:
        rng = random.Random(seed)
        work = Drill(out / name, bundle.absolute(), times or TIMES[name], tell, rng, public_key=key)
        result = run_scenario(name, work)
        if as_json:
            click.echo(json.dumps(result.to_dict()))
        else:
            click.echo(
                f"{name}: {'passed' if result.passed else 'FAILED'} ({result.times} times, {result.seconds:.0f} s)"
            )
            for what, value in figures_text(result).items():
                click.echo(f"  {what}: {value}")
            for problem in [*result.problems, *result.audit.problems]:
                click.echo(f"  ! {problem}")
        failed += [] if result.passed else [name]
    if failed:
        raise TemperError(f"Not passed: {', '.join(failed)}. Logs and results are in {out}.")
