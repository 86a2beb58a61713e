"""Finding the same, or nearly the same, picture twice by a perceptual hash.

The hash holds the signs of the 16 x 16 lowest frequencies (a cosine transform of the picture at 32 x 32, compared with
their median). On NEU-DET, unrelated pictures of one texture differ in 86 bits or more of 255; recompressed, blurred,
brightened and slightly noisy copies differ in 60 or fewer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from ...detection.dataset import DataSet
from .pictures import PictureFacts, look_at_all

#: Pictures whose hashes differ in at most so many bits are nearly the same.
NEAR_BITS = 64

_FREQUENCIES = 16
_TRANSFORM_SIDE = 32
#: Pictures with less contrast (standard deviation in grey levels) are all alike, and say nothing.
_LEAST_CONTRAST = 2.0
_BLOCK = 2048


def perceptual_hash(thumbnail: NDArray[np.uint8]) -> NDArray[np.int8] | None:
    """The hash of a small grey picture, int8 [255] of -1 and 1; None for a picture without content."""
    if float(thumbnail.std()) < _LEAST_CONTRAST:
        return None
    side = (_TRANSFORM_SIDE, _TRANSFORM_SIDE)
    small = cv2.resize(thumbnail, side, interpolation=cv2.INTER_AREA).astype(np.float32)
    # without the first, which is the brightness
    low = np.asarray(cv2.dct(small))[:_FREQUENCIES, :_FREQUENCIES].ravel()[1:]
    return np.where(low > np.median(low), 1, -1).astype(np.int8)


def alike_groups(facts: Mapping[str, PictureFacts]) -> list[list[str]]:
    """Groups of pictures that are the same or nearly so, each sorted; pictures without their like are in none.

    Args:
        facts: of every picture, by its name.
    """
    leaders = {name: name for name in sorted(facts)}

    def leader(name: str) -> str:
        while leaders[name] != name:
            leaders[name] = name = leaders[leaders[name]]
        return name

    def join(one: str, other: str) -> None:
        first, second = sorted((leader(one), leader(other)))
        leaders[second] = first

    by_content: dict[str, str] = {}
    for name in leaders:
        if facts[name].size is not None:
            join(name, by_content.setdefault(facts[name].sha256, name))
    names, hashes = hash_pictures({name: facts[name] for name in by_content.values()})
    for one, other, _ in near_pairs(hashes):
        join(names[one], names[other])
    groups: dict[str, list[str]] = {}
    for name in leaders:
        groups.setdefault(leader(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def alike_in(data: DataSet) -> list[list[str]]:
    """The :func:`alike_groups` of a data set's pictures, by file name; reads every one of them."""
    facts = look_at_all([data.image_path(sample) for sample in data.samples])
    return alike_groups({sample.file_name: fact for sample, fact in zip(data.samples, facts, strict=True)})


def hash_pictures(facts: Mapping[str, PictureFacts]) -> tuple[list[str], NDArray[np.int8]]:
    """The names of the pictures that have a hash, and the hashes, int8 [N, 255]."""
    hashes = {name: perceptual_hash(fact.thumbnail) for name, fact in facts.items() if fact.thumbnail is not None}
    known = {name: value for name, value in hashes.items() if value is not None}
    return list(known), np.array(list(known.values()), np.int8).reshape(-1, _FREQUENCIES**2 - 1)


def near_pairs(hashes: NDArray[np.int8], most: int = NEAR_BITS) -> Iterator[tuple[int, int, int]]:
    """All pairs of pictures whose hashes nearly agree.

    Args:
        hashes: int8 [N, bits] of -1 and 1.
        most: how many bits may differ.

    Yields:
        Two indices, the smaller first, and in how many bits their hashes differ.
    """
    signs = hashes.astype(np.float32)
    bits = hashes.shape[1]
    for start in range(0, len(signs), _BLOCK):
        for other in range(start, len(signs), _BLOCK):
            differing = (bits - signs[start : start + _BLOCK] @ signs[other : other + _BLOCK].T) / 2
            # row by row: of the frames of a film there may be millions of pairs
            for row in np.flatnonzero((differing <= most).any(axis=1)).tolist():
                for column in np.flatnonzero(differing[row] <= most).tolist():
                    if start + row < other + column:
                        yield start + row, other + column, int(differing[row, column])
