from __future__ import annotations

from pathlib import Path

import pytest
from plain_bundle import make_plain_bundle
from temper.benchmarks.compare.side import Defaults, SideText, open_side, parse_side, require_comparable
from temper.core.errors import TemperError, UsageError
from tiny_bundle import make_tiny_bundle


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.temper", ("a.temper", None, None)),
        ("a.temper:int8", ("a.temper", "int8", None)),
        ("a.temper@openvino", ("a.temper", None, "openvino")),
        ("x/a.temper:int8@openvino", ("x/a.temper", "int8", "openvino")),
        ("a@2/b:1/c.temper:fp32", ("a@2/b:1/c.temper", "fp32", None)),
    ],
)
def test_a_side_is_taken_apart(text: str, parts: tuple[str, str | None, str | None]) -> None:
    assert parse_side(text) == SideText(Path(parts[0]), *parts[1:])


def test_a_path_that_is_there_is_that_bundle(tmp_path: Path) -> None:
    odd = tmp_path / "a:1@2.temper"
    odd.mkdir()
    assert parse_side(str(odd)) == SideText(odd, None, None)
    assert parse_side(f"{odd}:int8@openvino") == SideText(odd, "int8", "openvino")


@pytest.mark.parametrize("text", ["", ":int8", "a.temper:", "a.temper@", "@openvino"])
def test_an_empty_part_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="is no side to compare. Write BUNDLE, BUNDLE:VARIANT"):
        parse_side(text)


def test_a_side_says_more_than_the_defaults(tmp_path: Path) -> None:
    path = make_plain_bundle(tmp_path / "steel.temper")
    assert open_side(parse_side(str(path)), Defaults()).variant.name == "fp32"
    assert open_side(parse_side(str(path)), Defaults(precision="int8")).variant.name == "int8"
    side = open_side(parse_side(f"{path}:fp16@onnxruntime"), Defaults("int8", "openvino", batch=2, threads=1))
    assert (side.variant.name, side.candidate.runtime, side.candidate.batch) == ("fp16-any", "onnxruntime", 2)
    with pytest.raises(UsageError, match="'fp16-tensorrt' of steel.temper is made for tensorrt"):
        open_side(parse_side(f"{path}:fp16-tensorrt"), Defaults())
    with pytest.raises(UsageError, match=r"There is no runtime 'openvin'. Did you mean 'openvino'\?"):
        open_side(parse_side(f"{path}@openvin"), Defaults())


def test_bundles_of_other_classes_are_not_compared(tmp_path: Path) -> None:
    plain, tiny = make_plain_bundle(tmp_path / "steel.temper"), make_tiny_bundle(tmp_path, name="tiny")
    a, b = (open_side(parse_side(str(path)), Defaults()) for path in (plain, tiny))
    with pytest.raises(TemperError, match="only the first has patches, scratches; only the second has bright, dark"):
        require_comparable(a, b)
