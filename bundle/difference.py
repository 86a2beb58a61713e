"""What differs between two bundles: every field of their manifests, and who signed them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .loader import Bundle

#: Shown for what one side does not have.
ABSENT = "absent"


@dataclass(frozen=True)
class Difference:
    """One value that is not the same.

    Attributes:
        field: path in the manifest, variants by their name: ``variants.int8.accuracy.ap``.
        first: the value in the first bundle; None if ``in_first`` is false.
        second: that of the second.
        in_first: whether the first has it at all.
        in_second: whether the second has.
    """

    field: str
    first: Any
    second: Any
    in_first: bool = True
    in_second: bool = True

    @property
    def change(self) -> float | None:
        """Second minus first where both are figures."""
        both = (self.first, self.second)
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in both):
            return None
        return float(self.second - self.first)


def compare_bundles(first: Bundle, second: Bundle) -> list[Difference]:
    """The differences of two opened bundles; none if all that they hold is the same."""
    ours, theirs = _flat(_content(first)), _flat(_content(second))
    fields = [*ours, *(field for field in theirs if field not in ours)]
    return [
        Difference(field, ours.get(field), theirs.get(field), field in ours, field in theirs)
        for field in fields
        if field not in ours or field not in theirs or not _same(ours[field], theirs[field])
    ]


def _content(bundle: Bundle) -> dict[str, Any]:
    content = bundle.manifest.model_dump(mode="json")
    content["variants"] = {variant["name"]: variant for variant in content["variants"]}
    signature = bundle.signature
    content["signed_by"] = None if signature is None else signature.fingerprint
    content["signer"] = None if signature is None else signature.signer
    return content


def _flat(value: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_leaves(value, ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            # a key with a dot in it is no two keys
            name = json.dumps(str(key), ensure_ascii=False) if set('."') & set(str(key)) or not key else str(key)
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    else:
        yield path, value


def _same(first: Any, second: Any) -> bool:
    return type(first) is type(second) and first == second
