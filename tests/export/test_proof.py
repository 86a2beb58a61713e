from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from temper.core.errors import TemperError, UsageError
from temper.deploy.compare import PADDLE_TOLERANCES
from temper.deploy.runtimes.base import RawOutput
from temper.deploy.runtimes.load import open_graph
from temper.detection.agreement import Agreement, MatchRule
from temper.detection.detections import Detections
from temper.distill.recipe_sizes import GraphSize
from temper.export import probe as probe_module
from temper.export import proof as proof_module
from temper.export.parity import PaddleReference, ask_paddle
from temper.export.probe import GraphFile, GraphOn, open_probe
from temper.export.proof import Proof, prove, prove_on, require_proof, runtimes_for
from temper.export.unmatched import unmatched_page
from traced_graphs import KINDS, SIZE, Traced, convolutions, corrupted

Give = Callable[..., Traced]


def asked(one: Traced) -> PaddleReference:
    return ask_paddle(one.detector, one.store, one.normalisation, one.settings, range(len(one.store.data)))


@pytest.fixture(scope="module")
def retinanet(traced_graphs: Give) -> Traced:
    return traced_graphs("retinanet")


@pytest.fixture(scope="module")
def paddle(retinanet: Traced) -> PaddleReference:
    return asked(retinanet)


def proof_of(
    paddle: PaddleReference, path: Path, traced: Path, runtime: str = "onnxruntime", precision: Any = "fp32"
) -> Proof:
    graph = GraphFile(precision, precision, "any", path)
    opener = partial(open_graph, path=path, precision=precision)
    (proof,) = prove_on(paddle, graph, [runtime], lambda name: opener(name), lambda: traced)
    return proof


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", ["grey", "rgb"])
def test_graphs_are_what_was_trained_on_every_runtime(traced_graphs: Give, kind: str, channels: str) -> None:
    one = traced_graphs(kind, channels)
    reference = asked(one)
    for runtime in ("onnxruntime", "openvino"):
        proof = proof_of(reference, one.fp32, one.fp32, runtime)
        assert proof.faults == ()
        assert proof.agreement.pictures == 12
        assert proof.agreement.matched > 50, "the test shows little on so few detections"
        assert proof.agreement.matched_share == 1
        assert set(proof.raw) == {"scores", "regressions"}
        assert all(0 <= one.mean <= one.largest and one.relative_error < 1e-4 for one in proof.raw.values())
        assert (proof.batch.size, proof.batch.different) == (8, 0)
        assert proof.map_graph == pytest.approx(proof.map_paddle, abs=0.01)
        assert proof.parity().runtime.startswith(f"{runtime} ")
        # quantised, the picture in a batch still gets the answer it gets alone
        assert proof_of(reference, one.int8, one.fp32, runtime, "int8").batch.different == 0


def test_numbers_of_a_quantised_graph_are_measured(retinanet: Traced, paddle: PaddleReference) -> None:
    proof = proof_of(paddle, retinanet.int8, retinanet.fp32, precision="int8")
    assert 1e-3 < proof.raw["scores"].relative_error < 0.5
    assert 0 < proof.agreement.matched_share < 1
    assert 0 < len(proof.unmatched) <= 12
    counts = [len(one.missing) + len(one.strange) for one in proof.unmatched]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == proof.agreement.unmatched
    assert proof.faults == (), "how much int8 may lose is for its mAP to say"


def test_a_corrupted_graph_fails_and_the_layer_is_named(
    retinanet: Traced, paddle: PaddleReference, tmp_path: Path
) -> None:
    wrong = convolutions(retinanet.fp32)[8]
    broken = corrupted(retinanet.fp32, wrong, tmp_path / "broken.onnx")
    for runtime in ("onnxruntime", "openvino"):
        proof = proof_of(paddle, broken, retinanet.fp32, runtime)
        assert any("the network's scores have a relative error of" in fault for fault in proof.faults)
        assert proof.suspect is not None and proof.suspect.layer is not None
        assert proof.suspect.layer.name == wrong
        assert "Compared with the graph traced anew from the weights" in proof.suspect.sentence
        with pytest.raises(TemperError, match=rf"not what was trained\. fp32 on {runtime}, on 12 .* {wrong} \(Conv\)"):
            require_proof([proof])
        plain = proof.to_dict()
        assert plain["passed"] is False
        assert plain["suspect"]["layer"]["name"] == wrong


