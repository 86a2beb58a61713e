"""The files of a foreign data set, and what their names say."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ...core.errors import TemperError
from ...core.files import walk_folder

#: Endings of picture files, in lower case.
PICTURE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
#: Endings of everything that a data set can be read from.
ENDINGS = PICTURE_ENDINGS | {".xml", ".json", ".txt"}

_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Listing:
    """Files below ``root``, each as a path relative to it, sorted; hidden ones are left out."""

    root: Path
    pictures: tuple[PurePosixPath, ...]
    annotations: tuple[PurePosixPath, ...]
    jsons: tuple[PurePosixPath, ...]
    texts: tuple[PurePosixPath, ...]
    _by_stem: dict[str, list[PurePosixPath]] = field(init=False, repr=False, default_factory=lambda: defaultdict(list))
    _folders: set[str] = field(init=False, repr=False, default_factory=set)
    _splits: set[str | None] = field(init=False, repr=False, default_factory=set)

    def __post_init__(self) -> None:
        """Index the pictures by their stem, and note the folders and splits that hold pictures."""
        for picture in self.pictures:
            self._by_stem[picture.stem].append(picture)
        for folder in {picture.parent for picture in self.pictures}:
            self._folders.update(folder.parts)
            self._splits.add(split_of_folders(folder / "any"))

    def find_pictures(
        self, name: str, near: PurePosixPath, split: str | None, apart: bool = False
    ) -> list[PurePosixPath]:
        """The pictures that ``name`` may mean, the likeliest ones; more than one if they are equally likely.

        Spelling is taken lightly (another ending, the folders of another machine), places are not: where the folder
        that is named is there, a picture of the same stem elsewhere is another picture.

        Args:
            name: a file name with or without folders and ending; only its last parts are looked at, so that it
                cannot lead out of ``root``.
            near: the annotation file that uses the name; of equal names the one nearest to it is meant,
            split: and before that the one in a folder of this split.
            apart: whether names may begin anew in every split, so that a picture of the same stem in another split's
                folder is another picture where this split has folders of its own.
        """
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts:
            return []
        stem = PurePosixPath(parts[-1]).stem if _is_picture(parts[-1]) else parts[-1]
        candidates = self._in_place(
            self._by_stem.get(stem, []), parts[-2] if len(parts) > 1 else None, split if apart else None
        )
        if len(candidates) < 2:
            return candidates

        def likeness(picture: PurePosixPath) -> tuple[int, ...]:
            folders, home = picture.parts[:-1], near.parts[:-1]
            return (
                _shared(reversed(parts[:-1]), reversed(folders)),
                picture.name == parts[-1],
                split is not None and split_of_folders(picture) == split,
                picture.parts in (parts, ("images", *parts), (*home, *parts)),
                _shared(home, folders) + _shared(reversed(home), reversed(folders)),
            )

        best = max(likeness(picture) for picture in candidates)
        return [picture for picture in candidates if likeness(picture) == best]

    def _in_place(self, pictures: list[PurePosixPath], folder: str | None, split: str | None) -> list[PurePosixPath]:
        """Those in the folder that was named, else in the split's, as far as there are such folders."""
        if folder in self._folders:
            return [picture for picture in pictures if folder in picture.parts[:-1]]
        if split is not None and split in self._splits:
            return [picture for picture in pictures if split_of_folders(picture) in (None, split)]
        return list(pictures)


def list_files(root: Path) -> Listing:
    """Look through a folder and all below it.

    Raises:
        TemperError: if it cannot be read.
    """
    found: dict[str, list[PurePosixPath]] = defaultdict(list)

    def stop(error: OSError) -> None:
        raise TemperError(f"The folder {error.filename} cannot be read: {error.strerror}.") from error

    for folder, below, names in walk_folder(root, stop):
        below[:] = sorted(name for name in below if not _is_hidden(name))
        relative = PurePosixPath(Path(folder).relative_to(root).as_posix())
        for name in names:
            ending = PurePosixPath(name).suffix.lower()
            if ending in ENDINGS and not _is_hidden(name) and not _is_special(os.path.join(folder, name)):
                found["picture" if ending in PICTURE_ENDINGS else ending].append(relative / name)
    pictures, annotations, jsons, texts = (tuple(sorted(found[key])) for key in ("picture", ".xml", ".json", ".txt"))
    return Listing(root, pictures, annotations, jsons, texts)


def split_of_folders(path: PurePosixPath) -> str | None:
    """The split that one of a file's folders is named after, the nearest first."""
    return next(filter(None, map(_split_in, reversed(path.parts[:-1]))), None)


def split_of_name(path: PurePosixPath) -> str | None:
    """The split that a file is named after, else its folders; ``instances_train2017.json`` is ``"train"``."""
    return _split_in(path.stem) or split_of_folders(path)


def _split_in(name: str) -> str | None:
    words = {_SPLIT_WORDS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _SPLIT_WORDS}
    return words.pop() if len(words) == 1 else None


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_special(path: str) -> bool:
    """Whether reading it could wait for ever: a pipe, a socket, a device. A broken link is told of by its reader."""
    return os.path.exists(path) and not os.path.isfile(path)


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in PICTURE_ENDINGS


def _shared(first: Iterable[str], second: Iterable[str]) -> int:
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count
