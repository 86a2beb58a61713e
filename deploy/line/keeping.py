"""From the loop's results to the store: pictures first, then the rows that name them, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ...core.errors import TemperError
from ..cameras.folder_files import FolderFiles
from ..detector import Outcome
from ..results.pictures import PictureWriter
from ..results.records import FrameResult, Item, now
from ..results.store import Store
from .judge import Judged
from .loop import Result

Pictures = Literal["all", "defects", "none"]
#: A frame without an answer is never drawn: without boxes it would look like one without defects.
DRAWN: dict[Pictures, tuple[Outcome, ...]] = {
    "all": (Outcome.OK, Outcome.DEFECT),
    "defects": (Outcome.DEFECT,),
    "none": (),
}


@dataclass(eq=False)
class StoreKeeper:
    """Keeps results in a store; see ``loop.Keeper``.

    Attributes:
        store: with a run begun.
        pictures: writes them; leaves out what there is no room for.
        thumbnails: of which frames a picture with the defects drawn on it is written.
        full_frames: of which frames the picture is kept as the camera gave it.
        files: of each camera that is a folder; what has its verdict stored is put away there.
    """

    store: Store
    pictures: PictureWriter
    thumbnails: Pictures
    full_frames: Pictures
    files: Mapping[str, FolderFiles] = field(default_factory=dict)
    _failed: Sequence[Result] | None = None
    _items: Sequence[Item] = ()

    def keep(self, results: Sequence[Result]) -> None:
        """Store results. Where their pictures cannot be written they are stored without: verdicts are worth more.

        Raises:
            TemperError: if they cannot be stored now.
        """
        if results is not self._failed:  # what is offered again has its pictures already
            self._items = self._with_their_pictures(results)
        self._failed = results
        self.store.add(self._items)
        self._failed, self._items = None, ()
        for result in results:
            if isinstance(result, Judged) and result.frame.files:
                self.files[result.frame.camera].settle(result.frame.files)

    def _with_their_pictures(self, results: Sequence[Result]) -> list[Item]:
        items = [self._item(result) if isinstance(result, Judged) else result for result in results]
        try:
            written = self.pictures.flush()
        except TemperError:
            written = {}
        return [_with_pictures(item, written) if isinstance(item, FrameResult) else item for item in items]

    def _item(self, judged: Judged) -> FrameResult:
        frame, outcome = judged.frame, judged.verdict.outcome
        picture = full = None
        if frame.image is not None:
            if outcome in DRAWN[self.thumbnails]:
                picture = self.pictures.write(judged.number, frame.source, frame.image, judged.verdict.defects)
            if outcome in DRAWN[self.full_frames]:
                full = self.pictures.write_full(judged.number, frame.source, frame.image)
        return FrameResult(
            number=judged.number,
            source=frame.source,
            time=now(),
            verdict=judged.verdict,
            cause=judged.cause,
            detail=judged.detail,
            times=judged.times,
            timestamp_ms=frame.timestamp_ms,
            camera=frame.camera,
            frame_id=frame.frame_id,
            exposed=frame.exposed or None,
            position_m=frame.position_m,
            length_m=judged.length_m,
            latency_ms=judged.latency_ms,
            picture=picture,
            full_picture=full,
            files=frame.files,
            side=judged.side,
        )


def _with_pictures(result: FrameResult, written: dict[str, int]) -> FrameResult:
    """The result with the names of those pictures that are there."""
    if result.picture is None and result.full_picture is None:
        return result
    picture = result.picture if result.picture in written else None
    full = result.full_picture if result.full_picture in written else None
    size = sum(written[name] for name in (picture, full) if name is not None)
    return replace(result, picture=picture, full_picture=full, picture_bytes=size or None)
