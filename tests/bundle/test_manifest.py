from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.bundle.manifest import MAX_MANIFEST_BYTES, Manifest
from temper.bundle.parse import parse_manifest
from temper.core.errors import TemperError

SOURCE = Path("x.temper")

VALID: dict[str, Any] = {
    "schema_version": 1,
    "name": "student",
    "labels": ["scratches", "patches"],
    "input": {"width": 160, "height": 96, "channels": "grey", "resize": "stretch"},
    "thresholds": {"scratches": 0.4, "patches": 0.55},
    "thresholds_chosen": None,
    "score_floor": 0.02,
    "nms_iou": 0.5,
    "max_detections": 100,
    "variants": [
        {
            "name": "fp32",
            "precision": "fp32",
            "target": "any",
            "size": None,
            "any_size": False,
            "file": "graphs/fp32.onnx",
            "sha256": "a" * 64,
            "bytes": 10,
            "kept_float": [],
            "quantization": None,
            "parity": None,
            "parity_elsewhere": [],
            "accuracy": None,
        }
    ],
    "left_out": [],
    "made_by": {
        "temper": "0.1.0",
        "role": "student",
        "recipe": {"seed": 1},
        "data_sha256": "b" * 64,
        "weights_sha256": "c" * 64,
        "versions": {"onnx": "1.17.0"},
        "training": None,
    },
    "golden": None,
    "card": None,
    "checksum": None,
}


def parse(value: Any) -> Manifest:
    return parse_manifest(json.dumps(value).encode(), SOURCE)


def changed(path: str, value: Any) -> dict[str, Any]:
    """A copy of the valid manifest with one field set; ``del`` takes it out."""
    copied = copy.deepcopy(VALID)
    place: Any = copied
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        place = place[part]
    if value is del_:
        del place[last]
    else:
        place[last] = value
    return copied


del_ = object()


CHOSEN = {
    "escape_rate": 0.02,
    "found_iou": 0.5,
    "variant": "fp32",
    "runtime": "onnxruntime",
    "chosen_on": {
        "data": "steel/val",
        "data_sha256": "d" * 64,
        "images": 9,
        "defects": 100,
        "missed": 2,
        "false_alarms": 7,
    },
    "judged_on": {
        "data": "steel/test",
        "data_sha256": "e" * 64,
        "images": 8,
        "defects": 90,
        "missed": 4,
        "false_alarms": 6,
    },
    "manifest_sha256": "f" * 64,
}


def test_thresholds_that_were_chosen_anew_say_how() -> None:
    manifest = parse(changed("thresholds_chosen", CHOSEN))
    assert manifest.model_dump(mode="json")["thresholds_chosen"] == CHOSEN
    with pytest.raises(TemperError, match="thresholds_chosen.escape_rate"):
        parse(changed("thresholds_chosen", {**CHOSEN, "escape_rate": 2.0}))


def test_a_valid_manifest_is_read() -> None:
    manifest = parse(VALID)
    assert manifest.model_dump(mode="json") == VALID


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("note", "hello", r"field 'note' is unknown"),
        ("variants.0.speed", 3, r"field 'variants.0.speed' is unknown"),
        ("name", del_, r"field 'name' is missing"),
        ("input.width", "160", r"'input.width' has the value \"160\""),
        ("input.width", 8, r"'input.width' has the value 8: .*16"),
        ("input.channels", "yuv", r"'input.channels' has the value \"yuv\""),
        ("labels", [], r"'labels'"),
        ("labels", ["scratches", "scratches"], r"labels are not unique"),
        ("labels", ["scratches", "pat\nches"], r"'labels.1'"),
        ("thresholds", {"scratches": 0.4}, r"thresholds must name every label once"),
        ("thresholds.patches", 1.5, r"'thresholds.patches' has the value 1.5"),
        ("variants.0.file", "../fp32.onnx", r"'variants.0.file'"),
        ("variants.0.file", "/etc/passwd", r"'variants.0.file'"),
        ("variants.0.file", "a//b", r"'variants.0.file'"),
        ("variants.0.file", "manifest.json", r"called manifest.json"),
        ("variants.0.sha256", "A" * 64, r"'variants.0.sha256'"),
        ("variants.0.bytes", True, r"'variants.0.bytes'"),
        ("variants.0.bytes", 2**40, r"'variants.0.bytes'"),
        ("variants", VALID["variants"] * 2, r"variant names are not unique"),
        ("variants", VALID["variants"] * 101, r"'variants'"),
        ("max_detections", 10**6, r"'max_detections'"),
    ],
)
def test_what_does_not_fit_is_named(path: str, value: Any, sentence: str) -> None:
    with pytest.raises(TemperError, match=sentence) as caught:
        parse(changed(path, value))
    assert "\n" not in str(caught.value)
    assert "x.temper" in str(caught.value)


@pytest.mark.parametrize("version", [2, 0, "1", None, True, [1]])
def test_another_schema_is_said_to_be_one(version: Any) -> None:
    with pytest.raises(TemperError, match=r"schema version .* this Temper reads 1"):
        parse(changed("schema_version", version))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not readable JSON"),
        (b"\xff\xfe", "not readable JSON"),
        (b"[" * 100_000, "not readable JSON"),
        (b'{"schema_version": 1, "score_floor": NaN}', "NaN is no number"),
        (b'{"schema_version": 1, "schema_version": 1}', "stands twice"),
        (b'{"schema_version": ' + b"1" * 10_000 + b"}", "not readable JSON|schema version"),
        (b"[]", "no field 'schema_version'"),
        (b"{}", "no field 'schema_version'"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "at most"),
    ],
)
def test_what_is_no_manifest(content: bytes, sentence: str) -> None:
    with pytest.raises(TemperError, match=sentence):
        parse_manifest(content, SOURCE)


