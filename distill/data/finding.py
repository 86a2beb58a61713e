"""What can be wrong with a data set, as plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from ...core.errors import TemperError

Severity = Literal["error", "warning", "info"]
Kind = Literal[
    "broken-annotation",  # an annotation file or entry that cannot be read
    "missing-picture",  # an annotation whose picture is not there
    "unreadable-picture",  # not a picture, or cut short
    "mislabelled-picture",  # the ending says another format than the content
    "size-differs",  # the annotation gives another width and height than the picture has
    "broken-box",  # not four finite numbers
    "empty-box",  # inverted, or without area
    "box-outside",  # reaches over the picture's edge, or lies beyond it
    "duplicate-box",  # the same box and class twice on one picture
    "counted-from-one",  # COCO boxes that follow Pascal VOC's way to count pixels
    "two-classes",  # the same box with two classes
    "unknown-class",  # a class that the training split does not have, or that is no class at all
    "similar-classes",  # two names that may be one class
    "same-picture",  # the same content twice
    "near-picture",  # nearly the same picture in two splits
    "class-imbalance",
    "size-imbalance",
    "no-boxes",
]

#: The order of severities, the worst first.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        kind: what it is.
        severity: ``"error"`` where training or judging on it goes wrong, ``"warning"`` where results suffer.
        split: it concerns, or empty.
        file: it concerns, relative to the data set's folder, or empty.
        message: one sentence without the file's name.
        other: the second file, where a pair is meant; relative as well.
        picture: it is about, where ``file`` is an annotation; relative as well.
        count: how many entries of the file it sums up.
        box: x1, y1, x2, y2 in pixels of the picture, where one box is meant.
    """

    kind: Kind
    severity: Severity
    split: str
    file: str
    message: str
    other: str = ""
    picture: str = ""
    count: int = 1
    box: tuple[float, float, float, float] | None = None


#: Called by a reader with what it cannot take. It raises, or the reader leaves the entry out and goes on.
Complain = Callable[[Finding], None]


def refuse(root: Path, finding: Finding) -> NoReturn:
    """Stop an import at the first finding.

    Raises:
        TemperError: always; it names the file, what is wrong in it, and how to see all the rest.
    """
    raise TemperError(
        f"{root / finding.file}: {finding.message} Mend the file or take it out; 'temper data check' lists every such "
        "place."
    )
