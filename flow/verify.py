"""A run's bundles held against its trained models in Paddle, and the record of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..bundle.loader import Bundle, open_bundle
from ..core.errors import TemperError
from ..core.events import Reporter
from ..core.files import write_json, write_text
from ..core.models import MODELS
from ..distill.recipe_file import recipe_from_plain
from .folder import RunFolder
from .requirements import require_packages
from .stages import bundle_path, data_split
from .status import recipe_of

if TYPE_CHECKING:
    from ..detection.dataset import DataSet
    from ..export.proof import Proof

#: Of the run's folder: what verifying leaves. Beside the stages, for a stage stands without it.
VERIFY_NAME = "verify"
SCHEMA_VERSION = 1
#: Validation pictures that are compared if nobody says otherwise.
DEFAULT_IMAGES = 200


@dataclass(frozen=True)
class ModelVerified:
    """What verifying one model came to.

    Attributes:
        model: teacher, student or distilled.
        proofs: one per graph and runtime.
        record: the JSON file with all figures.
        page: the HTML file with the unmatched detections; None if there are none.
    """

    model: str
    proofs: tuple[Proof, ...]
    record: Path
    page: Path | None

    @property
    def passed(self) -> bool:
        """Whether everything is within its tolerance."""
        return not any(proof.faults for proof in self.proofs)


def verify_model(
    path: Path,
    model: str,
    report: Reporter,
    tell: Callable[[Proof], None],
    *,
    variants: Sequence[str] = (),
    runtimes: Sequence[str] = (),
    images: int = DEFAULT_IMAGES,
) -> ModelVerified:
    """Verify the bundle of one of a run's models, and write the record into the run's folder.

    Args:
        path: the run's folder.
        model: teacher, student or distilled; its bundle is there.
        report: told of progress.
        tell: hears of every proof as it is known.
        variants: names or precisions; none given means all.
        runtimes: none given means all of this machine that build nothing first.
        images: validation pictures to compare, evenly spread.

    Raises:
        UsageError: if there is no such variant or runtime.
        MissingDependencyError: if Paddle or a runtime asked for is not on this machine.
        TemperError: if bundle, weights or data are not there, the weights are others than those of the bundle, or the
            data has other labels; or if another process is at work in the run.
    """
    require_packages([f"export-{model}"])
    from ..distill.training.job import WEIGHTS_NAME
    from ..export.unmatched import unmatched_page
    from ..export.verify import VerifyJob, verify_bundle

    run, recipe = RunFolder(path), recipe_of(path)
    data = data_split(recipe, run, "val")
    # a run at work would take what is written here for what a killed one left, and may replace the weights meanwhile
    with run.locked(), open_bundle(bundle_path(recipe, run, model)) as bundle:
        weights = run.stage(model) / WEIGHTS_NAME
        # as it was exported: the run's own recipe may have changed since
        exported = recipe_from_plain(bundle.manifest.made_by.recipe, f"the recipe in {bundle.path.name}")
        job = VerifyJob(bundle, exported.section_of(model), weights, data, images)
        done = []
        for proof, paddle in verify_bundle(job, report, variants=variants, runtimes=runtimes):
            done.append((proof, paddle))
            tell(proof)
        proofs = tuple(proof for proof, _ in done)
        record, page = (path / VERIFY_NAME / f"{model}.{ending}" for ending in ("json", "html"))
        write_json(record, _record(bundle, model, data, proofs))
        drawn = unmatched_page(f"{bundle.manifest.name}: detections without a partner", done, bundle.manifest.labels)
        if drawn is None:
            page.unlink(missing_ok=True)  # of an earlier time
        else:
            write_text(page, drawn)
    return ModelVerified(model, proofs, record, None if drawn is None else page)


def models_with_bundles(path: Path, wanted: Sequence[str]) -> list[str]:
    """The models of a run to verify.

    Args:
        path: the run's folder.
        wanted: those asked for; none means all that are exported.

    Raises:
        TemperError: if one asked for is not exported, or none is.
    """
    run, recipe = RunFolder(path), recipe_of(path)
    chosen = list(dict.fromkeys(wanted)) or [one for one in MODELS if bundle_path(recipe, run, one).exists()]
    lacking = [model for model in chosen if not bundle_path(recipe, run, model).exists()]
    if lacking or not chosen:
        raise TemperError(
            f"No {' and '.join(lacking) or 'model'} is exported in {path}. Export it with 'temper export onnx' or "
            "'temper run' first."
        )
    return chosen


def _record(bundle: Bundle, model: str, data: DataSet, proofs: Sequence[Proof]) -> dict[str, object]:
    from ..benchmarks.machine import machine_state, now

    manifest = bundle.manifest
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "measured",
        "temper": __version__,
        "verified_at": now(),
        "model": model,
        "passed": not any(proof.faults for proof in proofs),
        "bundle": {"name": manifest.name, "manifest_sha256": bundle.manifest_sha256},
        "weights_sha256": manifest.made_by.weights_sha256,
        "data": {"name": data.name, "sha256": data.content_hash(), "pictures": len(data)},
        "machine": asdict(machine_state(sample_seconds=0)),
        "proofs": [proof.to_dict() for proof in proofs],
    }
