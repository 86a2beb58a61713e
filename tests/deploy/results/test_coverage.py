from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.deploy.results.coverage import NOT_RECORDED, Span, cover


def test_what_all_cameras_saw_is_inspected_and_the_rest_has_a_cause() -> None:
    top = [Span(0, 4, None), Span(4, 6, "dropped"), Span(6, 10, None)]
    bottom = [Span(0, 8, None), Span(8, 9, "gap")]
    found = cover({"top": top, "bottom": bottom}, 0, 10)
    assert (found.length_m, found.inspected_m) == (10, 6)
    assert found.not_inspected_m == {"dropped": 2, "gap": 1, NOT_RECORDED: 1}
    assert found.missed == (Span(4, 6, "dropped"), Span(8, 9, "gap"), Span(9, 10, NOT_RECORDED))
    assert found.cameras_m == {"top": 8, "bottom": 8}


def test_a_place_that_another_frame_of_the_camera_shows_is_inspected() -> None:
    found = cover({"top": [Span(0, 2, None), Span(1, 3, "late"), Span(2, 5, None)]}, 0, 5)
    assert (found.inspected_m, found.missed) == (5, ())


def test_a_camera_without_a_record_leaves_the_strip_uninspected() -> None:
    found = cover({"top": [Span(0, 5, None)], "bottom": []}, 0, 5)
    assert (found.inspected_m, found.not_inspected_m) == (0, {NOT_RECORDED: 5})
    assert cover({}, 0, 5).inspected_m == 0
    assert cover({"top": []}, 3, 3).length_m == 0


SPANS = st.lists(
    st.builds(
        lambda start, length, cause: Span(start / 8, (start + length) / 8, cause),
        st.integers(-40, 400),
        st.integers(0, 80),
        st.sampled_from([None, None, "dropped", "late", "gap"]),
    ),
    max_size=12,
)


@given(st.dictionaries(st.sampled_from(["top", "bottom", "side"]), SPANS))
def test_it_is_what_looking_place_by_place_gives(cameras: dict[str, list[Span]]) -> None:
    found = cover(cameras, 0, 40)
    inspected = 0.0
    for place in range(320):  # all edges lie on eighths of a metre
        middle = place / 8 + 1 / 16
        seen = [any(s.cause is None and s.start_m < middle < s.end_m for s in spans) for spans in cameras.values()]
        all_of_them = bool(seen) and all(seen)
        inspected += all_of_them / 8
        assert any(span.start_m < middle < span.end_m for span in found.missed) != all_of_them
    assert found.inspected_m == pytest.approx(inspected)
    assert sum(found.not_inspected_m.values()) + found.inspected_m == pytest.approx(found.length_m) == 40
