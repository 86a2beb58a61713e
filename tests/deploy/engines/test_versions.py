from __future__ import annotations

import pytest
from temper.core.errors import TemperError
from temper.deploy.engines.versions import parse_version, require_supported, same_version, version_text


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("8.6.1", (8, 6, 1)),
        ("10.16.1.11", (10, 16, 1, 11)),
        ("10.8.0.43.post1", (10, 8, 0, 43)),
        (" 11.4.0 ", (11, 4, 0)),
    ],
)
def test_versions_are_their_numbers(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version
    assert parse_version(version_text(version)) == version


@pytest.mark.parametrize("text", ["", "ten", "10", "v10.3"])
def test_what_is_no_version_is_one_sentence(text: str) -> None:
    with pytest.raises(TemperError, match="is not a version of TensorRT"):
        parse_version(text)


def test_builds_are_compared_as_far_as_both_are_told() -> None:
    assert same_version((10, 16, 1), (10, 16, 1, 11))
    assert not same_version((10, 16, 1, 10), (10, 16, 1, 11))
    assert not same_version((10, 16), (10, 16, 1, 11)), "two numbers are too few to vouch for an engine"


def test_before_8_6_nothing_is_built() -> None:
    require_supported((8, 6, 1))
    with pytest.raises(TemperError, match=r"TensorRT 8\.5\.2 is too old for Temper's graphs: 8\.6 is the oldest"):
        require_supported((8, 5, 2))
