"""New thresholds for a bundle: chosen for a wanted escape rate on some pictures, judged on others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import ceil
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from ..bundle.card import CARD_NAME, render_card
from ..bundle.loader import Bundle
from ..bundle.manifest import BundleFile, JudgedPart, Manifest, ThresholdsChosen, Variant
from ..bundle.writer import write_bundle
from ..core.errors import TemperError, UsageError
from ..core.events import Event, Reporter
from ..deploy.runtimes.load import load_runtime, prepare_runtime
from ..detection.dataset import DataSet
from ..detection.inspection import FOUND_IOU, Inspected, at_thresholds, escape, inspect_pictures
from ..detection.threshold_choice import ThresholdChoice, choose_thresholds
from .accuracy import detect_pictures, leave_out_unread, unread_warning
from .candidate import in_labels_of
from .inspection import InspectionFigures, inspection_figures

STAGE = "thresholds"
#: By which pictures are dealt into two parts.
SEED = 0
PROGRESS_STEP = 20


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        escape_rate: of every class, from 0 to below 1.
        variant: name or precision of the graph to choose on; None takes the bundle's first.
        runtime: name in the runtimes' registry.
        threads: of the runtime; None lets it choose.
        found_iou: from which IoU on a detection lies on a defect.
    """

    escape_rate: float
    variant: str | None = None
    runtime: str = "onnxruntime"
    threads: int | None = None
    found_iou: float = FOUND_IOU


@dataclass(frozen=True, eq=False)
class Part:
    """One part of the data at the old thresholds and at the new ones."""

    data: DataSet
    before: InspectionFigures
    after: InspectionFigures

    def of_bundle(self) -> JudgedPart:
        """What the new bundle keeps of it."""
        return JudgedPart(
            data=self.data.name or str(self.data.image_folder),
            data_sha256=self.data.content_hash(),
            images=len(self.data),
            defects=self.after.escape[None].defects,
            missed=self.after.escape[None].missed,
            false_alarms=self.after.alarms[None].false_alarms,
        )


@dataclass(frozen=True, eq=False)
class OperatingPoint:
    """New thresholds and what they do.

    Attributes:
        wanted: what was asked for.
        variant: the graph they were chosen and judged on.
        choices: by label.
        chosen_on: the pictures they were chosen on.
        judged_on: pictures that had no say.
    """

    wanted: Wanted
    variant: Variant
    choices: Mapping[str, ThresholdChoice]
    chosen_on: Part
    judged_on: Part

    @property
    def thresholds(self) -> dict[str, float]:
        """By label."""
        return {label: choice.threshold for label, choice in self.choices.items()}

    def shortfalls(self) -> list[str]:
        """A sentence for each class that does not reach the wanted escape rate: its best, and what that costs."""
        return [self._shortfall(label, choice) for label, choice in self.choices.items() if not choice.reached]

    def _shortfall(self, label: str, choice: ThresholdChoice) -> str:
        if not choice.defects:
            return f"{label}: there is no defect of it to choose by; its threshold stays {choice.threshold:g}."
        if choice.missed == choice.defects:
            return (
                f"{label}: none of its {choice.defects} defects is found at any score; its threshold stays "
                f"{choice.threshold:g}."
            )
        inspected = self.chosen_on.after.inspected
        at = at_thresholds(inspected, self.thresholds)
        unseen = escape(inspected, at, inspected.defect_label == inspected.labels.index(label)).missed
        alarms = self.chosen_on.after.alarms[label].per_image.value
        return (
            f"{label}: {unseen} of its {choice.defects} defects are found at no score, so the best is an escape rate "
            f"of {100 * unseen / choice.defects:.1f} %, at the threshold {choice.threshold:g} and {alarms:.2f} false "
            "alarms per picture."
        )

    def cautions(self) -> list[str]:
        """What to know before trusting the thresholds, in sentences: whether they hold, at what price, can one tell."""
        sentences = []
        wanted, judged = self.wanted.escape_rate, self.judged_on.after.escape
        rate = judged[None].rate
        if rate.value is not None and rate.low is not None and rate.high is not None:
            told = f"{100 * rate.value:.1f} % of the defects escape ({100 * rate.low:.1f} to {100 * rate.high:.1f})"
            verdict = "more than" if rate.low > wanted else "less than" if rate.high < wanted else "not to be told from"
            sentences.append(f"On the pictures that had no say {told}: {verdict} the wanted {100 * wanted:g} %.")
        over = [self._over(label) for label in self.choices if (judged[label].rate.value or 0) > wanted]
        if over:
            sentences.append(f"There, more than the wanted {100 * wanted:g} % escape of {', '.join(over)}.")
        before, after = (one.alarms[None].per_image.value for one in (self.judged_on.before, self.judged_on.after))
        if before is not None and after is not None and after > before:
            sentences.append(f"The price: {after:.2f} false alarms a picture, {before:.2f} before.")
        few = [label for label, choice in self.choices.items() if 0 < choice.defects * wanted < 1]
        if few:
            sentences.append(
                f"{', '.join(few)}: fewer than {ceil(1 / wanted)} defects to choose by, so that {100 * wanted:g} % is "
                "not even one; more pictures make the thresholds surer."
            )
        return sentences

    def _over(self, label: str) -> str:
        """A class of which more escapes than is wanted, and whether that may be chance."""
        rate = self.judged_on.after.escape[label].rate
        assert rate.value is not None and rate.low is not None
        chance = "" if rate.low > self.wanted.escape_rate else ", which may be chance"
        return f"{label} ({100 * rate.value:.1f} %{chance})"


