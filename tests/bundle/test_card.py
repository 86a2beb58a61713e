from __future__ import annotations

from plain_bundle import plain_manifest
from temper.bundle.card import render_card
from temper.bundle.manifest import Accuracy, BundleFile, Golden, LeftOut, Quantization
from temper.commands.bundle_describe import describe


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


def test_the_card_says_how_int8_was_made_and_what_is_missing() -> None:
    manifest = plain_manifest()
    quantization = Quantization(
        activations="u8 asymmetric", weight_bits=7, method="entropy", images=32, warnings=["No picture shows a | b."]
    )
    kept = [f"network/conv{number}" for number in range(8)]
    changes = {"quantization": quantization, "kept_float": kept}
    golden = Golden(
        origin="synthetic",
        images=[BundleFile(file="golden/000.png", sha256="0" * 64, bytes=1)],
        answers=BundleFile(file="golden/answers.json", sha256="0" * 64, bytes=1),
        runtime="onnxruntime 1",
        silent=["int8"],
    )
    left_out = [LeftOut(name="fp16", reason="it loses 3 points")]
    variants = [manifest.variants[0], manifest.variants[1].model_copy(update=changes)]
    updated = manifest.model_copy(update={"variants": variants, "left_out": left_out, "golden": golden})
    lines = render_card(updated).splitlines()
    for line in (
        "- int8: u8 asymmetric activations, weights of 7 bits, ranges by entropy on 32 training pictures.",
        "- int8: 8 nodes kept in fp32 (network/conv0, network/conv1, network/conv2, network/conv3, network/conv4, "
        "network/conv5 and 2 more).",
        "- Calibrating int8: No picture shows a \\| b.",
        "- fp16 is not in the bundle: it loses 3 points.",
        "- int8 finds nothing on the golden pictures, so that replaying them proves little.",
    ):
        assert line in lines
    told = "\n".join(describe(updated))
    assert "ranges by entropy on 32 training pictures" in told and "fp16: it loses 3 points" in told
    assert "8 nodes kept in fp32" in told and "int8 found nothing on them" in told
    assert "## Precisions" not in render_card(manifest)
