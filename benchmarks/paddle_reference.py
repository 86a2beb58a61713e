"""The model that a bundle was made of, in Paddle itself: a reference beside the graphs in a benchmark.

Paddle is imported when the reference is loaded, and not before.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.loader import Bundle
from ..bundle.manifest import Variant
from ..core.errors import MissingDependencyError, TemperError, UsageError
from ..core.files import sha256_file
from ..core.models import MODELS
from ..deploy.runtimes.base import RawOutput, Runtime
from ..deploy.runtimes.load import load_runtime
from ..detection.decode import DecodeSettings, decode_detections
from .candidate import PADDLE, Candidate

WEIGHTS_NAME = "weights.safetensors"


def find_weights(bundle: Bundle, runs: Sequence[Path]) -> Path:
    """The weights that a bundle was exported from.

    Args:
        bundle: opened.
        runs: folders of runs to look in.

    Raises:
        UsageError: if none of the runs has them.
    """
    made_by = bundle.manifest.made_by
    for path in (run / model / WEIGHTS_NAME for run in runs for model in MODELS):
        if path.is_file() and sha256_file(path) == made_by.weights_sha256:
            return path
    places = ", ".join(str(run) for run in runs)
    raise UsageError(
        f"None of the models in {places} has the weights that {bundle.path.name} was exported from (SHA-256 "
        f"{made_by.weights_sha256[:12]}). Give --paddle the folder of the run that made it, or leave --paddle out."
    )


def load_candidate(candidate: Candidate, bundle: Bundle, variant: Variant) -> Runtime:
    """What runs a candidate: one of the runtimes, or Paddle.

    Raises:
        MissingDependencyError: if Paddle is needed and not installed.
        TemperError: if it does not load.
    """
    if candidate.weights is None:
        return load_runtime(candidate.runtime, bundle, variant, threads=candidate.threads)
    if candidate.threads is not None:
        # read when Paddle is imported, which has no other way to be told
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(candidate.threads)
    return PaddleModel(bundle, variant, candidate.weights)


class PaddleModel:
    """A trained model in Paddle on the processor, with Temper's own decoding behind it; a :class:`Runtime`.

    Args:
        bundle: that was made of it.
        variant: the graph whose input and decoding it shares.
        weights: file of its weights.

    Raises:
        MissingDependencyError: if Paddle is not installed.
        TemperError: if the model is none of Temper's own, or the weights do not fit it.
    """

    name = PADDLE
    notes: tuple[str, ...] = ()

    def __init__(self, bundle: Bundle, variant: Variant, weights: Path) -> None:
        try:
            from ..distill.paddle_import import paddle
            from ..export.verify import graph_file, settings_of_graph
        except ImportError as error:
            raise MissingDependencyError(
                f"The reference in Paddle needs Paddle, which cannot be imported ({error}). Install it with "
                "pip install 'temper[distill]', or leave --paddle out."
            ) from error
        manifest = bundle.manifest.at_size_of(variant)
        paddle.device.set_device("cpu")  # as the graphs are held against it in an export
        self.version = str(paddle.__version__)
        self._size = (manifest.input.width, manifest.input.height)
        self._detector, self._normalisation = _detector_of(bundle, variant, weights)
        self._settings: DecodeSettings = settings_of_graph(manifest, graph_file(bundle, variant))
        self._coding = self._detector.box_coding(self._size)

    def infer(self, images: NDArray[np.uint8]) -> RawOutput:
        """Run the network and decode every picture; see :class:`Runtime`."""
        from ..distill.training.evaluate import raw_predictions

        scores, regressions = raw_predictions(self._detector, images, self._normalisation)
        rows = self._settings.max_detections
        answer = RawOutput(
            np.zeros((len(images), rows, 4), np.float32),
            np.zeros((len(images), rows), np.float32),
            np.full((len(images), rows), -1, np.int32),
            np.zeros(len(images), np.int32),
        )
        for place in range(len(images)):
            found = decode_detections(scores[place], regressions[place], self._coding, self._size, self._settings)
            count = len(found[1])
            answer.count[place] = count
            for into, values in zip((answer.boxes, answer.scores, answer.labels), found, strict=True):
                into[place, :count] = values
        return answer

    def close(self) -> None:
        """Nothing is held that the end of the process does not free."""


def _detector_of(bundle: Bundle, variant: Variant, weights: Path) -> tuple[Any, Any]:
    """The detector at the graph's size, and the normalisation of its pictures."""
    from ..distill.detectors.build import build_detector, load_into
    from ..distill.detectors.normalise import normalisation_for
    from ..distill.recipe_file import recipe_from_plain
    from ..distill.recipe_sizes import GraphSize
    from ..export.padded import at_size

    manifest = bundle.manifest.at_size_of(variant)
    role = manifest.made_by.role
    if role not in MODELS:
        raise TemperError(f"{bundle.path.name} was not made of a model that Temper trained, so it has none in Paddle.")
    section = recipe_from_plain(manifest.made_by.recipe, f"the recipe in {bundle.path.name}").section_of(role)
    detector = build_detector(section, manifest.labels, seed=0)
    load_into(detector, weights, whole=True, labels=manifest.labels)
    detector.eval()
    normalisation = normalisation_for(manifest.input.channels, section.pixel_scale)
    size = GraphSize(manifest.input.width, manifest.input.height, variant.any_size)
    return at_size(detector, normalisation, size)
