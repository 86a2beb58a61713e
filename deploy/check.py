"""Does a bundle work on this machine? Every variant is loaded, run, and its answers held against the contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..bundle.loader import Bundle
from ..bundle.manifest import Manifest, Variant
from ..core.errors import TemperError
from ..core.events import Reporter, silent
from .compare import TOLERANCES, different_in_batch
from .golden import replay_golden
from .runtimes.base import RawOutput, Runtime
from .runtimes.contract import image_shape
from .runtimes.load import DEFAULT_RUNTIME, RUNTIMES, absences, load_runtime, runtime_kind


@dataclass(frozen=True)
class VariantCheck:
    """How one variant did on one runtime.

    Attributes:
        variant: its name.
        runtime: name of the runtime.
        fault: what is wrong, in a sentence; None if nothing is, or if it was not tried.
        skipped: why it was not tried; None if it was.
    """

    variant: str
    runtime: str
    fault: str | None = None
    skipped: str | None = None

    def __bool__(self) -> bool:
        return self.fault is None


def check_bundle(
    bundle: Bundle, *, runtimes: Sequence[str] = (), threads: int | None = None, report: Reporter = silent
) -> Iterator[VariantCheck]:
    """Try every variant on runtimes of this machine; hashes were checked when the bundle was opened.

    Args:
        bundle: opened.
        runtimes: which; none given takes all that this machine has, but those that would build an engine first.
        threads: of the runtimes; None lets them choose.
        report: hears of an engine that has to be built first.

    Yields:
        One result per variant and runtime, as it is known.

    Raises:
        UsageError: if there is no such runtime.
    """
    kinds = {name: runtime_kind(name) for name in runtimes or runtimes_here()}
    for variant in bundle.manifest.variants:
        for name, kind in kinds.items():
            if variant.target not in kind.targets:
                yield VariantCheck(variant.name, name, skipped=f"made for {variant.target}")
                continue
            if kind.builds and not runtimes:
                skipped = f"it builds an engine first; ask for it with --runtime {name}"
                yield VariantCheck(variant.name, name, skipped=skipped)
                continue
            try:
                fault = _variant_fault(bundle, variant, name, threads, report)
            except TemperError as error:
                fault = str(error)
            yield VariantCheck(variant.name, name, fault)


def runtimes_here() -> list[str]:
    """The runtimes that this machine has, by name; ONNX Runtime in any case, so that its absence is told."""
    there = absences()
    return [name for name in RUNTIMES if there[name] is None or name == DEFAULT_RUNTIME]


def check_pictures(manifest: Manifest) -> NDArray[np.uint8]:
    """Two pictures at the graph's size that differ everywhere: noise on a slope, and dark marks on grey.

    Returns:
        uint8 [2, H, W] or [2, H, W, 3], the same on every machine.
    """
    shape = image_shape(manifest)
    height, width = shape[:2]
    random = np.random.default_rng(0)
    slope = np.linspace(60, 180, width)[None, :] + np.zeros((height, 1))
    noise = slope + random.normal(0, 20, (height, width))
    marks = np.full((height, width), 140.0)
    marks[height // 4 : height // 2, width // 4 : width // 3] = 30
    marks[height // 2 :, width // 2 : width // 2 + max(1, width // 20)] = 220
    pictures = np.clip(np.stack([noise, marks]), 0, 255).astype(np.uint8)
    return pictures if len(shape) == 2 else np.repeat(pictures[..., None], 3, axis=-1)


def answer_faults(answer: RawOutput, manifest: Manifest) -> list[str]:
    """What in an answer of the right form is not as the contract says: order, ranges, and the rows past ``count``."""
    limits = np.array([manifest.input.width, manifest.input.height] * 2, np.float32)
    faults = []
    for row, count in enumerate(answer.count.tolist()):
        boxes, scores = answer.boxes[row, :count], answer.scores[row, :count]
        if (np.diff(scores) > 0).any():
            faults.append("scores do not descend")
        if count and (scores.max() > 1 or scores.min() < manifest.score_floor - 1e-6):
            faults.append(f"scores go from {scores.min():g} to {scores.max():g}, outside {manifest.score_floor:g} to 1")
        if (boxes < 0).any() or (boxes > limits).any():
            faults.append("boxes leave the picture")
        if (boxes[:, 2:] < boxes[:, :2]).any():
            faults.append("boxes are inverted")
        if answer.boxes[row, count:].any() or answer.scores[row, count:].any():
            faults.append("boxes or scores past count are not 0")
        if (answer.labels[row, count:] != -1).any():
            faults.append("labels past count are not -1")
    return list(dict.fromkeys(faults))


def _variant_fault(bundle: Bundle, variant: Variant, name: str, threads: int | None, report: Reporter) -> str | None:
    manifest = bundle.manifest.at_size_of(variant)
    pictures = check_pictures(manifest)
    runtime: Runtime = load_runtime(name, bundle, variant, threads=threads, report=report)
    try:
        closeness = TOLERANCES[variant.precision].batch
        both, different = different_in_batch(runtime, pictures, manifest.score_floor, closeness)
        faults = answer_faults(both, manifest)
        faults += [f"picture {row + 1} of a batch of 2 gets another answer than alone" for row in different]
        replay = replay_golden(bundle, variant, runtime)
        if replay is not None and replay.fault:
            return (
                f"Variant '{variant.name}' gives other answers on {name} than at export: {replay.fault}. "
                f"'temper bundle check BUNDLE --runtime {name} --data DATA' measures what that costs in mAP; or run "
                "the graph on a runtime that passes."
            )
    finally:
        runtime.close()
    return _sentence(variant, name, faults)


def _sentence(variant: Variant, runtime: str, faults: Sequence[str]) -> str | None:
    return f"Variant '{variant.name}' breaks the contract on {runtime}: {'; '.join(faults)}." if faults else None
