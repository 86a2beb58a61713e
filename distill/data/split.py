"""Splitting a data set so that every split has its share of every class (iterative stratification).

After Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data", ECML 2011: the rarest
class is dealt out first, each picture to the split that lacks most of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...core.errors import TemperError, UsageError
from ...detection.dataset import SPLITS, DataSet


def split_data(
    data: DataSet, ratio: Sequence[int] = (7, 2, 1), seed: int = 0, together: Iterable[Collection[str]] = ()
) -> dict[str, DataSet]:
    """Split a data set into training, validation and test.

    Args:
        data: all pictures.
        ratio: of train, val and test, such as ``(7, 2, 1)``; a share of 0 leaves that split out, a missing one is 0.
        seed: the same seed splits the same pictures the same way, whatever their order.
        together: groups of file names that must not be parted, as the pictures are alike.

    Returns:
        The splits by name, each with its pictures by name. Their sizes are those of the ratio to
        within one picture, or as far as ``together`` allows.

    Raises:
        UsageError: if the ratio has no sense.
        TemperError: if there are too few pictures for every split to have one.
    """
    shares = _shares(ratio)
    sizes = _sizes(len(data), shares)
    empty = [name for name, share, size in zip(SPLITS, shares, sizes, strict=True) if share and not size]
    if empty:
        raise TemperError(
            f"{len(data)} pictures are too few to split {_written(ratio)}: nothing is left for '{empty[0]}'. "
            "Give more pictures or another ratio."
        )
    # by name, so that the order in which a file system lists its files does not matter
    order = sorted(range(len(data)), key=lambda index: data.samples[index].file_name)
    order = [order[row] for row in np.random.default_rng(seed).permutation(len(order))]
    units = _units(data, order, together)
    counts = np.stack([_presence(data, unit) for unit in units])
    assigned = _deal_out(counts, [len(unit) for unit in units], sizes)
    splits: dict[str, DataSet] = {}
    for number, name in enumerate(SPLITS):
        dealt = [index for row in np.flatnonzero(assigned == number) for index in units[row]]
        # by name as well, so that a split that was another meanwhile comes out the same again
        chosen = sorted(dealt, key=lambda index: data.samples[index].file_name)
        if chosen:
            splits[name] = replace(data.subset(chosen), name=f"{data.name.split('/')[0]}/{name}")
        elif sizes[number]:
            raise TemperError(
                f"Too many of the {len(data)} pictures are nearly the same to split them {_written(ratio)}: nothing is "
                f"left for '{name}'. Give more different pictures."
            )
    return splits


def parse_ratio(text: str) -> tuple[int, ...]:
    """Read a ratio such as ``7:2:1`` or ``8:2``.

    Raises:
        UsageError: if it is none.
    """
    if not re.fullmatch(r"\d{1,6}(:\d{1,6}){1,2}", text.strip()):
        raise UsageError(f"The ratio '{text}' is not of the form train:val:test, such as 7:2:1 or 8:2.")
    ratio = tuple(int(part) for part in text.split(":"))
    _shares(ratio)
    return ratio


def _shares(ratio: Sequence[int]) -> list[int]:
    shares = [*ratio, *[0] * (len(SPLITS) - len(ratio))]
    if len(shares) != len(SPLITS) or min(shares) < 0 or shares[0] == 0 or sum(shares) == shares[0]:
        raise UsageError(
            f"The ratio {_written(ratio)} is none of train:val:test with something to train and to judge on, such "
            "as 7:2:1."
        )
    return shares


def _written(ratio: Sequence[int]) -> str:
    return ":".join(map(str, ratio))


def _sizes(count: int, shares: Sequence[int]) -> list[int]:
    """How many pictures each split gets, by largest remainder."""
    exact = [count * share / sum(shares) for share in shares]
    sizes = [int(value) for value in exact]
    by_remainder = sorted(range(len(shares)), key=lambda split: (sizes[split] - exact[split], split))
    for split in by_remainder[: count - sum(sizes)]:
        sizes[split] += 1
    return sizes


def _units(data: DataSet, order: Sequence[int], together: Iterable[Collection[str]]) -> list[list[int]]:
    """What is dealt out as one, in ``order``: single pictures, and groups where their first picture stands."""
    leader = {name: min(group) for group in together for name in group}
    units: dict[str, list[int]] = {}
    for index in order:
        name = data.samples[index].file_name
        units.setdefault(leader.get(name, name), []).append(index)
    return list(units.values())


def _presence(data: DataSet, unit: Sequence[int]) -> NDArray[np.int64]:
    """How many of the pictures have each class, [classes + 1]; the last stands for pictures without boxes."""
    counts = np.zeros(len(data.labels) + 1, np.int64)
    for index in unit:
        labels = data.samples[index].labels
        counts[np.unique(labels) if len(labels) else -1] += 1
    return counts


def _deal_out(counts: NDArray[np.int64], pictures: Sequence[int], sizes: Sequence[int]) -> NDArray[np.int64]:
    """The split of every unit, [units], from their classes [units, classes] and numbers of pictures."""
    room = np.array(sizes, np.int64)
    wanted = counts.sum(axis=0)[None, :] * (room / max(1, room.sum()))[:, None]  # [splits, classes]
    assigned = np.full(len(counts), -1, np.int64)
    while (waiting := assigned < 0).any():
        left = counts[waiting].sum(axis=0)
        rarest = int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))
        for row in np.flatnonzero(waiting & (counts[:, rarest] > 0)).tolist():
            need = pictures[row]
            # where it fits, most lacking in this class, then most room of all, then the first
            split = max(range(len(room)), key=lambda s: (room[s] >= need, room[s] > 0, wanted[s, rarest], room[s], -s))
            assigned[row] = split
            room[split] -= need
            wanted[split] -= counts[row]
    return assigned
