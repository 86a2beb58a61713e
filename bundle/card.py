"""The model card: what people should read before they use a bundle, written from its manifest."""

from __future__ import annotations

import json
from typing import Any

from .manifest import Accuracy, Manifest, Quantization, Variant

CARD_NAME = "model-card.md"
#: Below these a class, or small defects, are named among the limits.
WEAK_POINTS = 30.0
FEW_PICTURES = 100
#: Nodes kept in floating point that are named; the manifest has all of them.
_MOST_NAMED = 6


def render_card(manifest: Manifest) -> str:
    """The card of a bundle, in Markdown.

    Args:
        manifest: with or without its own entry of the card.
    """
    return (
        "\n".join(
            [*_head(manifest), *_accuracy(manifest), *_precisions(manifest), *_origin(manifest), *_limits(manifest)]
        )
        + "\n"
    )


def one_line(value: Any) -> str:
    """A text as it may stand in a line of a table or a terminal: nothing that is not printed, no bars."""
    return "".join(c if c.isprintable() else "?" for c in str(value)).replace("|", "\\|")


def _head(manifest: Manifest) -> list[str]:
    rule = manifest.input
    lines = [
        f"# {manifest.name}",
        "",
        f"A detector of {len(manifest.labels)} kinds of surface defect ({manifest.made_by.role}), exported by Temper "
        f"{one_line(manifest.made_by.temper)}.",
        "",
        f"- Takes {'grey' if rule.channels == 'grey' else 'RGB'} pictures of any size, brought to {rule.width} x "
        f"{rule.height} pixels ({rule.resize}).",
        f"- Gives at most {manifest.max_detections} detections with scores from {manifest.score_floor:g}; overlaps "
        f"from an IoU of {manifest.nms_iou:g} are one defect.",
        "",
        "| class | counts as a defect from score |",
        "| --- | ---: |",
    ]
    lines += [f"| {one_line(label)} | {manifest.thresholds[label]:.3g} |" for label in manifest.labels]
    chosen = manifest.thresholds_chosen
    if chosen is not None:
        judged = chosen.judged_on
        lines += [
            "",
            f"These thresholds were chosen for an escape rate of {100 * chosen.escape_rate:g} % of every class; on "
            f"{judged.images} pictures that had no say {judged.missed} of {judged.defects} defects escape, with "
            f"{judged.false_alarms} false alarms.",
        ]
    return [*lines, ""]


def _accuracy(manifest: Manifest) -> list[str]:
    lines = ["## Accuracy at export", ""]
    judged = [(one, one.accuracy) for one in manifest.variants if one.accuracy is not None]
    if not judged:
        return [*lines, "Not measured.", ""]
    pictures = max(accuracy.images for _, accuracy in judged)
    lines += [f"COCO figures in points from 0 to 100, on {pictures} validation pictures.", ""]
    lines += ["| | " + " | ".join(one.name for one, _ in judged) + " |", "| --- |" + " ---: |" * len(judged)]
    named = (("mAP", "ap"), ("AP50", "ap50"), ("AP75", "ap75"), ("AP small", "ap_small"), ("AP medium", "ap_medium"))
    for title, field in (*named, ("AP large", "ap_large")):
        lines.append(f"| {title} | " + " | ".join(_points(getattr(one, field)) for _, one in judged) + " |")
    for label in manifest.labels:
        lines.append(
            f"| {one_line(label)} | " + " | ".join(_points(one.per_class.get(label)) for _, one in judged) + " |"
        )
    lines.append("")
    for variant in manifest.variants:
        parity = variant.parity
        if parity is not None:
            lines.append(
                f"- {variant.name}: {100 * parity.matched_share:.1f} % of the detections are the Paddle model's, "
                f"scores within {parity.largest_score_difference:.1e}, boxes within "
                f"{parity.largest_box_difference_px:.1e} px ({parity.images} pictures, {one_line(parity.runtime)})."
            )
    return [*lines, ""]


def _precisions(manifest: Manifest) -> list[str]:
    """How graphs were calibrated, what stays in floating point in them, and which were left out."""
    lines = [
        *(f"- {one.name}: {calibrated(one.quantization)}." for one in manifest.variants if one.quantization),
        *(f"- {one.name}: {kept_float(one)}." for one in manifest.variants if one.kept_float),
        *(
            f"- {warned(one.name, warning)}"
            for one in manifest.variants
            if one.quantization
            for warning in one.quantization.warnings
        ),
        *(f"- {one.name} is not in the bundle: {one_line(one.reason).rstrip('.')}." for one in manifest.left_out),
    ]
    return ["## Precisions", "", *lines, ""] if lines else []


