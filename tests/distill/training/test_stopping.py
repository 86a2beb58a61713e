from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from temper.core.errors import TemperError
from temper.detection.dataset import label_counts
from temper.distill.recipe_training import EarlyStoppingSection
from temper.distill.training.stopping import EarlyStopping, set_aside
from toy_data import toy_data


def test_what_is_set_aside_is_its_share_and_the_same_for_the_same_seed(tmp_path):
    data = toy_data(tmp_path, 40, 3)
    learnt, held = set_aside(data, 0.25, 7)
    names = [{s.file_name for s in part.samples} for part in (learnt, held)]
    assert len(names[0]) == 30 and len(names[1]) == 10 and not names[0] & names[1]
    assert all(label_counts(held.samples, 2) > 0)
    again, other = set_aside(data, 0.25, 7)[1], set_aside(data, 0.25, 8)[1]
    assert {s.file_name for s in again.samples} == names[1] != {s.file_name for s in other.samples}


def test_pictures_that_are_nearly_the_same_stay_together(tmp_path):
    data = toy_data(tmp_path, 20, 3)
    copies = []
    for sample in data.samples:
        image = cv2.imread(str(data.image_path(sample)), cv2.IMREAD_GRAYSCALE)
        copies.append(replace(sample, file_name=f"again-{sample.file_name}"))
        cv2.imwrite(str(data.image_path(copies[-1])), np.clip(image + 4.0, 0, 255).astype(np.uint8))
    data = replace(data, samples=(*data.samples, *copies))
    for seed in range(3):
        learnt, held = set_aside(data, 0.25, seed)
        assert len(learnt) + len(held) == 40 and len(held) >= 6
        sides = [{s.file_name.removeprefix("again-") for s in part.samples} for part in (learnt, held)]
        assert not sides[0] & sides[1]


def test_too_few_pictures_to_set_any_aside_is_said(tmp_path):
    data = toy_data(tmp_path, 12, 3)
    boxes = data.samples[0]
    empty = [type(s)(s.file_name, s.width, s.height, s.boxes[:0], s.labels[:0]) for s in data.samples[1:]]
    with pytest.raises(TemperError, match="one part without a box"):
        set_aside(type(data)(data.labels, (boxes, *empty), data.image_folder, "few"), 0.3, 1)


def test_a_share_of_less_than_one_picture_names_the_field(tmp_path):
    with pytest.raises(TemperError, match=r"0\.1% of the 12 training .* larger training.early_stopping.hold_out"):
        set_aside(toy_data(tmp_path, 12, 3), 0.001, 1)


def looks(stopping: EarlyStopping, accuracies: list[float | None]) -> list[bool]:
    over = []
    for epoch, accuracy in enumerate(accuracies, start=1):
        stopping.look(accuracy, epoch, {"w": np.full(1, epoch)})
        over.append(stopping.over)
    return over


def test_it_is_over_after_so_many_looks_without_a_better_one():
    stopping = EarlyStopping(EarlyStoppingSection(patience=2))
    assert looks(stopping, [10.0, 12.0, 12.0, 11.9]) == [False, False, False, True]
    assert (stopping.best, stopping.epoch) == (12.0, 2) and stopping.weights["w"] == 2


def test_a_look_counts_as_better_from_so_many_points_on():
    stopping = EarlyStopping(EarlyStoppingSection(patience=3, at_least=1.0))
    assert looks(stopping, [None, 10.0, 10.9, 11.0, 11.5]) == [False] * 5
    assert (stopping.best, stopping.epoch, stopping.waited) == (11.0, 4, 1)


def test_looks_are_due_every_so_many_epochs_and_after_the_last():
    stopping = EarlyStopping(EarlyStoppingSection(every=3))
    assert [epoch for epoch in range(1, 9) if stopping.due(epoch, 8)] == [3, 6, 8]


def test_its_state_goes_through_a_checkpoint():
    stopping = EarlyStopping(EarlyStoppingSection(patience=5))
    looks(stopping, [3.25, 1.5])
    restored = EarlyStopping(EarlyStoppingSection(patience=5))
    restored.restore(stopping.state(), stopping.weights)
    assert restored == stopping
