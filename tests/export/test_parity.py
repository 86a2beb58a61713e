from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.bundle.manifest import Parity
from temper.core.errors import TemperError
from temper.detection.decode import DecodeSettings
from temper.detection.detections import Detections
from temper.detection.images import ResizeRule
from temper.distill.detectors.normalise import GREY, Normalisation
from temper.distill.training.loader import PictureStore
from temper.export.evaluate import evenly_spaced, graph_detections, in_picture_pixels
from temper.export.parity import Differences, PaddleAnswer, check_parity, compare, require_parity
from tiny_bundle import LABELS, tiny_graph
from toy_data import toy_data

SETTINGS = DecodeSettings()
SIZE = (64, 64)


def detections(rows: list[tuple[list[float], float, int]]) -> Detections:
    return Detections(
        np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in rows], np.float32),
        np.array([label for _, _, label in rows], np.int32),
        SIZE,
    )


def test_equal_lists_do_not_differ() -> None:
    rows = [([0.0, 0.0, 20.0, 20.0], 0.9, 0), ([30.0, 30.0, 60.0, 50.0], 0.4, 1)]
    assert compare(detections(rows), detections(rows), SETTINGS) == Differences(2, 0, 0.0, 0.0)
    assert compare(detections([]), detections([]), SETTINGS) == Differences()
    assert Differences().matched_share == 1


def test_differences_are_the_largest_over_pairs() -> None:
    first = detections([([0, 0, 40, 40], 0.9, 0), ([30, 30, 60, 50], 0.4, 1)])
    second = detections([([0, 0, 40, 40.25], 0.875, 0), ([30, 30, 60, 50], 0.4, 1)])
    found = compare(first, second, SETTINGS)
    assert found.pairs == 2
    assert found.score == pytest.approx(0.025)
    assert found.box_px == pytest.approx(0.25)


def test_another_label_or_place_is_no_partner() -> None:
    first = detections([([0, 0, 40, 40], 0.9, 0), ([0, 0, 40, 40], 0.5, 1)])
    moved = detections([([0, 0, 40, 43], 0.9, 0), ([0, 0, 40, 40], 0.5, 2)])
    found = compare(first, moved, SETTINGS)
    assert (found.pairs, found.unpaired, found.matched_share) == (0, 4, 0)


def test_each_row_has_one_partner_and_the_closest() -> None:
    first = detections([([0, 0, 40, 40], 0.9, 0), ([0, 0, 40, 40.5], 0.8, 0)])
    second = detections([([0, 0, 40, 40.5], 0.8, 0), ([0, 0, 40, 40], 0.9, 0)])
    assert compare(first, second, SETTINGS) == Differences(2, 0, 0.0, 0.0)
    assert compare(first, detections([([0, 0, 40, 40], 0.9, 0)]), SETTINGS) == Differences(1, 1, 0.0, 0.0)
    # of equal boxes, those with equal scores belong together
    twins = detections([([0, 0, 40, 40], 0.9, 0), ([0, 0, 40, 40], 0.6, 0)])
    swapped = detections([([0, 0, 40, 40], 0.6, 0), ([0, 0, 40, 40], 0.9, 0)])
    assert compare(twins, swapped, SETTINGS) == Differences(2, 0, 0.0, 0.0)


def test_rows_on_the_edge_do_not_count() -> None:
    box = [0.0, 0.0, 20.0, 20.0]
    at_the_floor = detections([(box, 0.0203, 0)])
    assert compare(at_the_floor, detections([]), SETTINGS).unpaired == 0
    assert compare(detections([(box, 0.03, 0)]), detections([]), SETTINGS).unpaired == 1
    # a list that is full has another edge: its last score
    short = DecodeSettings(max_detections=2)
    first = detections([(box, 0.9, 0), ([30, 30, 60, 60], 0.5, 0)])
    second = detections([(box, 0.9, 0), ([40, 0, 60, 20], 0.5005, 1)])
    assert compare(first, second, short).unpaired == 0
    assert compare(first, second, SETTINGS).unpaired == 2


def test_a_decision_of_nms_on_the_edge_is_no_fault() -> None:
    first, second = ([10.0, 10.0, 40.0, 40.0], 0.8, 0), ([12.0, 10.0, 44.0, 40.0], 0.8 - 1e-6, 0)
    # a third box that only the second one suppresses
    third = ([20.0, 10.0, 52.0, 40.0], 0.3, 0)
    candidates = detections([first, second, third])
    paddle, graph = detections([first, third]), detections([second])
    assert compare(paddle, graph, SETTINGS).unpaired == 3
    found = compare(paddle, graph, SETTINGS, candidates)
    assert (found.pairs, found.unpaired) == (1, 0)
    assert found.box_px == 0
    back = compare(graph, paddle, SETTINGS, candidates)
    assert (back.pairs, back.unpaired) == (2, 0)


def test_a_decision_on_the_edge_among_boxes_nearly_alike() -> None:
    # close enough to be taken for one another, and 1 pixel apart
    first, second = ([0.0, 0.0, 60.0, 60.0], 0.8, 0), ([0.0, 0.0, 60.0, 59.0], 0.8 - 1e-6, 0)
    candidates = detections([first, second])
    assert compare(detections([first]), detections([second]), SETTINGS).box_px == 1
    assert compare(detections([first]), detections([second]), SETTINGS, candidates).box_px == 0


