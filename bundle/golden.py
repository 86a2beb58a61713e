"""The answers to a bundle's golden pictures: what every graph found at export, in pixels of its input."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..core.errors import TemperError
from .loader import Bundle
from .manifest import Score

GOLDEN_FOLDER = "golden"
ANSWERS_NAME = f"{GOLDEN_FOLDER}/answers.json"
#: A longer file of answers is not read.
MAX_ANSWERS_BYTES = 64 << 20

Edge = Annotated[float, Field(ge=-1e6, le=1e6)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GoldenRow(_Model):
    """One detection: box (x1, y1, x2, y2 in pixels of the graph's input), score and label."""

    box: Annotated[list[Edge], Field(min_length=4, max_length=4)]
    score: Score
    label: int = Field(ge=0, lt=1000)


class GoldenAnswers(_Model):
    """Per variant, for each golden picture in the manifest's order, what was found, the highest score first."""

    schema_version: Literal[1] = 1
    variants: dict[str, list[list[GoldenRow]]]

    def to_bytes(self) -> bytes:
        """The content of the file."""
        return (json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")) + "\n").encode("ascii")


def golden_answers(variants: Mapping[str, Sequence[Sequence[GoldenRow]]]) -> GoldenAnswers:
    """Answers from rows by variant and picture."""
    return GoldenAnswers(variants={name: [list(rows) for rows in pictures] for name, pictures in variants.items()})


def read_golden_answers(bundle: Bundle) -> GoldenAnswers:
    """The answers of an opened bundle that has golden pictures.

    Raises:
        TemperError: if the file does not fit the manifest.
    """
    golden, manifest = bundle.manifest.golden, bundle.manifest
    if golden is None:
        raise ValueError(f"the bundle {bundle.path} has no golden pictures")
    fault = f"{golden.answers.file} of the bundle {bundle.path} does not fit: "
    if golden.answers.bytes > MAX_ANSWERS_BYTES:
        raise TemperError(f"{fault}it has more than {MAX_ANSWERS_BYTES:,} bytes. Export the bundle again.")
    try:
        answers = GoldenAnswers.model_validate_json(bundle.read(golden.answers), strict=True)
    except ValidationError as error:
        place = ".".join(str(part)[:40] for part in error.errors(include_url=False)[0]["loc"]) or "its JSON"
        raise TemperError(f"{fault}{place} is not as it should be. Export the bundle again.") from error
    if set(answers.variants) != {one.name for one in manifest.variants}:
        raise TemperError(f"{fault}it answers for other variants. Export the bundle again.")
    for pictures in answers.variants.values():
        rows = [row for picture in pictures for row in picture]
        most = max((len(picture) for picture in pictures), default=0)
        if (
            len(pictures) != len(golden.images)
            or most > manifest.max_detections
            or any(row.label >= len(manifest.labels) for row in rows)
        ):
            raise TemperError(f"{fault}it has other pictures, labels or more detections. Export the bundle again.")
    return answers
