"""Checking a data set for what hurts in practice, before an hour of training does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from .balance import SplitFigures, check_balance, check_classes, split_figures
from .contact_sheet import require_sheet_path, write_contact_sheet
from .finding import SEVERITIES, Finding, Severity
from .likeness import hash_pictures, near_pairs
from .picture_checks import check_origin, check_picture
from .pictures import PictureFacts, look_at_all
from .reader import opened, read_source
from .source import SourcePicture


@dataclass(frozen=True)
class CheckReport:
    """What a check saw.

    Attributes:
        format: of the data set: ``"voc"``, ``"coco"`` or ``"temper"``.
        labels: the classes.
        findings: the worst first.
        splits: figures of every split; pictures without a split are under the empty name.
        notes: sentences on what was left out.
    """

    format: str
    labels: tuple[str, ...]
    findings: tuple[Finding, ...]
    splits: dict[str, SplitFigures]
    notes: tuple[str, ...]

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def warnings(self) -> int:
        """How many findings are warnings."""
        return sum(finding.severity == "warning" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return {**asdict(self), "errors": self.errors, "warnings": self.warnings}


def check_source(source: Path, contact_sheet: Path | None = None) -> CheckReport:
    """Look through a data set: annotations, pictures, classes, likeness between splits, balance.

    Args:
        source: a data set folder of Temper, or whatever can be imported.
        contact_sheet: where to write a PNG with the worst pictures.

    Returns:
        Everything found.

    Raises:
        TemperError: if there is no data set of a known format, or the contact sheet cannot be written.
    """
    if contact_sheet is not None:
        require_sheet_path(contact_sheet)
    findings: list[Finding] = []
    with opened(source) as place:
        data = read_source(place, findings.append)
        files = sorted({picture.file for picture in data.pictures})
        facts: dict[PurePosixPath, PictureFacts] = {}
        for file, fact in zip(files, look_at_all([data.root / file for file in files]), strict=True):
            facts[file] = fact
        for picture in data.pictures:
            findings += check_picture(picture, facts[picture.file])
        figures = split_figures(data)
        if not data.pictures:
            findings.append(Finding("missing-picture", "error", "", "", "There is no picture with an annotation."))
        elif not any(of_split.all_boxes for of_split in figures.values()):
            findings.append(Finding("no-boxes", "error", "", "", "No picture has a box, so there is nothing to learn."))
        findings += check_classes(data)
        findings += _check_likeness(data.pictures, facts)
        findings += check_balance(figures)
        findings += check_origin(data, facts)
        findings.sort(
            key=lambda finding: (SEVERITIES.index(finding.severity), finding.kind, finding.split, finding.file)
        )
        if contact_sheet is not None:
            write_contact_sheet(contact_sheet, data, findings)
    return CheckReport(data.format, data.labels, tuple(findings), figures, data.notes)


def _check_likeness(pictures: Sequence[SourcePicture], facts: dict[PurePosixPath, PictureFacts]) -> Iterator[Finding]:
    """The same picture twice, and nearly the same picture in two splits, or where a split could part them."""
    by_content: dict[str, list[SourcePicture]] = defaultdict(list)
    for picture in pictures:
        if facts[picture.file].size is not None:
            by_content[facts[picture.file].sha256].append(picture)
    for group in by_content.values():
        yield from _same_content(group)
    firsts = {group[0].file.as_posix(): group[0] for group in by_content.values()}
    names, hashes = hash_pictures({name: facts[picture.file] for name, picture in firsts.items()})
    nearest: dict[int, tuple[int, int]] = {}
    for one, other, bits in near_pairs(hashes):
        parted = firsts[names[one]].split != firsts[names[other]].split or firsts[names[one]].split is None
        # of the frames of a film each is like hundreds: the likest stands for all
        if parted and bits < nearest.get(other, (len(hashes[other]) + 1, 0))[0]:
            nearest[other] = bits, one
    for other, (bits, one) in nearest.items():
        yield _near(firsts[names[one]], firsts[names[other]], bits)


def _same_content(group: Sequence[SourcePicture]) -> Iterator[Finding]:
    first = group[0]
    for other in group[1:]:
        leaks = other.split != first.split
        where = f"in '{first.split}' as {first.file}" if leaks else f"there as {first.file}"
        trained = ", so what is judged was trained on" if leaks and "train" in (first.split, other.split) else ""
        yield Finding(
            "same-picture",
            "error" if leaks else "warning",
            other.split or "",
            other.file.as_posix(),
            f"The same picture is also {where}{trained}.",
            other=first.file.as_posix(),
        )


def _near(first: SourcePicture, other: SourcePicture, bits: int) -> Finding:
    where = f" in '{first.split}'" if first.split is not None else ""
    message = f"It is nearly the same as {first.file}{where} ({bits} of 255 bits of their hashes differ)."
    # without splits it is only worth knowing: those made on import keep such pictures together
    severity: Severity = "info" if first.split is None and other.split is None else "warning"
    return Finding(
        "near-picture", severity, other.split or "", other.file.as_posix(), message, other=first.file.as_posix()
    )