def test_candidates_excuse_no_fault() -> None:
    row = ([0.0, 0.0, 60.0, 60.0], 0.8, 0)
    candidates = detections([row, ([0.0, 0.0, 60.0, 58.0], 0.7, 0)])
    shifted = detections([([0.0, 0.0, 60.0, 59.0], 0.8, 0)])
    assert compare(detections([row]), shifted, SETTINGS, candidates).box_px == 1
    other_score = detections([([0.0, 0.0, 60.0, 60.0], 0.75, 0)])
    assert compare(detections([row]), other_score, SETTINGS, candidates).score == pytest.approx(0.05)
    nothing = detections([])
    assert compare(detections([row]), nothing, SETTINGS, candidates).unpaired == 1
    stranger = detections([row, ([0.0, 0.0, 30.0, 30.0], 0.6, 0)])
    assert compare(detections([row]), stranger, SETTINGS, candidates).unpaired == 1


_rows = st.lists(
    st.tuples(
        st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(2, 24), st.integers(2, 24)),
        st.floats(0.0625, 1, width=16),
        st.integers(0, 1),
    ),
    max_size=8,
)


@given(_rows, _rows)
def test_comparing_has_no_direction(first: list[tuple], second: list[tuple]) -> None:
    def made(rows: list[tuple]) -> Detections:
        return detections([([x, y, x + w, y + h], score, label) for (x, y, w, h), score, label in rows])

    forth, back = compare(made(first), made(second), SETTINGS), compare(made(second), made(first), SETTINGS)
    assert (forth.pairs, forth.unpaired) == (back.pairs, back.unpaired)
    assert 2 * forth.pairs + forth.unpaired <= len(first) + len(second)
    assert 0 <= forth.matched_share <= 1
    same = compare(made(first), made(first), SETTINGS)
    assert (same.pairs, same.unpaired, same.box_px) == (len(first), 0, 0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PictureStore:
    """Eight pictures of 80 pixels, brought to 64."""
    data = toy_data(tmp_path_factory.mktemp("toy"), 8, size=80)
    # the network's labels, of which the pictures show the first two
    return PictureStore(replace(data, labels=LABELS), ResizeRule(*SIZE), "grey")


def answers(found: list[Detections]) -> list[PaddleAnswer]:
    return [PaddleAnswer(one, one) for one in found]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "fp32.onnx"
    onnx.save(tiny_graph("grey", SIZE), str(path))
    return path


def test_pictures_through_a_graph(store: PictureStore, graph: Path) -> None:
    told: list[tuple[int, int]] = []
    found = graph_detections(graph, store, [5, 2], lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    assert [one.source for one in found] == [store.data.samples[5].file_name, store.data.samples[2].file_name]
    assert all(one.image_size == SIZE and len(one) for one in found)
    everything = graph_detections(graph, store)
    np.testing.assert_array_equal(everything[5].boxes, found[0].boxes)
    moved = in_picture_pixels(found, store, [5, 2])
    np.testing.assert_allclose(moved[0].boxes, found[0].boxes * 80 / 64, rtol=1e-5)
    assert moved[0].image_size == (80, 80)


def test_evenly_spaced() -> None:
    assert evenly_spaced(3, 5) == [0, 1, 2]
    assert evenly_spaced(10, 1) == [0]
    assert evenly_spaced(100, 3) == [0, 50, 99]
    for total, wanted in ((1260, 128), (360, 32), (7, 6)):
        chosen = evenly_spaced(total, wanted)
        assert len(set(chosen)) == wanted
        assert max(np.diff(chosen)) - min(np.diff(chosen)) <= 1


def test_a_graph_agrees_with_itself(store: PictureStore, graph: Path) -> None:
    found = graph_detections(graph, store)
    rows = list(range(8))
    parity = check_parity(answers(found), found, store, rows, SETTINGS, exact=True)
    assert parity.images == 8
    assert parity.runtime.startswith("onnxruntime ")
    assert (parity.largest_score_difference, parity.largest_box_difference_px, parity.matched_share) == (0, 0, 1)
    assert parity.map_paddle == parity.map_graph
    require_parity(parity, graph)
    with pytest.raises(ValueError, match="cannot be compared"):
        check_parity(answers(found), found[:7], store, rows, SETTINGS, exact=True)
    with pytest.raises(ValueError, match="cannot be compared"):
        check_parity([], [], store, [], SETTINGS, exact=True)


@pytest.mark.parametrize("wrong", [Normalisation((114.495,) * 3, (60,) * 3), Normalisation((100,) * 3, (57.63,) * 3)])
def test_a_graph_with_another_normalisation_is_refused(
    store: PictureStore, graph: Path, tmp_path: Path, wrong: Normalisation
) -> None:
    onnx.save(tiny_graph("grey", SIZE, normalisation=wrong), str(tmp_path / "wrong.onnx"))
    right = graph_detections(graph, store)
    found = graph_detections(tmp_path / "wrong.onnx", store)
    parity = check_parity(answers(right), found, store, list(range(8)), SETTINGS, exact=True)
    with pytest.raises(TemperError, match=r"not what was trained, on 8 pictures: .*limit.* Nothing was exported"):
        require_parity(parity, tmp_path / "wrong.onnx")
    assert wrong != GREY


@pytest.mark.parametrize(
    ("figures", "sentence"),
    [
        ({"largest_score_difference": 0.002}, r"scores differ by up to 0.002 \(limit 0.001\)"),
        ({"largest_box_difference_px": 0.75}, r"box edges by up to 0.75 px \(limit 0.5 px\)"),
        ({"matched_share": 0.9}, r"10.0% of the detections have no partner \(limit 5%\)"),
    ],
)
def test_every_limit_has_its_words(figures: dict[str, float], sentence: str) -> None:
    good = Parity(
        images=4,
        runtime="onnxruntime",
        largest_score_difference=0.001,
        largest_box_difference_px=0.5,
        matched_share=0.95,
    )
    require_parity(good, Path("fp32.onnx"))
    with pytest.raises(TemperError, match=sentence):
        require_parity(good.model_copy(update=figures), Path("fp32.onnx"))
