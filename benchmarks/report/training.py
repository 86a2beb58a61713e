"""The report's part about the trainings: how each went, and what it saw on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import TemperError
from ...detection.dataset import DataSet, Sample
from ...detection.detections import Detections
from ...detection.examples import detections_of
from ...detection.images import read_image
from .curves import Curve, read_curve, read_entries
from .pictures import Panel, moment_panel
from .plot import Chart, SmallChart
from .results import ROLE_ORDER
from .training_charts import accuracy_chart, class_charts, loss_charts

#: Pictures whose detections are shown over time, each for every training at up to three moments.
FOLLOWED_PICTURES = 3
#: Drawn from this score on, the same at every moment, so that a detector is seen to grow sure.
DRAWN_SCORE = 0.3


@dataclass(frozen=True)
class TrainingFiles:
    """What one training left behind; a file that is missing is left out of the report.

    Attributes:
        metrics: ``metrics.jsonl``.
        examples: ``examples.jsonl``.
        record: ``record.json``.
    """

    metrics: Path
    examples: Path
    record: Path


@dataclass(frozen=True)
class TrainingFacts:
    """One row of the table of trainings; None where a training did not say.

    Attributes:
        role: teacher, student or distilled.
        title: of the role.
        series: decides the colour.
        epochs: trained in all.
        seconds: training took.
        images_per_second: while it trained.
        parameters: of the detector.
        weights_epoch: the epoch whose weights were kept; with early stopping not always the last.
        accuracy: mAP of these weights on the validation pictures, in points.
        loss: in words.
    """

    role: str
    title: str
    series: int
    epochs: int | None
    seconds: float | None
    images_per_second: float | None
    parameters: int | None
    weights_epoch: int | None
    accuracy: float | None
    loss: str


@dataclass(frozen=True)
class Followed:
    """One picture over time: for each training its title and a panel per moment."""

    file_name: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]


@dataclass(frozen=True)
class TrainingPart:
    """All that the report shows of the trainings."""

    facts: list[TrainingFacts]
    accuracy: Chart | None
    losses: list[SmallChart]
    classes: list[SmallChart]
    followed: list[Followed]


def training_part(
    trainings: Mapping[str, TrainingFiles], data: DataSet, titles: Mapping[str, str]
) -> TrainingPart | None:
    """Read and draw the trainings of a run.

    Args:
        trainings: by role; other roles than teacher, student and distilled are left out.
        data: the validation pictures.
        titles: of the roles.

    Returns:
        None if no training left anything.
    """
    files = {role: trainings[role] for role in ROLE_ORDER if role in trainings and role in titles}
    curves = [read_curve(role, one.metrics) for role, one in files.items()]
    curves = [curve for curve in curves if curve.losses or curve.accuracies]
    if not curves:
        return None
    return TrainingPart(
        [_facts(curve, _read_record(files[curve.role].record), titles) for curve in curves],
        accuracy_chart(curves, titles),
        loss_charts(curves, titles),
        class_charts(curves, data.labels, titles),
        follow_pictures({role: read_moments(one.examples) for role, one in files.items()}, data, titles),
    )


@dataclass(frozen=True)
class Moment:
    """What a training found on its example pictures after an epoch, by file name."""

    epoch: int
    found: Mapping[str, Detections]


def read_moments(path: Path) -> list[Moment]:
    """The first, the middle and the last evaluation of an ``examples.jsonl``; fewer if there were fewer."""
    moments: dict[int, Moment] = {}
    for entry in read_entries(path):
        try:
            found = [detections_of(picture) for picture in entry["pictures"]]
            epoch = int(entry["epoch"])
        except (KeyError, TypeError, ValueError, IndexError, OverflowError):
            continue
        moments[epoch] = Moment(epoch, {one.source: one for one in found})
    ordered = [moments[epoch] for epoch in sorted(moments)]
    if not ordered:
        return []
    return list({one.epoch: one for one in (ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1])}.values())


def follow_pictures(
    moments: Mapping[str, Sequence[Moment]], data: DataSet, titles: Mapping[str, str]
) -> list[Followed]:
    """Draw the first few example pictures at every moment of every training; one that is gone is left out."""
    names = dict.fromkeys(name for ones in moments.values() for one in ones for name in one.found)
    samples = {sample.file_name: sample for sample in data.samples}
    followed = []
    for name in [name for name in names if name in samples][:FOLLOWED_PICTURES]:
        try:
            rows = _rows(samples[name], moments, data, titles)
        except TemperError:
            continue
        followed.append(Followed(name, rows))
    return followed


def _rows(
    sample: Sample, moments: Mapping[str, Sequence[Moment]], data: DataSet, titles: Mapping[str, str]
) -> tuple[tuple[str, tuple[Panel, ...]], ...]:
    image = read_image(data.image_path(sample), "rgb")
    rows = []
    for role, ones in moments.items():
        there = [(one.epoch, one.found[sample.file_name]) for one in ones if sample.file_name in one.found]
        panels = [
            moment_panel(f"epoch {epoch}", image, sample, found, DRAWN_SCORE, data.labels)
            for epoch, found in there
            if not len(found) or 0 <= found.labels.min() <= found.labels.max() < len(data.labels)
        ]
        if panels:
            rows.append((titles[role], tuple(panels)))
    return tuple(rows)


def _facts(curve: Curve, record: Mapping[str, Any], titles: Mapping[str, str]) -> TrainingFacts:
    figures = record.get("accuracy")
    return TrainingFacts(
        curve.role,
        titles[curve.role],
        ROLE_ORDER.index(curve.role),
        record.get("epochs"),
        record.get("seconds"),
        record.get("images_per_second"),
        record.get("parameters"),
        # without early stopping, the last epoch's weights are kept
        record.get("best_epoch") or record.get("epochs"),
        figures.get("ap") if isinstance(figures, dict) else None,
        str(record.get("loss", "")),
    )


def _read_record(path: Path) -> Mapping[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}
