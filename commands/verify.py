"""``temper verify``: is what was exported what was trained?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..core.models import MODELS
from .options import RUNTIME_NAMES, Choice, events_option, runs_option

if TYPE_CHECKING:
    from ..export.proof import Proof


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--model",
    "models",
    multiple=True,
    type=Choice(MODELS),
    help="Which; several times for several.  [default: all that are exported]",
)
@click.option(
    "--variant", "variants", multiple=True, help="Precision or name; several times for several.  [default: all]"
)
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    help=f"{', '.join(RUNTIME_NAMES)}; several times for several.  [default: all here that build nothing first]",
)
@click.option("--images", type=click.IntRange(1), help="Compare this many validation pictures.  [default: 200]")
@runs_option
@events_option
def verify(
    run: Path,
    models: tuple[str, ...],
    variants: tuple[str, ...],
    runtimes: tuple[str, ...],
    images: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Hold the exported graphs of RUN against its trained models in Paddle, on the runtimes of this machine.

    On validation pictures: the network's numbers, the detections one by one, mAP, and batches of 8. What is beyond the
    tolerance of its precision fails, and the first layer that differs is named. The figures go to
    RUN/verify/MODEL.json, and detections without a partner are drawn in MODEL.html.

    RUN is a run's folder, or its name below --runs.
    """
    from ..core.errors import TemperError
    from ..flow.progress import choose_style, progress, write_json_event
    from ..flow.status import find_run
    from ..flow.verify import DEFAULT_IMAGES, models_with_bundles, verify_model

    folder = find_run(run, runs)
    failed, titles = 0, []
    chosen = models_with_bundles(folder, models)
    for model in () if models or as_json else (one for one in MODELS if one not in chosen):
        click.echo(f"{model} not exported, so not verified")
    for model in chosen:
        with progress(choose_style(as_json)) as reporter:

            def tell(proof: Proof, model: str = model) -> None:
                if as_json:
                    write_json_event("proof", model=model, **proof.to_dict())
                else:
                    click.echo(f"{model} {summary_line(proof)}")

            done = verify_model(
                folder,
                model,
                reporter,
                tell,
                variants=variants,
                runtimes=runtimes,
                images=images or DEFAULT_IMAGES,
            )
        failed += not done.passed
        titles += [f"{model} {proof.title}" for proof in done.proofs if proof.faults]
        page = None if done.page is None else str(done.page)
        if as_json:
            write_json_event("verified", model=model, passed=done.passed, record=str(done.record), page=page)
        else:
            drawn = "" if page is None else f"; what has no partner is drawn in {page}"
            click.echo(f"Written: {done.record}{drawn}")
    if failed:
        raise TemperError(f"{folder} was not exported as it was trained: {', '.join(titles)} failed, as said above.")


def summary_line(proof: Proof) -> str:
    """What one proof came to, in a line."""
    if proof.faults:
        where = "" if proof.suspect is None else f". {proof.suspect.sentence}"
        return f"{proof.title}  failed: {'; '.join(proof.faults)}{where}"
    found = proof.agreement
    words = [f"{found.pictures} pictures"]
    if proof.raw:
        words.append(f"numbers within {max(one.relative_error for one in proof.raw.values()):.1e}")
    words.append(f"{found.matched_share:.1%} of the detections matched")
    if found.matched:
        words.append(f"scores off by {found.matched_scores.largest:.1e}, boxes by {found.boxes_px.largest:.1e} px")
    if proof.map_graph is not None and proof.map_paddle is not None:
        words.append(f"mAP {proof.map_graph:.2f}, Paddle's {proof.map_paddle:.2f}")
    tried = proof.batch.different is not None
    words.append(f"batch of {proof.batch.size} {'the same' if tried else 'not tried'}")
    return f"{proof.title}  ok: {', '.join(words)}"
