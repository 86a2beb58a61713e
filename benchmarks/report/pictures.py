"""Example pictures for the report: what is there, and what each model says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...core.errors import TemperError
from ...detection.dataset import DataSet, Sample
from ...detection.detections import Detections, Status
from ...detection.draw import draw_boxes, jpeg_uri
from ...detection.examples import choose_examples
from ...detection.images import read_image
from ...detection.inspection import at_thresholds, inspect_pictures

#: Pixels that a picture is brought to fit into, so that boxes are legible and the file stays small.
SHOWN_WIDTH, SHOWN_HEIGHT = 300, 360
#: The same for pictures at several moments, of which there are many.
MOMENT_SIDE = 256
#: Rows at most; each has the truth and every model, and all rows together have at most so many pictures.
EXAMPLES, PANELS = 6, 24


@dataclass(frozen=True)
class Panel:
    """One drawn picture: its heading, its JPEG as a data URI, its size, and what it shows in words."""

    title: str
    uri: str
    width: int
    height: int
    description: str


@dataclass(frozen=True)
class Example:
    """One picture of the data set, as it is and as the models see it."""

    file_name: str
    panels: tuple[Panel, ...]


def make_examples(
    data: DataSet,
    models: Mapping[str, Mapping[str, Detections]],
    thresholds: Mapping[str, NDArray[np.float32]],
) -> list[Example]:
    """Draw the chosen pictures; one that cannot be read any more is left out.

    Args:
        data: what was measured on.
        models: title of a model -> its detections by file name.
        thresholds: title of a model -> float32 [classes], its operating point; what lies below is not drawn.
    """
    examples = []
    for index in choose_examples(data, min(EXAMPLES, max(1, PANELS // (1 + len(models))))):
        sample = data.samples[index]
        try:
            image = read_image(data.image_path(sample), "rgb")
        except TemperError:
            continue
        panels = [_truth_panel(image, sample, data.labels)]
        for title, detections in models.items():
            found = detections.get(sample.file_name, Detections.none(sample.size, status=Status.SKIPPED))
            panels.append(_model_panel(title, image, found, thresholds[title], data.labels))
        examples.append(Example(sample.file_name, tuple(panels)))
    return examples


def make_misses(
    data: DataSet,
    models: Mapping[str, Mapping[str, Detections]],
    thresholds: Mapping[str, NDArray[np.float32]],
    judged_by: str,
    found_iou: float,
) -> list[Example]:
    """Draw the pictures on which one model misses most, with what each model misses and flags wrongly there.

    For each class in turn it is the picture where most defects of that class are missed, the first of several, if it
    was not taken yet. Missed defects are dashed. A picture that cannot be read any more is left out.

    Args:
        data: what was measured on.
        models: title of a model -> its detections by file name.
        thresholds: title of a model -> float32 [classes], its operating point.
        judged_by: title of the model whose misses decide.
        found_iou: from which IoU on a detection lies on a defect.
    """
    found = {title: _in_order(data, detections) for title, detections in models.items()}
    inspected = inspect_pictures(data, found[judged_by], found_iou)
    missed = at_thresholds(inspected, dict(zip(data.labels, thresholds[judged_by].tolist(), strict=True))).missed
    answered = np.array([one.status is Status.OK for one in found[judged_by]])
    chosen: list[int] = []
    for label in range(len(data.labels)):
        places = inspected.defect_image[missed & (inspected.defect_label == label)]
        counts = np.bincount(places, minlength=len(data)) * answered
        counts[chosen] = 0
        if counts.any():
            chosen.append(int(counts.argmax()))
    chosen = chosen[: min(EXAMPLES, max(1, PANELS // (1 + len(models))))]
    return draw_misses(data, chosen, found, thresholds, found_iou)


def draw_misses(
    data: DataSet,
    chosen: Sequence[int],
    models: Mapping[str, Sequence[Detections]],
    thresholds: Mapping[str, NDArray[np.float32]],
    found_iou: float,
) -> list[Example]:
    """Draw pictures with the truth, and beside it what each model finds, misses (dashed) and flags wrongly.

    Args:
        data: what was measured on; a picture that cannot be read any more is left out.
        chosen: places of the pictures in ``data.samples``, in the order to show them.
        models: title of a model -> its detections, one per sample in order.
        thresholds: title of a model -> float32 [classes], its operating point.
        found_iou: from which IoU on a detection lies on a defect.
    """
    laid = {title: inspect_pictures(data, detections, found_iou) for title, detections in models.items()}
    at = {
        title: at_thresholds(one, dict(zip(data.labels, thresholds[title].tolist(), strict=True)))
        for title, one in laid.items()
    }
    examples = []
    for index in chosen:
        sample = data.samples[index]
        try:
            image = read_image(data.image_path(sample), "rgb")
        except TemperError:
            continue
        panels = [_truth_panel(image, sample, data.labels)]
        for title, one in laid.items():
            own_missed = at[title].missed[one.defect_image == index]
            wrong = int(at[title].false_alarm[one.image == index].sum())
            answer = models[title][index]
            panels.append(_miss_panel(title, image, sample, answer, thresholds[title], own_missed, wrong, data.labels))
        examples.append(Example(sample.file_name, tuple(panels)))
    return examples


def _in_order(data: DataSet, detections: Mapping[str, Detections]) -> list[Detections]:
    return [
        detections.get(sample.file_name, Detections.none(sample.size, status=Status.SKIPPED)) for sample in data.samples
    ]


def _miss_panel(
    title: str,
    image: NDArray[np.uint8],
    sample: Sample,
    found: Detections,
    thresholds: NDArray[np.float32],
    missed: NDArray[np.bool_],
    wrong: int,
    names: Sequence[str],
) -> Panel:
    """What a model finds, and dashed what it misses."""
    if found.status is not Status.OK:
        return _model_panel(title, image, found, thresholds, names)
    shown, factor = _shown_size(image)
    kept = found.at_thresholds(thresholds)
    drawn = draw_boxes(
        shown,
        kept.boxes * np.float32(factor),
        kept.labels,
        names,
        kept.scores,
        truth_boxes=sample.boxes[missed] * factor,
        truth_labels=sample.labels[missed],
    )
    alarms = f"{wrong} false alarm" + ("" if wrong == 1 else "s")
    heading = f"{title}: {int(missed.sum())} missed, {alarms}"
    words = _in_words(Counter(names[label] for label in sample.labels[missed].tolist()))
    return _panel(heading, drawn, f"{heading}. Missed: {words}.")


def _truth_panel(image: NDArray[np.uint8], sample: Sample, names: Sequence[str]) -> Panel:
    shown, factor = _shown_size(image)
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int32)
    drawn = draw_boxes(shown, *nothing, names, truth_boxes=sample.boxes * factor, truth_labels=sample.labels)
    words = _in_words(Counter(names[label] for label in sample.labels.tolist()))
    return _panel("Truth", drawn, f"Truth: {words}.")


def _model_panel(
    title: str, image: NDArray[np.uint8], found: Detections, thresholds: NDArray[np.float32], names: Sequence[str]
) -> Panel:
    shown, factor = _shown_size(image)
    if found.status is not Status.OK:
        return _panel(title, draw_boxes(shown, found.boxes, found.labels, names), f"{title}: no answer.")
    kept = found.at_thresholds(thresholds)
    drawn = draw_boxes(shown, kept.boxes * np.float32(factor), kept.labels, names, kept.scores)
    return _panel(title, drawn, f"{title}: {_in_words(Counter(names[label] for label in kept.labels.tolist()))}.")


def moment_panel(
    title: str, image: NDArray[np.uint8], sample: Sample, found: Detections, threshold: float, names: Sequence[str]
) -> Panel:
    """What a model said at one moment of its training, the truth dashed beneath it.

    Args:
        title: of the panel.
        image: uint8 [H, W, 3], RGB.
        sample: the truth.
        found: in pixels of ``image``.
        threshold: scores below it are not drawn.
        names: of the classes.
    """
    shown, factor = _shown_size(image, MOMENT_SIDE, MOMENT_SIDE)
    kept = found.keep(found.scores >= threshold)
    drawn = draw_boxes(
        shown, kept.boxes * np.float32(factor), kept.labels, names, kept.scores, truth_boxes=sample.boxes * factor
    )
    words = _in_words(Counter(names[label] for label in kept.labels.tolist()))
    return _panel(title, drawn, f"{title}: {words}, where there are {len(sample.labels)}.")


def _shown_size(
    image: NDArray[np.uint8], most_width: int = SHOWN_WIDTH, most_height: int = SHOWN_HEIGHT
) -> tuple[NDArray[np.uint8], float]:
    """The picture at the shown size, and the factor by which its boxes follow."""
    height, width = image.shape[:2]
    factor = min(most_width / width, most_height / height)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    return resized.astype(np.uint8), factor


def _panel(title: str, drawn: NDArray[np.uint8], description: str) -> Panel:
    return Panel(title, jpeg_uri(drawn), drawn.shape[1], drawn.shape[0], description)


def _in_words(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing"