def test_a_runtime_that_computes_otherwise_is_found_and_its_layer(
    retinanet: Traced, paddle: PaddleReference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO in this test computes one layer wrongly, as it has done with int8 graphs of an open batch."""
    wrong = convolutions(retinanet.fp32)[20]

    def faulty(name: str, path: Path, *rest: Any) -> Any:
        used = (
            corrupted(path, wrong, tmp_path / f"{len(list(tmp_path.iterdir()))}.onnx") if name == "openvino" else path
        )
        return open_graph(name, used, *rest)

    monkeypatch.setattr(probe_module, "open_graph", faulty)
    graph = GraphFile("fp32", "fp32", "any", retinanet.fp32)
    (proof,) = prove_on(paddle, graph, ["openvino"], lambda name: faulty(name, retinanet.fp32), lambda: retinanet.fp32)
    assert proof.suspect is not None and proof.suspect.layer is not None
    assert proof.suspect.layer.name == wrong
    assert "Compared with the same graph on onnxruntime" in proof.suspect.sentence


def test_a_tracing_that_is_wrong_is_told_by_the_part_of_the_network(traced_graphs: Give, tmp_path: Path) -> None:
    """The traced graph itself is not what Paddle computes: backbone, neck and head are compared by their names."""
    one = traced_graphs("retinanet")
    reference = asked(one)
    names = convolutions(one.fp32)
    levels = [
        next(index for index, node in enumerate(onnx.load(str(one.fp32)).graph.node) if level in node.output)
        for level in ("network/features/backbone_level_1", "network/features/neck_stride_32")
    ]
    nodes = [node.name for node in onnx.load(str(one.fp32)).graph.node]
    early = next(name for name in reversed(names) if nodes.index(name) < levels[0])
    for wrong, part in ((early, "backbone_level_1"), (names[-1], "the head's")):
        broken = corrupted(one.fp32, wrong, tmp_path / f"{wrong[-2:]}.onnx")
        proof = proof_of(reference, broken, broken)
        assert proof.suspect is not None
        assert "as it was traced already differs from Paddle" in proof.suspect.sentence
        before, _, after = proof.suspect.sentence.partition("both agree")
        assert part in after
        assert ("the picture" in before) == (part == "backbone_level_1")


def test_a_detector_in_training_mode_is_asked_as_it_is_exported(traced_graphs: Give, tmp_path: Path) -> None:
    """An export is handed one that was just built; its norms must not learn of these pictures."""
    one = traced_graphs("retinanet")
    before = {name: value.numpy().copy() for name, value in one.detector.state_dict().items()}
    one.detector.train()
    try:
        broken = corrupted(one.fp32, convolutions(one.fp32)[8], tmp_path / "broken.onnx")
        proof = proof_of(asked(one), broken, one.fp32)
        assert one.detector.training
    finally:
        one.detector.eval()
    assert proof.suspect is not None and proof.suspect.layer is not None
    assert proof.suspect.layer.name == convolutions(one.fp32)[8]
    for name, value in one.detector.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_a_tail_that_is_wrong_is_told_from_the_network(
    retinanet: Traced, paddle: PaddleReference, tmp_path: Path
) -> None:
    model = onnx.load(str(retinanet.fp32))
    held = next(tensor for tensor in model.graph.initializer if tensor.name == "tail/nms_iou")
    held.CopyFrom(numpy_helper.from_array(np.array([0.05], np.float32), held.name))
    onnx.save(model, str(tmp_path / "tail.onnx"))
    proof = proof_of(paddle, tmp_path / "tail.onnx", retinanet.fp32)
    assert all(one.relative_error < 1e-5 for one in proof.raw.values())
    assert any("have no partner" in fault for fault in proof.faults)
    assert proof.suspect is not None and proof.suspect.layer is None
    assert "The network's numbers are right; what is made of them (nodes tail/...," in proof.suspect.sentence


def test_a_location_at_the_end_of_the_list_may_be_taken_or_left(traced_graphs: Give) -> None:
    one = traced_graphs("picodet")
    paddle = ask_paddle(one.detector, one.store, one.normalisation, one.settings, range(4))
    assert {answer.score_floor for answer in paddle.answers} == {one.settings.score_floor}
    few = replace(one.settings, candidates=5)
    shorter = ask_paddle(one.detector, one.store, one.normalisation, few, range(4))
    for answer in shorter.answers:
        assert answer.raw is not None
        assert answer.score_floor == np.sort(answer.raw[0].max(axis=1))[-5] > few.score_floor
    graph, runtime = GraphFile("fp32", "fp32", "any", one.fp32), open_graph("onnxruntime", one.fp32)
    # what the reference left out is no fault of an answer that has it; what is missing above that is one
    everything = [answer.detections for answer in paddle.answers]
    assert prove(shorter, graph, runtime, everything).agreement.unmatched == 0
    above = sum(int((a.detections.scores > a.score_floor + 1e-3).sum()) for a in shorter.answers)
    assert prove(shorter, graph, runtime, [found.keep([]) for found in everything]).agreement.unmatched == above > 0


class Spoilt:
    """A runtime whose answers are changed on the way."""

    version = "1"
    notes = ()

    def __init__(self, path: Path, change: Callable[[RawOutput], RawOutput]) -> None:
        self._real, self._change, self.name = open_graph("onnxruntime", path), change, "onnxruntime"

    def infer(self, images: NDArray[np.uint8]) -> RawOutput:
        return self._change(self._real.infer(images))

    def close(self) -> None:
        self._real.close()


def test_a_batch_that_changes_the_answers_fails(retinanet: Traced, paddle: PaddleReference) -> None:
    def last_is_lost(answer: RawOutput) -> RawOutput:
        count = answer.count.copy()
        if len(count) > 1:
            count[-1] = 0
        return replace(answer, count=count)

    graph = GraphFile("fp32", "fp32", "any", retinanet.fp32)
    proof = prove(paddle, graph, Spoilt(retinanet.fp32, last_is_lost))
    assert proof.faults == ("1 of 8 pictures get another answer in a batch than alone",)

    def only_one(answer: RawOutput) -> RawOutput:
        if len(answer.count) > 1:
            raise UsageError("The engine takes batches of 1:1:1.")
        return answer

    proof = prove(paddle, graph, Spoilt(retinanet.fp32, only_one))
    assert proof.faults == ()
    assert proof.to_dict()["batch"] == {"size": 8, "same": None, "not_tried": "The engine takes batches of 1:1:1."}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            lambda a: replace(a, scores=a.scores * np.float32(0.995)),
            r"scores of matched detections differ by up to 0\.0",
        ),
        (lambda a: replace(a, boxes=a.boxes + np.float32(0.7) * (a.boxes > 0)), r"their box edges by up to 0\.7 px"),
        (lambda a: replace(a, count=a.count // 2), r"% of the detections have no partner \(limit 2%\)"),
    ],
)
def test_every_limit_has_its_words(
    retinanet: Traced, paddle: PaddleReference, change: Callable[[RawOutput], RawOutput], fault: str
) -> None:
    proof = prove(paddle, GraphFile("fp32", "fp32", "any", retinanet.fp32), Spoilt(retinanet.fp32, change))
    with pytest.raises(TemperError, match=fault):
        require_proof([proof])


def test_map_is_held_where_there_are_pictures_enough(retinanet: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    many = ask_paddle(
        retinanet.detector, retinanet.store, retinanet.normalisation, retinanet.settings, [0, 1, 2, 3] * 13
    )
    for rows, faults in ((many, 1), (asked(retinanet), 0)):
        better = replace(rows, ap=(rows.ap or 0) + 1.5)
        proof = prove(
            better, GraphFile("int8", "int8", "cpu", retinanet.fp32), open_graph("onnxruntime", retinanet.fp32)
        )
        assert len(proof.faults) == faults
    assert PADDLE_TOLERANCES["int8"].map_points == 1.0


def test_a_runtime_that_does_not_load_is_a_fault(retinanet: Traced, paddle: PaddleReference, tmp_path: Path) -> None:
    def refuse(name: str) -> Any:
        raise TemperError(f"{name} is not in the mood.")

    graph = GraphFile("fp32", "fp32", "any", retinanet.fp32)
    (proof,) = prove_on(paddle, graph, ["openvino"], refuse, lambda: retinanet.fp32)
    assert proof.faults == ("openvino is not in the mood",)
    assert proof.to_dict()["passed"] is False


def test_which_runtimes_prove_a_graph(tmp_path: Path) -> None:
    assert runtimes_for(GraphFile("fp32", "fp32", "any", tmp_path)) == ["onnxruntime", "openvino"]
    engine = GraphFile("int8-s8", "int8", "tensorrt", tmp_path)
    assert runtimes_for(engine) == ["onnxruntime"]
    assert runtimes_for(engine, ["tensorrt", "openvino", "tensorrt"]) == ["tensorrt"]
    assert runtimes_for(GraphFile("int8", "int8", "cpu", tmp_path), ["tensorrt"]) == []


def test_unmatched_detections_are_drawn(retinanet: Traced, paddle: PaddleReference) -> None:
    labels = retinanet.store.data.labels
    fp32 = proof_of(paddle, retinanet.fp32, retinanet.fp32)
    assert unmatched_page("toy", [(fp32, paddle)], labels) is None
    int8 = proof_of(paddle, retinanet.int8, retinanet.fp32, precision="int8")
    page = unmatched_page("<toy>", [(fp32, paddle), (int8, paddle)], labels)
    assert page is not None
    assert "<h1>&lt;toy&gt;</h1>" in page and page.count("<h2>") == 1
    assert page.count('<img src="data:image/jpeg;base64,') == 2 * len(int8.unmatched)
    assert f"{int8.unmatched[0].missing.source}: only Paddle ({len(int8.unmatched[0].missing)})" in page


def test_a_comparison_needs_pictures(retinanet: Traced) -> None:
    with pytest.raises(ValueError, match="needs pictures"):
        ask_paddle(retinanet.detector, retinanet.store, retinanet.normalisation, retinanet.settings, [])


@pytest.mark.parametrize("kind", KINDS)
def test_one_channel_gives_what_three_equal_ones_give_at_the_borders_too(
    traced_graphs: Give, tmp_path: Path, kind: str
) -> None:
    """The first convolution pads with zeros after the mean is taken off; if folding got that wrong, borders differ."""
    from temper.export.fp32 import write_fp32

    grey = traced_graphs(kind)
    size, labels = (grey.store.rule.width, grey.store.rule.height), grey.store.data.labels
    rgb = write_fp32(
        grey.detector, GraphSize(*size), "rgb", grey.normalisation, grey.settings, labels, tmp_path / "rgb.onnx"
    )
    first = next(node for node in onnx.load(str(rgb)).graph.node if node.op_type == "Conv").output[0]
    bright = np.full((size[1], size[0]), 250, np.uint8)
    bright[8:-8, 8:-8] = grey.store.image(0)[8:-8, 8:-8]
    both = Agreement()
    for image in (bright, grey.store.image(1), np.zeros_like(bright)):
        for runtime in ("onnxruntime", "openvino"):
            shown = []
            for path, picture in ((grey.fp32, image), (rgb, np.repeat(image[..., None], 3, axis=-1))):
                with open_probe(GraphOn(path, "fp32", runtime), [first, "boxes", "scores", "labels", "count"]) as probe:
                    shown.append(probe.run(picture[None]))
            one, three = (values[first][0] for values in shown)
            scale = np.abs(three).max()
            assert scale > 0
            edges = [np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1], np.s_[:, 1:-1, 1:-1]]
            for place in edges:
                np.testing.assert_allclose(one[place], three[place], atol=2e-6 * scale)
            found = [
                Detections(*(values[name][0, : values["count"][0]] for name in ("boxes", "scores", "labels")), size)
                for values in shown
            ]
            both.add_picture(*found, MatchRule(grey.settings.score_floor, grey.settings.max_detections))
    assert both.matched > 100
    # of boxes that overlap at the limit, NMS may keep the other one
    assert both.matched_share > 0.98


@pytest.mark.parametrize(
    ("precision", "budget", "fails"), [("int8", 0.0, True), ("int8", 5.0, False), ("fp32", 5.0, True)]
)
def test_what_the_accuracy_budget_let_through_is_no_fault(
    retinanet: Traced,
    paddle: PaddleReference,
    precision: Any,
    budget: float,
    fails: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proof_module, "MAP_PICTURES", 1)
    rows = range(len(paddle.rows))
    nothing = [Detections.none(SIZE) for _ in rows]
    lost = replace(paddle, ap=3.0, map_budget=budget)
    graph = GraphFile(precision, precision, "any", retinanet.fp32)
    runtime = open_graph("onnxruntime", retinanet.fp32)
    proof = prove(lost, graph, runtime, nothing)
    assert any(fault.startswith("mAP is 0.0 where Paddle's is 3.0") for fault in proof.faults) is fails
