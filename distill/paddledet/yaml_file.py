"""PaddleDetection's YAML files as plain values, with the files they build on.

Read with PyYAML's safe loader, so that nothing in a file is ever run. A tag such as ``!CosineDecay``, which makes an
object there, becomes the mapping's ``name`` here; PaddleDetection accepts both spellings of the same thing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from ...core.errors import UsageError

#: Limits that no configuration reaches: bytes of a file, files of a configuration, values of a file with its aliases
#: written out.
MAX_BYTES = 256 << 10
MAX_FILES = 64
MAX_VALUES = 50_000
_BASE = "_BASE_"

Values = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """The safe loader, which also reads ``!Name`` before a mapping."""


def _named(loader: _Loader, suffix: str, node: yaml.Node) -> Values:
    line = node.start_mark.line + 1
    if not suffix.isidentifier():
        raise UsageError(f"{loader.name}, line {line}: !{suffix} is no name of a part of PaddleDetection.")
    if isinstance(node, yaml.ScalarNode) and not node.value:
        return {"name": suffix}
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(f"{loader.name}, line {line}: !{suffix} must stand before fields, one a line.")
    fields: Values = loader.construct_mapping(node, deep=True)  # type: ignore[assignment]  # its keys are texts
    return {"name": suffix, **fields}


_Loader.add_multi_constructor("!", _named)


def read_config(path: Path) -> Values:
    """A configuration of PaddleDetection, with everything it builds on merged in.

    Args:
        path: a YAML file. The files under ``_BASE_`` are looked for from its folder; later ones win over earlier ones,
            and the file itself over all of them, section by section.

    Raises:
        UsageError: if a file is missing, is not YAML, holds what is not plain data, or builds on itself.
    """
    return _read(path, (), [])


def _read(path: Path, above: tuple[Path, ...], seen: list[Path]) -> Values:
    place = Path(os.path.abspath(path))
    if place in above:
        raise UsageError(f"{path} builds on itself through {_BASE}: {' -> '.join(p.name for p in (*above, place))}.")
    seen.append(place)
    if len(seen) > MAX_FILES:
        raise UsageError(f"{seen[0]} builds on more than {MAX_FILES} files, so it is no configuration.")
    values = _load(path, above[-1] if above else None)
    bases = values.pop(_BASE, [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise UsageError(f"{path}: {_BASE} must be a list of files.")
    merged: Values = {}
    for base in bases:
        _merge(merged, _read(path.parent / Path(base).expanduser(), (*above, place), seen))
    _merge(merged, values)
    return merged


def _merge(into: Values, other: Values) -> None:
    for name, value in other.items():
        if isinstance(into.get(name), dict) and isinstance(value, dict):
            _merge(into[name], value)
        else:
            into[name] = value


def _load(path: Path, wanted_by: Path | None) -> Values:
    because = f" {wanted_by} builds on it." if wanted_by else ""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"The configuration {path} cannot be read: {error.strerror}.{because}") from error
    if len(content) > MAX_BYTES:
        raise UsageError(f"{path} is larger than {MAX_BYTES >> 10} KiB, so it is no configuration of PaddleDetection.")
    try:
        values = _parse(content, str(path))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{line}: {_one_line(error.problem or error.context)}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not YAML: {_one_line(error)}.") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} is no configuration of PaddleDetection: it should hold fields, one a line.")
    return values


def _parse(content: bytes, name: str) -> Any:
    loader = _Loader(content)
    loader.name = name
    try:
        node = loader.get_single_node()
        if node is None:
            return {}
        if _written_out(node, {}, name) > MAX_VALUES:
            raise UsageError(f"{name} has more than {MAX_VALUES:,} values with its aliases written out.")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _written_out(node: yaml.Node, known: dict[int, int], name: str) -> int:
    """How many values a node stands for once every alias in it is written out."""
    key = id(node)
    if key not in known:
        known[key] = 0  # until it is counted; met again meanwhile, it is inside itself
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            children = [child for pair in node.value for child in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        known[key] = 1 + sum(_written_out(child, known, name) for child in children)
    elif known[key] == 0:
        raise UsageError(f"{name}, line {node.start_mark.line + 1}: a value contains itself.")
    return known[key]


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