def deal_in_two(data: DataSet) -> tuple[DataSet, DataSet]:
    """Deal the pictures of a data set into two halves, with as equal a share of every class as can be; seeded.

    Raises:
        TemperError: if there are fewer than two pictures.
    """
    if len(data) < 2:
        raise TemperError(f"{data.name} has {len(data)} pictures; to choose on some and judge on others takes two.")
    order = np.random.default_rng(SEED).permutation(len(data))
    rarest = np.bincount(np.concatenate([sample.labels for sample in data.samples]), minlength=len(data.labels))

    def kind(row: int) -> int:
        labels = data.samples[row].labels
        return -1 if not len(labels) else int(min(labels.tolist(), key=lambda label: (rarest[label], label)))

    dealt = sorted(order.tolist(), key=kind)
    return data.subset(sorted(dealt[::2])), data.subset(sorted(dealt[1::2]))


def choose_operating_point(
    bundle: Bundle, wanted: Wanted, choose_on: DataSet, judge_on: DataSet, report: Reporter
) -> OperatingPoint:
    """Choose thresholds on one part of the data and judge them on the other.

    Args:
        bundle: opened.
        wanted: what is asked for.
        choose_on: pictures to choose on.
        judge_on: other pictures, to judge by.
        report: hears of the progress, under the stage ``thresholds``.

    Raises:
        UsageError: if there is no such variant or runtime.
        TemperError: if labels do not fit, no picture can be read, or there is no defect to choose by.
    """
    choose_on, judge_on = (in_labels_of(bundle, data) for data in (choose_on, judge_on))
    variant = bundle.manifest.variants[0] if wanted.variant is None else bundle.variant(wanted.variant)
    prepare_runtime(wanted.runtime, bundle, variant, 1, report)
    runtime = load_runtime(wanted.runtime, bundle, variant, threads=wanted.threads)
    inspected = []
    total = len(choose_on) + len(judge_on)
    try:
        for already, data in ((0, choose_on), (len(choose_on), judge_on)):

            def progress(done: int, of: int, already: int = already) -> None:
                if done % PROGRESS_STEP == 0 or done == of:
                    report(Event("step", STAGE, {"done": already + done, "total": total, "unit": "pictures"}))

            detections, unread = detect_pictures(bundle, variant, runtime, data, progress)
            readable = leave_out_unread(data, unread)
            for warning in unread_warning(readable.unread, len(data)):
                report(Event("warning", STAGE, {"message": warning}))
            own = [detections[row] for row in readable.rows]
            inspected.append((readable.data, inspect_pictures(readable.data, own, wanted.found_iou)))
    finally:
        runtime.close()
    old = bundle.manifest.thresholds
    if not len(inspected[0][1].defect_label):
        raise TemperError(f"The pictures of {choose_on.name} have no defect, so there is nothing to choose by.")
    choices = choose_thresholds(inspected[0][1], wanted.escape_rate, old)
    new = {label: choice.threshold for label, choice in choices.items()}
    parts = [_part(data, found, old, new) for data, found in inspected]
    return OperatingPoint(wanted, variant, choices, *parts)


def _part(data: DataSet, found: Inspected, old: Mapping[str, float], new: Mapping[str, float]) -> Part:
    return Part(data, inspection_figures(found, old), inspection_figures(found, new))


def require_new(bundle: Path, target: Path) -> None:
    """Refuse a place for the new bundle where something stands.

    Raises:
        UsageError: if ``target`` is the bundle itself, or is there.
    """
    if target.resolve() == bundle.resolve():
        raise UsageError(f"New thresholds make a new bundle; {target} is the one they are for. Choose another name.")
    if target.exists():
        raise UsageError(f"{target} is there already. Choose another name, or remove it first.")


def write_operating_point(bundle: Bundle, point: OperatingPoint, target: Path) -> Manifest:
    """Write a bundle with the same graphs and the new thresholds, called after its folder. It bears no signature.

    Args:
        bundle: the thresholds were chosen for; it is left as it is.
        point: the new thresholds.
        target: the folder to make; its name ends in ``.temper``.

    Raises:
        UsageError: if ``target`` is the bundle itself, or its name is no bundle's.
        TemperError: if it cannot be written.
    """
    require_new(bundle.path, target)
    old = bundle.manifest
    content = old.model_dump(mode="json")
    content["name"] = target.stem
    content["thresholds"] = point.thresholds
    content["thresholds_chosen"] = ThresholdsChosen(
        escape_rate=point.wanted.escape_rate,
        found_iou=point.wanted.found_iou,
        variant=point.variant.name,
        runtime=point.wanted.runtime,
        chosen_on=point.chosen_on.of_bundle(),
        judged_on=point.judged_on.of_bundle(),
        manifest_sha256=bundle.manifest_sha256,
    ).model_dump(mode="json")
    content["card"] = None
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        raise UsageError(
            f"A bundle cannot be called '{target.stem}' ({error.errors()[0]['msg']}). Choose another name."
        ) from error
    # the graphs are the same, so the golden pictures and their answers are, too; the card names the thresholds
    golden = [] if old.golden is None else [*old.golden.images, old.golden.answers]
    contents = {one.file: bundle.read(one) for one in golden}
    if old.card is not None:
        card = render_card(manifest).encode("utf-8")
        contents[CARD_NAME] = card
        described = BundleFile(file=CARD_NAME, sha256=sha256(card).hexdigest(), bytes=len(card))
        manifest = manifest.model_copy(update={"card": described})
    write_bundle(target, manifest, {variant.name: bundle.graph_path(variant) for variant in old.variants}, contents)
    return manifest
