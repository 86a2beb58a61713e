"""PaddleDetection's own export beside the bundle: the same weights, the same detections, a table of both."""

from __future__ import annotations

from pathlib import Path

import pytest
from lively_retinanet import lively_detector
from temper import __version__
from temper.benchmarks.peer_export import compare
from temper.benchmarks.peer_export_figures import PEER, Result, Row, Timing, markdown
from temper.bundle.manifest import InputRule, MadeBy, Manifest, Variant
from temper.core.errors import UsageError
from temper.core.files import sha256_file, write_json
from temper.detection.dataset import load_split
from temper.detection.decode import DecodeSettings
from temper.distill.detectors.normalise import GREY
from temper.distill.recipe import Recipe
from temper.distill.recipe_sizes import parse_sizes
from temper.distill.synthetic.generator import write_data_set
from temper.distill.weights import save_weights
from temper.export.finish import finish_bundle
from temper.export.fp32 import write_fp32

SIDE = 64
MODEL = {"depth": 18, "width": 0.125, "neck_channels": 16, "head_convs": 1, "head_norm": "level_batch"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose student says something, with its bundle."""
    folder = tmp_path_factory.mktemp("run")
    model = {**MODEL, "strides": [8, 16, 32], "anchor_scale": 2}
    recipe = Recipe.model_validate(
        {
            "name": "peer",
            "data": {"synthetic": {"train": 8, "val": 6}},
            "input": {"width": SIDE, "height": SIDE},
            "teacher": model,
            "student": model,
        }
    )
    write_json(folder / "recipe.json", recipe.model_dump(mode="json"))
    write_data_set(folder / "data" / "set", train=8, val=6, width=SIDE, height=SIDE, seed=1)
    labels = load_split(folder / "data" / "set", "val").labels
    detector, weights = lively_detector(recipe.student, labels)
    (folder / "student").mkdir()
    save_weights(folder / "student" / "weights.safetensors", weights)
    graph = folder / "fp32.onnx"
    (size,) = parse_sizes([], (SIDE, SIDE))
    write_fp32(detector, size, "grey", GREY, recipe.export.decode_settings(), labels, graph)
    finish_bundle(folder / "export-student" / "peer-student.temper", _manifest(labels, graph), {"fp32": graph})
    return folder


def _manifest(labels: tuple[str, ...], graph: Path) -> Manifest:
    settings = DecodeSettings()
    return Manifest(
        name="peer-student",
        labels=list(labels),
        input=InputRule(width=SIDE, height=SIDE, channels="grey", resize="stretch"),
        thresholds=dict.fromkeys(labels, 0.3),
        score_floor=settings.score_floor,
        nms_iou=settings.nms_iou,
        max_detections=settings.max_detections,
        variants=[
            Variant(
                name="fp32",
                precision="fp32",
                file="graphs/fp32.onnx",
                sha256=sha256_file(graph),
                bytes=graph.stat().st_size,
            )
        ],
        made_by=MadeBy(
            temper=__version__, role="student", recipe={}, data_sha256="0" * 64, weights_sha256="0" * 64, versions={}
        ),
    )


def test_both_sides_find_the_same_and_are_timed(run: Path) -> None:
    result = compare(run, "student", rounds=2, calls=2, threads=1)
    rows = {(row.side, row.batch): row for row in result.rows}
    peer, ours = rows[PEER, 1], rows["Temper, fp32", 1]
    assert set(rows) == {(side, batch) for side in (PEER, "Temper, fp32") for batch in (1, 8)}
    assert ours.ap is not None and peer.ap is not None and ours.ap > 0
    # pictures are at the size already, so nothing is left that could differ but rounding and the order of equals
    assert peer.ap == pytest.approx(ours.ap, abs=0.5)
    assert result.peer_ap_same_resize == peer.ap
    for row in (peer, ours, rows["Temper, fp32", 8]):
        assert row.end_to_end is not None and row.engine is not None
        assert 0 < row.engine.median_ms < row.end_to_end.median_ms
    assert (rows[PEER, 8].end_to_end is None) == (rows[PEER, 8].fault is not None)


def test_a_run_without_its_bundle_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no bundle of its teacher"):
        compare(run, "teacher", rounds=1, calls=1, threads=1)


def test_the_table_says_what_does_not_work() -> None:
    time = Timing(1.25, 2.5)
    rows = (Row(PEER, 1, time, time, None, 24.125), Row(PEER, 8, None, None, "it gives 3 rows", 24.125))
    lines = markdown(Result(rows, 24.5, 6, 2, 3, 1)).splitlines()
    assert lines[2] == "| PaddleDetection, fp32 | 1 | 1.25 | 2.50 | 1.25 | 2.50 | 24.12 |"
    assert lines[3] == "| PaddleDetection, fp32 | 8 | does not work: it gives 3 rows | | | | - |"
    assert len({line.count("|") for line in lines[:4]}) == 1
