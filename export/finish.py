"""What a bundle carries beside its graphs: golden pictures with every graph's answers, and the model card."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bundle.card import CARD_NAME, render_card
from ..bundle.golden import ANSWERS_NAME, GOLDEN_FOLDER, GoldenRow, golden_answers
from ..bundle.graph_file import OnnxFile
from ..bundle.manifest import MAX_GOLDEN_IMAGES, BundleFile, Golden, Manifest
from ..bundle.writer import write_bundle
from ..core.errors import TemperError, UsageError
from ..core.files import read_bytes
from ..deploy.golden import golden_rows
from ..deploy.runtimes.contract import CheckedRuntime
from ..deploy.runtimes.onnxruntime import OnnxRuntime
from ..detection.images import MAX_PICTURE_BYTES, ResizeRule, decode_image
from ..distill.data.listing import PICTURE_ENDINGS
from ..distill.synthetic.generator import LARGEST_PICTURE, SMALLEST_PICTURE, draw_picture

#: Golden pictures that are drawn where none are given: each begins with another kind of defect.
SYNTHETIC_PICTURES = 4
_SEED, _SPLIT = 0, "golden"


def finish_bundle(
    target: Path, manifest: Manifest, graphs: Mapping[str, Path], golden_images: Path | None = None
) -> Manifest:
    """Write a bundle with golden pictures and a model card.

    Args:
        target: the folder to make; its name ends in ``.temper``.
        manifest: describes every graph; has neither golden pictures nor card.
        graphs: variant names to ONNX files.
        golden_images: folder of the user's golden pictures; None draws some.

    Returns:
        The manifest as it was written.

    Raises:
        UsageError: if the folder has no pictures, or too many.
        TemperError: if a picture cannot be read, a graph does not run, or the bundle cannot be written.
    """
    pictures = _drawn_pictures(manifest) if golden_images is None else given_pictures(golden_images)
    answers: dict[str, list[list[GoldenRow]]] = {}
    version = ""
    for variant in manifest.variants:
        own = manifest.at_size_of(variant)
        backend = OnnxRuntime(OnnxFile.read(graphs[variant.name]), precision=variant.precision)
        version = backend.version
        try:
            runtime = CheckedRuntime(backend, own, variant.name)
            answers[variant.name] = [
                golden_rows(runtime.infer(_to_input(content, name, own)[np.newaxis]))
                for name, content in pictures.items()
            ]
        finally:
            backend.close()
    contents = {f"{GOLDEN_FOLDER}/{name}": content for name, content in pictures.items()}
    images = [_described(name, content) for name, content in contents.items()]
    contents[ANSWERS_NAME] = golden_answers(answers).to_bytes()
    golden = Golden(
        origin="synthetic" if golden_images is None else "own",
        images=images,
        answers=_described(ANSWERS_NAME, contents[ANSWERS_NAME]),
        runtime=f"onnxruntime {version}",
        silent=[name for name, found in answers.items() if not any(found)],
    )
    manifest = manifest.model_copy(update={"golden": golden})
    contents[CARD_NAME] = render_card(manifest).encode("utf-8")
    manifest = manifest.model_copy(update={"card": _described(CARD_NAME, contents[CARD_NAME])})
    # checked as a whole: what was put in by a copy was not
    manifest = Manifest.model_validate(manifest.model_dump(mode="json"))
    write_bundle(target, manifest, graphs, contents)
    return manifest


def golden_paths(folder: Path) -> list[Path]:
    """The files of a folder of golden pictures, in their order.

    Raises:
        UsageError: if it has none, or more than a bundle takes.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder} of golden pictures.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_ENDINGS)
    if not 1 <= len(paths) <= MAX_GOLDEN_IMAGES:
        raise UsageError(
            f"The folder {folder} has {len(paths)} pictures ({', '.join(sorted(PICTURE_ENDINGS))}); a bundle takes 1 "
            f"to {MAX_GOLDEN_IMAGES} golden ones."
        )
    return paths


def given_pictures(folder: Path) -> dict[str, bytes]:
    """The content of golden pictures, under names that a bundle can hold; see :func:`golden_paths`.

    Raises:
        TemperError: if one cannot be read.
    """
    try:
        return {
            f"{number:03d}{path.suffix.lower()}": read_bytes(path, MAX_PICTURE_BYTES)
            for number, path in enumerate(golden_paths(folder))
        }
    except OSError as error:
        raise TemperError(f"A golden picture in {folder} cannot be read: {error.strerror}.") from error


def _drawn_pictures(manifest: Manifest) -> dict[str, bytes]:
    """Synthetic steel at the graph's size, the same for every bundle of that size; PNG."""
    rule = manifest.input
    width, height = (min(max(side, SMALLEST_PICTURE), LARGEST_PICTURE) for side in (rule.width, rule.height))
    pictures = {}
    for number in range(SYNTHETIC_PICTURES):
        encoded, content = cv2.imencode(".png", draw_picture(_SEED, _SPLIT, number, (width, height)).image)
        if not encoded:
            raise TemperError(f"A golden picture of {width} x {height} pixels cannot be written as PNG.")
        pictures[f"{number:03d}.png"] = content.tobytes()
    return pictures


def _to_input(content: bytes, name: str, manifest: Manifest) -> NDArray[np.uint8]:
    rule = manifest.input
    image = decode_image(content, rule.channels, f"The golden picture {name}")
    return ResizeRule(rule.width, rule.height, rule.resize).apply(image)


def _described(name: str, content: bytes) -> BundleFile:
    return BundleFile(file=name, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