def calibrated(quantization: Quantization) -> str:
    """How a graph became int8, in words."""
    pictures = f"{quantization.images} training picture{'s' if quantization.images > 1 else ''}"
    told = f"{quantization.activations} activations, weights of {quantization.weight_bits} bits, ranges by "
    told += f"{quantization.method} on {pictures}"
    if len(quantization.compared) > 1:
        told += f", the best of {len(quantization.compared)} methods"
    return told


def kept_float(variant: Variant) -> str:
    """Which nodes of a graph compute in fp32 where the others do not, the first of them by name."""
    count, named = len(variant.kept_float), [one_line(name) for name in variant.kept_float[:_MOST_NAMED]]
    rest = f" and {count - len(named)} more" if count > len(named) else ""
    return f"{count} node{'s' if count > 1 else ''} kept in fp32 ({', '.join(named)}{rest})"


def warned(name: str, warning: str) -> str:
    """A warning of the calibration."""
    return f"Calibrating {name}: {one_line(warning).rstrip('.')}."


def _origin(manifest: Manifest) -> list[str]:
    made = manifest.made_by
    versions = ", ".join(f"{one_line(name)} {one_line(version)}" for name, version in sorted(made.versions.items()))
    lines = [
        "## How it was made",
        "",
        f"- Data: sha256 `{made.data_sha256}`",
        f"- Weights: sha256 `{made.weights_sha256}`",
        f"- With: {versions or 'not stated'}",
    ]
    golden = manifest.golden
    if golden is not None:
        kind = "synthetic steel" if golden.origin == "synthetic" else "pictures of whoever exported it"
        lines.append(f"- Golden pictures: {len(golden.images)}, {kind}; answers by {one_line(golden.runtime)}")
    lines.append("")
    for title, value in (("Training record", made.training), ("Recipe", made.recipe)):
        # indented, not fenced: no text in it can end the block
        told = "not known" if value is None else json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True)
        lines += [f"### {title}", "", *(f"    {line}" for line in told.splitlines()), ""]
    return lines


def _limits(manifest: Manifest) -> list[str]:
    rule = manifest.input
    lines = [
        "## Known limits",
        "",
        "- The figures are those of the data named above. On other steel, another camera or another light they are "
        "unknown until they are measured: `temper bundle check BUNDLE --data FOLDER`.",
        f"- It knows its {len(manifest.labels)} classes alone: a defect of another kind is missed, or called by one "
        "of these names.",
        f"- What is a few pixels wide once a picture was brought to {rule.width} x {rule.height} cannot be found.",
    ]
    if manifest.golden is not None:
        lines += [
            f"- {name} finds nothing on the golden pictures, so that replaying them proves little."
            for name in manifest.golden.silent
        ]
    for variant in manifest.variants:
        accuracy = variant.accuracy
        if accuracy is None:
            lines.append(f"- The accuracy of {variant.name} was not measured.")
            continue
        lines += _weak_points(variant.name, accuracy)
    return lines


def _weak_points(name: str, accuracy: Accuracy) -> list[str]:
    lines = []
    if accuracy.images < FEW_PICTURES:
        lines.append(f"- {name} was judged on {accuracy.images} pictures, too few to tell differences of a point.")
    weak = [f"{one_line(label)} ({points:.1f})" for label, points in accuracy.per_class.items() if _is_weak(points)]
    if weak:
        lines.append(f"- {name} has less than {WEAK_POINTS:g} points of AP on {', '.join(weak)}.")
    unseen = [one_line(label) for label, points in accuracy.per_class.items() if points is None]
    if unseen:
        lines.append(f"- No validation picture shows {', '.join(unseen)}, so how {name} does on it is unknown.")
    if _is_weak(accuracy.ap_small):
        lines.append(f"- {name} has {accuracy.ap_small:.1f} points of AP on small defects (below 32 x 32 pixels).")
    return lines


def _is_weak(points: float | None) -> bool:
    return points is not None and points < WEAK_POINTS


def _points(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
