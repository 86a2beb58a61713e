"""What ``temper bundle`` says of a bundle, in lines and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from ..bundle.manifest import Manifest
    from ..bundle.signature import Signature


def describe(manifest: Manifest) -> list[str]:
    """The lines about the whole bundle."""
    rule, made = manifest.input, manifest.made_by
    colour = "grey" if rule.channels == "grey" else "RGB"
    golden = "none"
    if manifest.golden is not None:
        golden = (
            f"{len(manifest.golden.images)} pictures, {manifest.golden.origin}, by {shown(manifest.golden.runtime)}"
        )
        if manifest.golden.silent:
            golden += f"; {', '.join(manifest.golden.silent)} found nothing on them"
    versions = ", ".join(f"{shown(name)} {shown(version)}" for name, version in sorted(made.versions.items()))
    return [
        f"{manifest.name}: {made.role}, made by Temper {shown(made.temper)}",
        f"input       {rule.width} x {rule.height} px, {colour}, {rule.resize}",
        f"detections  at most {manifest.max_detections}, scores from {manifest.score_floor:g}, "
        f"NMS at IoU {manifest.nms_iou:g}",
        f"versions    {versions or 'not stated'}",
        f"data        sha256 {made.data_sha256}",
        f"weights     sha256 {made.weights_sha256}",
        f"golden      {golden}",
        f"card        {'none' if manifest.card is None else manifest.card.file}",
        *_thresholds_chosen(manifest),
        *_precisions(manifest),
    ]


def _precisions(manifest: Manifest) -> list[str]:
    """How graphs were calibrated, what stays in floating point in them, and which were left out and why."""
    from ..bundle.card import calibrated, kept_float

    found = []
    for variant in manifest.variants:
        if variant.quantization is not None:
            found.append(f"int8        {variant.name}: {calibrated(variant.quantization)}")
            found += [f"warning     {variant.name}: {shown(one)}" for one in variant.quantization.warnings]
        if variant.kept_float:
            found.append(f"kept        {variant.name}: {shown(kept_float(variant))}")
    return found + [f"left out    {one.name}: {shown(one.reason)}" for one in manifest.left_out]


def _thresholds_chosen(manifest: Manifest) -> list[str]:
    """How the thresholds came about, if not at the export."""
    chosen = manifest.thresholds_chosen
    if chosen is None:
        return []
    parts = [
        f"{part.missed} of {part.defects} escape on the {part.images} pictures of {shown(part.data)} {said}"
        for said, part in (("they were chosen on", chosen.chosen_on), ("they were judged on", chosen.judged_on))
    ]
    return [f"thresholds  for an escape rate of {100 * chosen.escape_rate:g} %: {'; '.join(parts)}"]


def describe_signature(signature: Signature | None, trusted: bool) -> str:
    """The line about who signed a bundle; ``trusted`` says whether it was asked to be someone known."""
    if signature is None:
        return "signature   none"
    name = f"{shown(signature.signer)}, " if signature.signer else ""
    told = "one of the keys asked for" if trusted else "whose key this is was not checked: give --public-key"
    return f"signature   {name}key {signature.fingerprint} ({told})"


def shown(value: Any) -> str:
    """A text as a terminal may show it, whatever is in it."""
    return "".join(c if c.isprintable() else "?" for c in str(value))


def labels_table(manifest: Manifest) -> Table:
    """Each class with its threshold."""
    from rich.table import Table
    from rich.text import Text

    table = Table("class", "threshold")
    for label in manifest.labels:
        table.add_row(Text(shown(label)), f"{manifest.thresholds[label]:g}")
    return table


def variants_table(manifest: Manifest) -> Table:
    """Each graph with its size, accuracy (points from 0 to 100) and distance from the Paddle model."""
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for heading in ("variant", "size", "for", "MiB", "AP", "AP50", "scores off", "boxes off", "found"):
        # names, sizes and figures are whole or they are of no use: where the line is short, headings are folded
        whole = heading in ("variant", "size")
        table.add_column(heading, no_wrap=whole, overflow="fold", min_width=4)
    for variant in manifest.variants:
        accuracy, parity = variant.accuracy, variant.parity
        rule = manifest.at_size_of(variant).input
        table.add_row(
            Text(variant.name),
            "any" if variant.any_size else f"{rule.width}x{rule.height}",
            variant.target,
            f"{variant.bytes / 2**20:.1f}",
            *(["-", "-"] if accuracy is None else [_points(accuracy.ap), _points(accuracy.ap50)]),
            *(
                ["-", "-", "-"]
                if parity is None
                else [
                    f"{parity.largest_score_difference:.1e}",
                    f"{parity.largest_box_difference_px:.1e} px",
                    f"{100 * parity.matched_share:.1f} %",
                ]
            ),
        )
    return table


def _points(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
