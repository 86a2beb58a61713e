"""What takes part in a benchmark: one graph of one bundle on one runtime, with a batch size and threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..bundle.loader import Bundle, open_bundle
from ..bundle.manifest import Variant
from ..core.errors import TemperError, UsageError
from ..deploy.runtimes.load import runtime_kind
from ..detection.dataset import DataSet
from .subject import Subject

#: The runtime of a reference, and what stands where a graph's name stands.
PADDLE, REFERENCE = "paddle", "reference"


@dataclass(frozen=True)
class Candidate:
    """One thing to measure.

    Attributes:
        bundle: folder or zip.
        variant: name of the graph in the bundle.
        runtime: name in the runtimes' registry.
        batch: pictures per call.
        threads: of the runtime; None lets it choose.
        public_key: file of the keys that the bundle has to be signed with; None takes any bundle.
        weights: of the model in Paddle that the bundle was made of; None measures the graph.
    """

    bundle: Path
    variant: str
    runtime: str = "onnxruntime"
    batch: int = 1
    threads: int | None = None
    public_key: Path | None = None
    weights: Path | None = None


@dataclass(frozen=True)
class Entrant:
    """A candidate whose bundle has been opened and checked."""

    candidate: Candidate
    bundle: Bundle
    variant: Variant
    subject: Subject

    @property
    def file_bytes(self) -> int:
        """What it takes on the disk: its graph, or of a reference its weights."""
        weights = self.candidate.weights
        return self.variant.bytes if weights is None else weights.stat().st_size

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"{self.subject.model} {self.subject.variant} on {self.subject.runtime}"


def list_candidates(
    bundles: Sequence[Path],
    *,
    precisions: Sequence[str] = (),
    runtimes: Sequence[str] = ("onnxruntime",),
    batch_sizes: Sequence[int] = (1,),
    threads: int | None = None,
    public_key: Path | None = None,
) -> list[Candidate]:
    """Every combination of bundles, their variants, runtimes and batch sizes, but for variants made for other runtimes.

    Args:
        bundles: folders or zips.
        precisions: precisions or names of variants to take; none given means all that a bundle has.
        runtimes: names in the runtimes' registry.
        batch_sizes: pictures per call.
        threads: of the runtime; None lets it choose.
        public_key: file of the keys that the bundles have to be signed with; None takes any.

    Raises:
        UsageError: if there is no such runtime, or a bundle has nothing asked for that it runs.
        TemperError: if a bundle is missing or damaged, or lacks a variant asked for.
    """
    candidates: list[Candidate] = []
    for path in dict.fromkeys(bundles):
        bundle = open_bundle(path, public_key)
        for runtime in dict.fromkeys(runtimes):
            targets = runtime_kind(runtime).targets
            variants = [bundle.variant(p, targets) for p in precisions] or bundle.manifest.variants
            names = dict.fromkeys(variant.name for variant in variants if variant.target in targets)
            if not names:
                raise UsageError(
                    f"{runtime} runs variants made for {' or '.join(targets)}; of {path.name} there are only "
                    f"{', '.join(f'{variant.name} for {variant.target}' for variant in variants)}."
                )
            candidates += [
                Candidate(path, name, runtime, batch, threads, public_key)
                for name in names
                for batch in dict.fromkeys(batch_sizes)
            ]
    return candidates


def paddle_references(
    candidates: Sequence[Candidate], find: Callable[[Bundle], Path], threads: int | None = None
) -> list[Candidate]:
    """A reference in Paddle for every bundle and batch size among the candidates.

    Args:
        candidates: graphs to measure.
        find: gives the weights of a bundle.
        threads: of Paddle; None lets it choose.

    Raises:
        UsageError: if a bundle's weights are not found.
    """
    references = []
    for path in dict.fromkeys(candidate.bundle for candidate in candidates):
        own = [candidate for candidate in candidates if candidate.bundle == path]
        bundle = open_bundle(path, own[0].public_key)
        variants = bundle.manifest.variants
        like = next((one for one in variants if one.precision == "fp32"), variants[0])
        weights = find(bundle)
        references += [
            Candidate(path, like.name, PADDLE, batch, threads, own[0].public_key, weights)
            for batch in dict.fromkeys(candidate.batch for candidate in own)
        ]
    return references


def open_candidates(candidates: Sequence[Candidate], data: DataSet) -> list[Entrant]:
    """Open every candidate's bundle, each once, and check that it fits the data.

    Raises:
        TemperError: if there is nothing to measure, or labels or names do not fit.
    """
    if not candidates:
        raise UsageError("There is nothing to measure: no bundle was given.")
    if not len(data):
        raise TemperError(
            f"The data set {data.name or data.image_folder} has no pictures, so nothing can be measured on it."
        )
    opened: dict[Path, Bundle] = {}
    owners: dict[str, Path] = {}
    entrants: list[Entrant] = []
    for candidate in candidates:
        path = candidate.bundle.resolve()
        bundle = opened.get(path) or open_bundle(candidate.bundle, candidate.public_key)
        opened[path] = bundle
        name = bundle.manifest.name
        if owners.setdefault(name, path) != path:
            raise UsageError(
                f"{owners[name]} and {path} are both called '{name}', so their results could not be told apart; "
                "measure them in two runs."
            )
        in_labels_of(bundle, data)
        if entrants and bundle.manifest.labels != entrants[0].bundle.manifest.labels:
            raise TemperError(
                f"{name} and {entrants[0].bundle.manifest.name} tell other classes, or the same in another order, so "
                "they cannot be measured on one data set; measure them in two runs."
            )
        variant, role = bundle.variant(candidate.variant), bundle.manifest.made_by.role
        subject = Subject(name, role, variant.name, variant.precision, candidate.runtime)
        if candidate.weights is not None:
            subject = Subject(name, role, REFERENCE, "fp32", PADDLE)
        entrants.append(Entrant(candidate, bundle, variant, subject))
    return entrants


def in_labels_of(bundle: Bundle, data: DataSet) -> DataSet:
    """The data set with the bundle's labels in the bundle's order: it may lack some of them, or have them in another.

    Raises:
        TemperError: naming the classes of the data that the bundle does not know.
    """
    ours, theirs = tuple(bundle.manifest.labels), data.labels
    unknown = [label for label in theirs if label not in ours]
    if unknown:
        raise TemperError(
            f"The data set {data.name or data.image_folder} has {', '.join(unknown)}, and the bundle "
            f"{bundle.manifest.name} knows {', '.join(ours)}. Measure on data with the classes the bundle was trained "
            "for."
        )
    return data.relabelled(ours)
