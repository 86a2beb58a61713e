"""Whether a teacher's features are computed once and kept on disk, or anew in every step; and where they are kept.

The choice is made when a training begins and written beside its results, so that a resumed training is taught by the
same numbers to the end.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...core.errors import TemperError, UsageError
from ...core.files import MAX_RECORD_BYTES, read_json, remove_tree, sha256_file, write_json
from .. import ranks
from ..paddle_import import paddle
from .augment import flips_of
from .cached_teacher import CachedTeacher, TooLargeForFloat16Error, Viewpoint, probe_shapes
from .feature_store import FOLDER_PREFIX, FeatureLayout, FeatureStore, bytes_missing, store_folder
from .job import FEATURES_NAME

if TYPE_CHECKING:
    from ...detection.dataset import DataSet
    from ..detectors.normalise import Normalisation
    from ..recipe_distillation import DistillationSection
    from .distiller import Distiller
    from .job import TrainingJob
    from .loader import PictureStore
    from .teacher import Teacher

Source = Literal["cached", "live"]
#: Beside the results of a distillation: where its teacher's features come from.
CHOICE_NAME = "features.json"
#: Of the disk, for checkpoints and everybody else, if the recipe insists on 'cached'.
SPARE_BYTES = 1 << 30
#: Of what is free on the disk, if it is Temper who chooses.
MODEST_SHARE = 0.5


def choose_features(
    job: TrainingJob,
    out: Path,
    distiller: Distiller,
    pictures: PictureStore,
    normalisation: Normalisation,
    say: Callable[..., None],
) -> CachedTeacher | None:
    """Decide for a training, or stand by what was decided when it began.

    Args:
        job: with distillation.
        out: folder of the training's results.
        distiller: its teacher, strides and losses.
        pictures: that the student learns from.
        normalisation: of the pixels.
        say: is told what was decided and why, as ``say(kind, **data)``.

    Returns:
        The teacher that answers from disk, every feature in place; None if the teacher is to be run in every step.

    Raises:
        UsageError: if the recipe wants features on disk that cannot be there.
        TemperError: if it does, and the disk is too small.
    """
    section = job.distillation
    assert section is not None
    view = Viewpoint(flips_of(job.training.augment), distiller.strides, normalisation)
    decided = _decided(out) if ranks.rank() == 0 else None
    key, layout = None, None
    if ranks.rank() == 0 and _wanted(job, section, distiller, view, decided) == "cached":
        key = features_key(job, view)
        layout = _layout(section, out, key, distiller.teacher, pictures, view, say)
    # rank 0 decides for all
    told = json.loads(ranks.share_bytes(json.dumps(None if layout is None else [key, asdict(layout)]).encode()))
    if told is not None:
        key, fields = told
        layout = FeatureLayout(tuple(tuple(shape) for shape in fields["shapes"]), fields["entries"])
        store = FeatureStore(_place(section, out), key, layout)
        cached = CachedTeacher(distiller.teacher, store, pictures, view, say)
        try:
            _decide(out, "cached")
            cached.fill()
            return cached
        except TooLargeForFloat16Error as error:
            cached.close()
            if section.features == "cached":
                raise
            say("note", message=f"{error} For now the teacher is run in every step.")
    if decided == "cached":
        message = (
            "This training began with the teacher's features on disk and goes on without, so its numbers will differ "
            "in the last digits from those of an undisturbed one."
        )
        say("warning", message=message)
    _decide(out, "live")
    return None


def _wanted(
    job: TrainingJob, section: DistillationSection, distiller: Distiller, view: Viewpoint, decided: Source | None
) -> Source:
    """What the recipe asks for, or what is right for it, as long as the disk agrees."""
    if section.features == "live" or not job.training.epochs:
        return "live"
    why_live = None
    if distiller.needs_live:
        why_live = "one of the losses reads more of the teacher than its neck"
    elif job.training.scales:
        why_live = "training.scales gives the pictures many sizes"
    if section.features == "cached":
        if why_live is not None:
            raise UsageError(
                f"distillation.features is 'cached', but {why_live}, so the teacher has to be run in every step. Set "
                "it to 'auto' or 'live'."
            )
        return "cached"
    if why_live is not None:
        return "live"
    if decided is not None:
        return decided
    # all flips of a picture cost as many runs of the teacher as there are flips, an epoch costs one
    return "cached" if job.training.epochs > len(view.flips) else "live"


def _layout(
    section: DistillationSection,
    out: Path,
    key: dict[str, Any],
    teacher: Teacher,
    pictures: PictureStore,
    view: Viewpoint,
    say: Callable[..., None],
) -> FeatureLayout | None:
    """What is to be stored, if the disk has room for what is missing; None if that is too much to take unasked."""
    place = _place(section, out)
    count = len(pictures.data)
    layout = FeatureLayout(probe_shapes(teacher, pictures, view), count * len(view.flips))
    folder = store_folder(place, key)
    free, missing = _free_bytes(place), bytes_missing(folder, layout)
    size = f"{_readable(layout.total_bytes)} in {place}"
    if 0 < missing < layout.total_bytes:
        size += f", of which {_readable(missing)} are not there yet"
    size += f", and the disk has {_readable(free)} free" if missing else ", which are set aside already"
    if section.features == "auto" and missing > max(0, min(MODEST_SHARE * free, free - SPARE_BYTES)):
        message = (
            f"The teacher is run in every step: its features would need {size}, more than is taken unasked. "
            "distillation.cache names another disk, distillation.features 'cached' insists."
        )
        say("note", message=message)
        return None
    if missing > max(0, free - SPARE_BYTES):
        raise TemperError(
            f"The teacher's features need {size}, of which {_readable(SPARE_BYTES)} are left to others. Name another "
            "disk with distillation.cache, or set distillation.features to live."
        )
    if section.cache is None and place.is_dir():
        for other in place.glob(f"{FOLDER_PREFIX}*"):
            if other != folder:
                remove_tree(other)  # of another teacher or other pictures
    message = (
        f"The teacher sees each of {count:,} pictures once in each of {len(view.flips)} flips; its features "
        f"take {size}."
    )
    say("note", message=message)
    return layout


def _place(section: DistillationSection, out: Path) -> Path:
    return Path(section.cache) if section.cache is not None else out / FEATURES_NAME


def features_key(job: TrainingJob, view: Viewpoint) -> dict[str, Any]:
    """All that the features of a training's pictures depend on."""
    assert job.teacher is not None and job.teacher_weights is not None
    return {
        "teacher": job.teacher.architecture(),
        "weights": sha256_file(job.teacher_weights),
        "pictures": _pictures_hash(job.train),
        "input": job.input.model_dump(mode="json"),
        "normalisation": [list(view.normalisation.mean), list(view.normalisation.std)],
        "flips": list(view.flips),
        "strides": list(view.strides),
        "device": job.device,
        "paddle": paddle.__version__,
    }


def _pictures_hash(data: DataSet) -> str:
    """Over the bytes of all pictures, in their order."""
    digest = hashlib.sha256()
    for sample in data.samples:
        path = data.image_path(sample)
        try:
            digest.update(bytes.fromhex(sha256_file(path)))
        except OSError as error:
            raise TemperError(f"The picture {path} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def _decided(out: Path) -> Source | None:
    try:
        source = read_json(out / CHOICE_NAME, MAX_RECORD_BYTES)["source"]
    except (TemperError, KeyError, TypeError):
        return None
    return source if source in ("cached", "live") else None


def _decide(out: Path, source: Source) -> None:
    if ranks.rank() == 0 and _decided(out) != source:
        write_json(out / CHOICE_NAME, {"source": source})


def _free_bytes(place: Path) -> int:
    there = place.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def _readable(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"
