"""Matching and resampling against faster-coco-eval, which judges pictures that really stand there several times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_steel import random_steel
from temper.detection.bootstrap import average_precisions, family_intervals, figure_of_draws
from temper.detection.detections import Detections, Status
from temper.detection.intervals import draw_pictures
from temper.detection.matching import match_detections
from temper.detection.metrics import FAMILY, judge


@settings(max_examples=40)
@given(seed=st.integers(0, 2**31), images=st.integers(1, 10), classes=st.integers(1, 4), unlike=st.booleans())
def test_every_picture_once_gives_the_figures_of_coco(seed: int, images: int, classes: int, unlike: bool) -> None:
    data, detections = random_steel(seed, images, classes, unlike=unlike)
    ours = average_precisions(match_detections(data, detections), np.ones((images, 1), np.int32))
    coco = judge(data, detections)
    for label in (None, *data.labels):
        rows = slice(None) if label is None else [data.labels.index(label)]
        for name, value in coco.family(label).items():
            (own,) = figure_of_draws(ours[:, rows], name)
            assert np.isnan(own) if value is None else own == pytest.approx(value, abs=1e-9)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), images=st.integers(1, 8))
def test_a_draw_is_judged_as_if_its_pictures_stood_there(seed: int, images: int) -> None:
    data, detections = random_steel(seed, images)
    draws = draw_pictures(images, 5, seed)
    resampled = average_precisions(match_detections(data, detections), draws)
    for number in range(5):
        pictures = np.repeat(np.arange(images), draws[:, number])
        coco = judge(data.subset(pictures), [detections[i] for i in pictures])
        for name in FAMILY:
            value = coco.family()[name]
            own = figure_of_draws(resampled, name)[number]
            assert np.isnan(own) if value is None else own == pytest.approx(value, abs=1e-9)


def test_intervals_hold_the_figure_and_are_the_same_again() -> None:
    data, detections = random_steel(3, 40)
    coco, matches = judge(data, detections), match_detections(data, detections)
    first, second = (family_intervals(coco, matches, draw_pictures(40, 200)) for _ in range(2))
    assert first == second
    assert first != family_intervals(coco, matches, draw_pictures(40, 200, seed=1))
    for label, figures in first.items():
        for name, one in figures.items():
            assert one.value == coco.family(label)[name]
            if one.value is not None and one.low is not None and one.high is not None:
                assert 0 <= one.low <= one.value <= one.high <= 100
    ap = first[None]["ap"]
    assert ap.low is not None and ap.high is not None and ap.high - ap.low > 1


def test_a_class_without_truth_has_no_interval() -> None:
    data, detections = random_steel(5, 6, 1, good=1.0)
    intervals = family_intervals(judge(data, detections), match_detections(data, detections), draw_pictures(6, 50))
    assert {one.value for figures in intervals.values() for one in figures.values()} == {None}


def test_no_answer_is_nothing_found() -> None:
    data, detections = random_steel(1, 6, good=0.0)
    silent = [Detections.none(found.image_size, status=Status.ERROR) for found in detections]
    ones = np.ones((6, 1), np.int32)
    assert figure_of_draws(average_precisions(match_detections(data, silent), ones), "ap")[0] == 0


@pytest.mark.slow
def test_the_interval_of_ap_holds_the_true_one() -> None:
    """Of a large population samples are drawn; a percentile interval would hold it in some 83 of 100."""
    data, detections = random_steel(0, 4000, 2)
    whole = average_precisions(match_detections(data, detections), np.ones((4000, 1), np.int32))
    true = figure_of_draws(whole, "ap")[0]
    held = 0
    for number in range(80):
        pictures = range(50 * number, 50 * number + 50)
        part, found = data.subset(pictures), [detections[i] for i in pictures]
        one = family_intervals(judge(part, found), match_detections(part, found), draw_pictures(50, 300))[None]["ap"]
        assert one.low is not None and one.high is not None
        held += one.low <= true <= one.high
    assert held >= 70
