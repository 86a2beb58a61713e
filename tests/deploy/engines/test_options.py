from __future__ import annotations

import pytest
from temper.core.errors import UsageError
from temper.deploy.engines.options import (
    BuildOptions,
    Span,
    build_options,
    fixed_span,
    make_profiles,
    parse_batch,
    parse_size,
)

SIZE = (200, 160)


def spans(*batches: str, sizes: tuple[str, ...] = ()) -> BuildOptions:
    return build_options(SIZE, batches=tuple(map(parse_batch, batches)), sizes=tuple(map(parse_size, sizes)))


@pytest.mark.parametrize(
    ("text", "corners"), [("4", (4, 4, 4)), ("1:8", (1, 8, 8)), ("1:2:8", (1, 2, 8)), (" 1:1:8 ", (1, 1, 8))]
)
def test_a_batch_is_one_two_or_three_numbers(text: str, corners: tuple[int, int, int]) -> None:
    assert parse_batch(text).corners == corners


@pytest.mark.parametrize("text", ["", "a", "1:2:3:4", "-1", "1:", "1.5", "1x2"])
def test_what_is_no_batch_is_told_what_would_be(text: str) -> None:
    with pytest.raises(UsageError, match=r"A batch is a number, LEAST:MOST or LEAST:USUAL:MOST"):
        parse_batch(text)


@pytest.mark.parametrize("text", ["0", "8:1", "1:9:8", "0:1:2"])
def test_a_span_grows(text: str) -> None:
    with pytest.raises(UsageError, match="does not grow from 1 or more"):
        parse_batch(text)


def test_a_span_has_an_end() -> None:
    with pytest.raises(UsageError, match=r"goes beyond 65,536"):
        parse_batch("1:99999")


def test_a_size_is_width_times_height() -> None:
    width, height = parse_size("200x160:400x320:4096X1024")
    assert width.corners == (200, 400, 4096)
    assert height.corners == (160, 320, 1024)
    with pytest.raises(UsageError, match=r"A size is WIDTHxHEIGHT"):
        parse_size("200")


def test_without_a_wish_one_profile_serves_one_picture_and_up_to_eight() -> None:
    (profile,) = spans().profiles
    assert profile.shapes((-1, 160, 200)) == ((1, 160, 200), (1, 160, 200), (8, 160, 200))


def test_every_batch_at_every_size_is_a_profile_of_its_own() -> None:
    options = spans("1", "1:8", sizes=("64x64:200x160",))
    assert [str(profile.batch) for profile in options.profiles] == ["1:1:1", "1:8:8"]
    assert options.profiles[1].shapes((-1, -1, -1, 3)) == ((1, 64, 64, 3), (8, 160, 200, 3), (8, 160, 200, 3))
    assert options.largest_batch == 8


def test_a_fixed_graph_takes_no_other_size() -> None:
    (profile,) = spans(sizes=("64x64:200x160",)).profiles
    with pytest.raises(UsageError, match=r"The graph's height is fixed at 160, .* cannot have height 64:160:160"):
        profile.shapes((-1, 160, 200))


def test_the_narrowest_profile_that_takes_a_shape_is_chosen() -> None:
    options = spans("1:8", "1", "4:16")
    assert options.profile_for(1, 160, 200) == 1
    assert options.profile_for(5, 160, 200) == 0
    assert options.profile_for(12, 160, 200) == 2
    assert options.profile_for(17, 160, 200) is None
    assert options.profile_for(1, 161, 200) is None


def test_a_dla_wants_one_shape() -> None:
    build_options(SIZE, batches=(fixed_span(1),), dla_core=0)
    with pytest.raises(UsageError, match=r"^No engine can be built like that: a DLA takes one shape only"):
        build_options(SIZE, dla_core=0)


def test_too_many_profiles_are_refused() -> None:
    with pytest.raises(UsageError, match=r"No engine can be built like that: .*\(profiles\)"):
        build_options(SIZE, batches=tuple(Span(least=1, usual=1, most=n) for n in range(1, 20)))


def test_options_survive_their_record() -> None:
    options = build_options(
        SIZE, batches=(parse_batch("1:2:4"),), workspace_mib=512, hardware_compatibility="ampere_plus", tf32=True
    )
    assert BuildOptions.model_validate_json(options.model_dump_json()) == options
    assert make_profiles((), (), SIZE) == spans().profiles
