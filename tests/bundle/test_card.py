from __future__ import annotations

from plain_bundle import plain_manifest
from temper.bundle.card import render_card
from temper.bundle.manifest import Accuracy


def test_the_card_says_what_people_should_know() -> None:
    manifest = plain_manifest()
    figures = {"ap": 41.26, "ap50": 70.0, "ap75": None, "ap_small": 9.0, "ap_medium": 40.0, "ap_large": 50.0}
    accuracy = Accuracy(images=60, **figures, per_class={"scratches": 12.5, "patches": None})
    variants = [manifest.variants[0].model_copy(update={"accuracy": accuracy}), *manifest.variants[1:]]
    made = manifest.made_by.model_copy(update={"training": {"epochs": 12}, "recipe": {"text": "```\n# no heading"}})
    card = render_card(manifest.model_copy(update={"variants": variants, "made_by": made}))
    for line in (
        "| mAP | 41.3 |",
        "| scratches | 12.5 |",
        f"- Data: sha256 `{'0' * 64}`",
        '      "epochs": 12',
        "- fp32 was judged on 60 pictures, too few to tell differences of a point.",
        "- fp32 has less than 30 points of AP on scratches (12.5).",
        "- No validation picture shows patches, so how fp32 does on it is unknown.",
        "- fp32 has 9.0 points of AP on small defects (below 32 x 32 pixels).",
        "- The accuracy of int8 was not measured.",
    ):
        assert line in card.splitlines()
    assert "\n# no heading" not in card


def test_labels_cannot_break_the_table() -> None:
    manifest = plain_manifest()
    label = "a | b\u2028c"
    manifest = manifest.model_copy(update={"labels": [label], "thresholds": {label: 0.5}})
    assert "| a \\| b?c | 0.5 |" in render_card(manifest).splitlines()
