"""From detections to verdicts: of every frame, and of the strip."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ...detection.detections import Detections, Status
from ..detector import Outcome, Verdict
from ..frames import Cause, Frame, Gap, Notice
from ..stages import StageTimes
from ..strip.across import AcrossFrames, FramePart
from ..strip.defect import Joined, StripDefect
from ..strip.judging import Judging, Parts
from ..strip.repeats import Repeats
from ..strip.scale import Scale


@dataclass(frozen=True, eq=False)
class Judged:
    """A frame's end.

    Attributes:
        frame: as it came.
        number: of the frame in this run, from 0.
        verdict: ok, defect or not inspected; a late frame keeps the defects that were found too late.
        cause: why it was not inspected; None if it was.
        detail: the same as a sentence.
        times: milliseconds by stage.
        latency_ms: from exposure to verdict; None if it was not inspected.
        length_m: how much of the strip the frame shows; None if not known.
        side: of the strip that its camera sees; None if not known.
    """

    frame: Frame
    number: int
    verdict: Verdict
    cause: Cause | None
    detail: str | None
    times: StageTimes
    latency_ms: float | None
    length_m: float | None = None
    side: str | None = None


class Judge:
    """Judges frames one after the other, and follows defects along the strip.

    Args:
        rules: what counts as a defect.
        scales: of the cameras whose millimetres are known.
        deadline_ms: from exposure to verdict; None: none is late.
        across: joins defects over frames; None where positions are not known.
        repeats: finds periodic ones.
        sides: of the strip, that cameras see; the others see one side together.
    """

    def __init__(
        self,
        rules: Judging,
        scales: Mapping[str, Scale],
        deadline_ms: float | None,
        across: AcrossFrames | None,
        repeats: Repeats | None,
        sides: Mapping[str, str] | None = None,
    ) -> None:
        self._rules, self._scales, self._deadline_ms = rules, scales, deadline_ms
        self._across, self._repeats = across, repeats
        self._sides = dict(sides or {})
        self._rows: dict[str, int] = {}

    def is_late(self, frame: Frame) -> bool:
        """Whether the deadline of a frame has passed already."""
        return self._deadline_ms is not None and since_exposure_ms(frame) > self._deadline_ms

    def too_late(self, frame: Frame) -> Frame:
        """The frame as one that will not be inspected, as its verdict could not come in time."""
        detail = f"It waited for longer than its deadline of {self._deadline_ms:g} ms."
        return replace(frame, image=None, cause=Cause.LATE, detail=detail)

    def without_answer(self, frame: Frame, number: int, cause: Cause, detail: str) -> tuple[Judged, list[StripDefect]]:
        """A frame that is not inspected, and the defects of the strip that do not wait for what it would have shown."""
        size = (frame.image.shape[1], frame.image.shape[0]) if frame.image is not None else (0, 0)
        nothing = Detections.none(size, frame.source, Status.SKIPPED)
        times: StageTimes = {"decode": frame.decode_ms}
        length_m = self._length_m(frame, size)
        verdict, side = Verdict(Outcome.NOT_INSPECTED, nothing), self._sides.get(frame.camera)
        judged = Judged(frame, number, verdict, cause, detail, times, None, length_m, side)
        if self._across is None or frame.camera not in self._scales:
            return judged, []
        begins_mm = None if frame.position_m is None else 1000 * frame.position_m
        passed = self._across.passed(frame.camera, begins_mm, 1000 * (length_m or 0.0), exposure(frame), side or "")
        return judged, self._judged(passed)

    def judge(
        self, frame: Frame, number: int, found: Detections, times: StageTimes
    ) -> tuple[Judged, list[StripDefect]]:
        """The verdict of one frame, and the defects of the strip that are whole by now.

        Args:
            frame: with its image.
            number: of the frame in this run.
            found: on it, boxes in its pixels.
            times: milliseconds by stage.
        """
        scale = self._scales.get(frame.camera)
        parts = self._rules.parts(found, frame.camera, scale)
        defects = parts.counted
        whole = self._follow(frame, number, parts, scale)
        latency_ms = since_exposure_ms(frame)
        length_m, side = self._length_m(frame, found.image_size), self._sides.get(frame.camera)
        if self._deadline_ms is not None and latency_ms > self._deadline_ms:
            detail = f"Its verdict took {latency_ms:.0f} ms; the deadline is {self._deadline_ms:g} ms."
            verdict = Verdict(Outcome.NOT_INSPECTED, defects)
            return Judged(frame, number, verdict, Cause.LATE, detail, times, latency_ms, length_m, side), whole
        verdict = Verdict(Outcome.DEFECT if len(defects) else Outcome.OK, defects)
        return Judged(frame, number, verdict, None, None, times, latency_ms, length_m, side), whole

    def heard(self, item: Gap | Notice) -> list[StripDefect]:
        """The defects that end with a camera's going away: told when it goes, and once more when it is back."""
        gone = isinstance(item, Gap) or item.state != "connected"
        return self._judged(self._across.lost(item.camera)) if gone and self._across is not None else []

    def finish(self) -> list[StripDefect]:
        """The defects that are open at the end."""
        return self._judged(self._across.flush()) if self._across is not None else []

    def _length_m(self, frame: Frame, size: tuple[int, int]) -> float | None:
        """How much of the strip a frame shows; of one without a picture as much as its camera's frames did last."""
        scale = self._scales.get(frame.camera)
        if scale is None:
            return None
        rows = size[1] or self._rows.get(frame.camera)
        if rows is None:
            return None
        self._rows[frame.camera] = rows
        return rows * scale.along / 1000

    def _follow(self, frame: Frame, number: int, parts: Parts, scale: Scale | None) -> list[StripDefect]:
        if self._across is None or scale is None or frame.position_m is None:
            return []
        found = parts.found
        part = FramePart(
            camera=frame.camera,
            number=number,
            window=scale.window(found.image_size, frame.position_m),
            boxes=scale.to_strip(found.boxes, frame.position_m),
            labels=found.labels.tolist(),
            scores=found.scores.tolist(),
            counts=parts.counts.tolist(),
            moment=exposure(frame),
            side=self._sides.get(frame.camera, ""),
        )
        return self._judged(self._across.add(part))

    def _judged(self, whole: list[Joined]) -> list[StripDefect]:
        """The defects that count, with the severity of their whole size, and their period where they have one."""
        judged = []
        for defect in filter(self._rules.counts, whole):
            # the pieces of a long defect come at one distance too
            repeat = self._repeats.add(defect) if self._repeats is not None and not defect.goes_on else None
            judged.append(defect.judged(self._rules.severity_of(defect.label, defect.longest_mm), repeat))
        return judged


def since_exposure_ms(frame: Frame) -> float:
    """Milliseconds from a frame's exposure until now, whatever was done to the clock meanwhile."""
    return 1000 * (time.monotonic() - exposure(frame))


def exposure(frame: Frame) -> float:
    """When a frame was exposed, in seconds of the monotonic clock."""
    return frame.arrived - frame.travel_ms / 1000
