"""The model in Paddle beside its graphs."""

from __future__ import annotations

from pathlib import Path

import pytest
from temper.benchmarks.candidate import list_candidates, open_candidates, paddle_references
from temper.benchmarks.paddle_reference import WEIGHTS_NAME, find_weights
from temper.bundle.loader import open_bundle
from temper.core.errors import UsageError
from temper.core.files import sha256_file
from temper.detection.dataset import DataSet


def test_every_bundle_and_batch_size_has_its_reference(tmp_path: Path, bundles: dict[str, Path], data: DataSet) -> None:
    weights = tmp_path / WEIGHTS_NAME
    weights.write_bytes(b"x" * 321)
    graphs = list_candidates(list(bundles.values()), batch_sizes=(1, 4))
    found = paddle_references(graphs, lambda bundle: weights, threads=2)
    assert [(one.bundle, one.batch, one.threads, one.weights) for one in found] == [
        (path, batch, 2, weights) for path in bundles.values() for batch in (1, 4)
    ]
    reference = open_candidates(found, data)[0]
    assert (reference.subject.variant, reference.subject.runtime) == ("reference", "paddle")
    assert reference.file_bytes == 321
    graph = open_candidates(graphs, data)[0]
    assert graph.subject != reference.subject and graph.file_bytes == graph.variant.bytes


def test_weights_are_known_by_their_hash(
    tmp_path: Path, bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(bundles["student"])
    for model in ("teacher", "student"):
        (tmp_path / model).mkdir()
        (tmp_path / model / WEIGHTS_NAME).write_bytes(model.encode())
    with pytest.raises(UsageError, match=r"None of the models in .* has the weights that .* was exported from"):
        find_weights(bundle, [tmp_path])
    mine = tmp_path / "student" / WEIGHTS_NAME
    made_by = bundle.manifest.made_by.model_copy(update={"weights_sha256": sha256_file(mine)})
    monkeypatch.setattr(bundle, "manifest", bundle.manifest.model_copy(update={"made_by": made_by}))
    assert find_weights(bundle, [tmp_path / "none", tmp_path]) == mine