_names = st.from_regex(r"\A[a-z0-9][a-z0-9\-]{0,20}\Z")
_printable = st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["Cc"])
_labels = st.lists(st.text(_printable, min_size=1, max_size=20), min_size=1, max_size=6, unique=True)
_points = st.none() | st.floats(0, 100)
_methods = st.sampled_from(["min_max", "entropy", "percentile"])
_milliseconds = st.none() | st.floats(0, 1e5)
_quantizations = st.fixed_dictionaries(
    {
        "activations": st.sampled_from(["u8 asymmetric", "s8 symmetric"]),
        "weight_bits": st.sampled_from([7, 8]),
        "method": _methods,
        "images": st.integers(1, 999),
        "compared": st.lists(st.fixed_dictionaries({"method": _methods, "ap": _points}), max_size=3),
        "compared_images": st.integers(0, 999),
        "warnings": st.lists(st.text(max_size=20), max_size=2),
        "fp32_latency_ms": _milliseconds,
        "trade_off": st.lists(
            st.fixed_dictionaries(
                {"kept_float": st.integers(0, 99), "ap": _points, "ap_small": _points, "latency_ms": _milliseconds}
            ),
            max_size=3,
        ),
    }
)
_hashes = st.from_regex(r"\A[0-9a-f]{64}\Z")
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
_json = st.recursive(
    st.none() | st.booleans() | _numbers | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)


_raw = st.fixed_dictionaries(dict.fromkeys(("largest", "mean", "relative_error"), st.floats(0, 1e30)))
_parities = st.fixed_dictionaries(
    {
        "images": st.integers(1, 99),
        "runtime": st.text(max_size=5),
        "largest_score_difference": st.floats(0, 1),
        "largest_box_difference_px": st.floats(0, 1e4),
        "mean_score_difference": st.none() | st.floats(0, 1),
        "mean_box_difference_px": st.none() | st.floats(0, 1e4),
        "matched_share": st.floats(0, 1),
        "map_paddle": _points,
        "map_graph": _points,
        "raw": st.dictionaries(st.sampled_from(["scores", "regressions"]), _raw),
    }
)


@st.composite
def manifests(draw: st.DrawFn) -> dict[str, Any]:
    labels = draw(_labels)
    value = copy.deepcopy(VALID)
    value["labels"] = labels
    value["thresholds"] = {label: draw(st.floats(0, 1)) for label in labels}
    value["input"] = {
        "width": draw(st.integers(16, 16384)),
        "height": draw(st.integers(16, 16384)),
        "channels": draw(st.sampled_from(["grey", "rgb"])),
        "resize": draw(st.sampled_from(["stretch", "letterbox"])),
    }
    value["variants"] = [
        {
            "name": name,
            "precision": draw(st.sampled_from(["fp32", "fp16", "int8"])),
            "target": draw(st.sampled_from(["any", "cpu", "tensorrt"])),
            "file": f"graphs/{name}.onnx",
            "sha256": draw(_hashes),
            "bytes": draw(st.integers(1, 2**31)),
            "size": draw(st.none() | st.fixed_dictionaries(dict.fromkeys(("width", "height"), st.integers(16, 16384)))),
            "any_size": draw(st.booleans()),
            "kept_float": draw(st.lists(st.text(min_size=1, max_size=20), max_size=3)),
            "quantization": draw(st.none() | _quantizations),
            "parity": draw(st.none() | _parities),
            "parity_elsewhere": draw(st.lists(_parities, max_size=2)),
            "accuracy": draw(
                st.none()
                | st.fixed_dictionaries(
                    {
                        "images": st.integers(0, 99),
                        **dict.fromkeys(("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"), _points),
                        "per_class": st.just(dict.fromkeys(labels)),
                    }
                )
            ),
        }
        for name in draw(st.lists(_names, min_size=1, max_size=3, unique=True))
    ]
    value["left_out"] = draw(
        st.lists(
            st.fixed_dictionaries(
                {"name": _names, "reason": st.text(min_size=1, max_size=20), "quantization": st.none() | _quantizations}
            ),
            max_size=2,
        )
    )
    value["made_by"]["recipe"] = draw(st.dictionaries(_text, _json))
    return value


def test_a_variant_may_have_a_size_of_its_own() -> None:
    manifest = parse(changed("variants.0.size", {"width": 4096, "height": 1024}))
    (variant,) = manifest.variants
    assert manifest.at_size_of(variant).input == manifest.input.model_copy(update={"width": 4096, "height": 1024})
    assert parse(VALID).at_size_of(parse(VALID).variants[0]) == parse(VALID)


@settings(max_examples=60, deadline=None)
@given(manifests())
def test_round_trip(value: dict[str, Any]) -> None:
    manifest = Manifest.model_validate(value)
    again = parse(manifest.model_dump(mode="json"))
    assert again == manifest
    assert again.model_dump(mode="json") == value


def _paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    paths = [here] if here else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        paths += _paths(inner, (*here, key))
    return paths


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_paths(VALID)), _json)
def test_any_value_anywhere_is_taken_or_refused_in_one_sentence(path: tuple[Any, ...], value: Any) -> None:
    copied = copy.deepcopy(VALID)
    place: Any = copied
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    sentence = ""
    try:
        parse(copied)
    except TemperError as error:
        sentence = str(error)
    assert "\n" not in sentence
    assert len(sentence) < 500
