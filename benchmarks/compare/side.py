"""One side of a comparison, as it is written on the command line: ``BUNDLE[:VARIANT][@RUNTIME]``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...bundle.loader import open_bundle
from ...core.errors import TemperError, UsageError
from ...deploy.runtimes.load import DEFAULT_RUNTIME, runtime_kind
from ..candidate import Candidate, Entrant
from ..subject import Subject


@dataclass(frozen=True)
class SideText:
    """What was written for one side.

    Attributes:
        bundle: folder or zip.
        variant: a variant's name or a precision; None where it was left out.
        runtime: None where it was left out.
    """

    bundle: Path
    variant: str | None
    runtime: str | None


def parse_side(text: str) -> SideText:
    """Take ``BUNDLE[:VARIANT][@RUNTIME]`` apart; a path that is there as it stands is that bundle, whatever is in it.

    Raises:
        UsageError: if a part is empty.
    """
    if text and Path(text).exists():
        return SideText(Path(text), None, None)
    rest, runtime = _last_part(text, "@")
    bundle, variant = (rest, None) if rest and Path(rest).exists() else _last_part(rest, ":")
    if not bundle or variant == "" or runtime == "":
        raise UsageError(f"'{text}' is no side to compare. Write BUNDLE, BUNDLE:VARIANT or BUNDLE:VARIANT@RUNTIME.")
    return SideText(Path(bundle), variant, runtime)


def _last_part(text: str, sign: str) -> tuple[str, str | None]:
    """What stands before and after the last ``sign``; one in the name of a folder further up is not meant."""
    before, found, after = text.rpartition(sign)
    return (before, after) if found and "/" not in after else (text, None)


@dataclass(frozen=True)
class Defaults:
    """What holds for both sides where they do not say otherwise.

    Attributes:
        precision: a variant's name or a precision; None takes fp32 if the bundle has it, else the first that fits.
        runtime: None takes ``onnxruntime``.
        batch: pictures per call.
        threads: of the runtime; None lets it choose.
        public_key: file of the keys that the bundles have to be signed with; None takes any.
    """

    precision: str | None = None
    runtime: str | None = None
    batch: int = 1
    threads: int | None = None
    public_key: Path | None = None


def open_side(text: SideText, defaults: Defaults) -> Entrant:
    """Open one side.

    Raises:
        UsageError: if there is no such runtime or variant, or the runtime is not for it.
        TemperError: if the bundle is missing or damaged.
    """
    runtime = text.runtime or defaults.runtime or DEFAULT_RUNTIME
    targets = runtime_kind(runtime).targets
    bundle = open_bundle(text.bundle, defaults.public_key)
    wanted = text.variant or defaults.precision
    if wanted is not None:
        variant = bundle.variant(wanted, targets)
    else:
        there = [one for one in bundle.manifest.variants if one.target in targets] or bundle.manifest.variants
        variant = next((one for one in there if one.precision == "fp32"), there[0])
    if variant.target not in targets:
        raise UsageError(
            f"{runtime} runs variants made for {' or '.join(targets)}; '{variant.name}' of {bundle.path.name} is made "
            f"for {variant.target}."
        )
    manifest = bundle.manifest
    return Entrant(
        Candidate(text.bundle, variant.name, runtime, defaults.batch, defaults.threads, defaults.public_key),
        bundle,
        variant,
        Subject(manifest.name, manifest.made_by.role, variant.name, variant.precision, runtime),
    )


def side_titles(a: Entrant, b: Entrant) -> tuple[str, str]:
    """How the two sides are called; the letter keeps them apart where all else is the same."""
    return f"A: {a.title}", f"B: {b.title}"


def require_comparable(a: Entrant, b: Entrant) -> None:
    """Check that both sides look for the same classes.

    Raises:
        TemperError: naming the classes that only one of them has.
    """
    ours, theirs = a.bundle.manifest.labels, b.bundle.manifest.labels
    if ours == theirs:
        return
    if set(ours) == set(theirs):
        raise TemperError(
            f"{a.bundle.path} and {b.bundle.path} have the same classes in another order: {', '.join(ours)}; and "
            f"{', '.join(theirs)}. Compare bundles that were trained on the same data set."
        )
    only = [", ".join(sorted(set(x) - set(y))) or "nothing" for x, y in ((ours, theirs), (theirs, ours))]
    raise TemperError(
        f"{a.bundle.path} and {b.bundle.path} look for other classes: only the first has {only[0]}; only the second "
        f"has {only[1]}. Compare bundles that were trained on the same classes."
    )
