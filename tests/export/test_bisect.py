from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from temper.bundle.graph_file import OnnxFile
from temper.core.errors import TemperError
from temper.deploy.runtimes.onnxruntime import OnnxRuntime
from temper.export import bisect as bisect_module
from temper.export.bisect import first_difference, half_way, relative_error
from temper.export.calibrate import measure_ranges
from temper.export.probe import GraphOn, open_probe
from temper.export.quantize import activations, quantize
from tiny_bundle import tiny_graph
from traced_graphs import KINDS, Traced, convolutions, corrupted, sharing_weights

Give = Callable[..., Traced]


def pictures(one: Traced) -> list[np.ndarray]:
    return [one.store.image(row) for row in range(2)]


def test_relative_error_by_hand() -> None:
    a = np.array([3, 4], np.float32)
    assert relative_error(a, a) == 0
    assert relative_error(a, np.array([3, 4.5], np.float32)) == pytest.approx(0.1)
    assert relative_error(a, np.array([3, 4.5], np.float16)) == pytest.approx(0.1)
    assert relative_error(np.zeros(2, np.float32), np.zeros(2, np.float32)) == 0
    for other in ([3, 4, 5], [3, np.nan], [3, np.inf]):
        assert relative_error(a, np.array(other, np.float32)) == math.inf
    assert relative_error(np.zeros(2, np.float32), a) == math.inf
    odd = np.array([np.inf, np.nan, 2], np.float32)
    assert relative_error(odd, odd) == 0
    assert relative_error(np.array([1, 2]), np.array([1, 2])) == 0
    assert relative_error(np.array([1, 2]), np.array([1, 3])) == math.inf


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_the_corrupted_layer_is_named(traced_graphs: Give, tmp_path: Path, kind: str, place: float) -> None:
    one = traced_graphs(kind)
    names = convolutions(one.fp32)
    wrong = names[round(place * (len(names) - 1))]
    # what PicoDet's fresh backbone says is drowned by its head's biases, unless it is loud
    broken = corrupted(one.fp32, wrong, tmp_path / "broken.onnx", 1e5 if kind == "picodet" else 2)
    found = first_difference(GraphOn(one.fp32, "fp32"), GraphOn(broken, "fp32"), pictures(one), 5e-4)
    assert found is not None
    assert found.name in sharing_weights(one.fp32, wrong)
    assert (wrong == found.name or place == 1.0) and found.operator == "Conv"
    assert found.error > 5e-4
    assert found.error_before == 0, "all before it is the same"
    assert str(found) == f"{found.name} (Conv)"


@pytest.mark.parametrize("kind", KINDS)
def test_graphs_that_agree_have_no_such_layer(traced_graphs: Give, kind: str) -> None:
    one = traced_graphs(kind)
    for runtime in ("onnxruntime", "openvino"):
        assert (
            first_difference(GraphOn(one.fp32, "fp32"), GraphOn(one.fp32, "fp32", runtime), pictures(one), 5e-4) is None
        )


def test_the_layer_is_named_across_runtimes(traced_graphs: Give, tmp_path: Path) -> None:
    one = traced_graphs("retinanet")
    wrong = convolutions(one.fp32)[11]
    broken = GraphOn(corrupted(one.fp32, wrong, tmp_path / "broken.onnx"), "fp32", "openvino")
    found = first_difference(GraphOn(one.fp32, "fp32"), broken, pictures(one), 5e-4)
    assert found is not None and found.name == wrong
    assert 0 <= found.error_before < 5e-4


def test_of_two_wrong_layers_one_is_named_whose_inputs_agree(traced_graphs: Give, tmp_path: Path) -> None:
    one = traced_graphs("retinanet")
    names = convolutions(one.fp32)
    broken = corrupted(one.fp32, names[4], tmp_path / "one.onnx")
    broken = corrupted(broken, names[-3], tmp_path / "two.onnx")
    found = first_difference(GraphOn(one.fp32, "fp32"), GraphOn(broken, "fp32"), pictures(one), 5e-4)
    assert found is not None and found.name == names[4]


def test_a_difference_that_vanishes_on_the_way_misleads_nobody(tmp_path: Path) -> None:
    """Before a ReLU some values differ and are swallowed; what reaches the ends differs further on."""
    graph = tiny_graph("grey", (64, 64))
    right = tmp_path / "right.onnx"
    onnx.save(graph, str(right))
    held = {tensor.name: tensor for tensor in graph.graph.initializer}
    bias_name = [node for node in graph.graph.node if node.op_type == "Conv"][1].input[2]
    # half of the second convolution's outputs become very negative on both sides, by different amounts
    for path, amount in ((right, -50.0), (tmp_path / "wrong.onnx", -60.0)):
        bias = np.zeros(16, np.float32)
        bias[:8] = amount
        held[bias_name].CopyFrom(numpy_helper.from_array(bias, bias_name))
        onnx.save(graph, str(path))
    names = convolutions(right)
    image = [np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)]
    broken = tmp_path / "wrong.onnx"
    assert first_difference(GraphOn(right, "fp32"), GraphOn(broken, "fp32"), image, 1e-4) is None
    broken = corrupted(broken, names[3], tmp_path / "broken.onnx")
    found = first_difference(GraphOn(right, "fp32"), GraphOn(broken, "fp32"), image, 1e-4)
    assert found is not None
    # both are layers whose inputs agree and whose outputs do not
    assert found.name in (names[1], names[3])
    assert found.error > 1e-4 and found.error_before == 0


def test_the_search_takes_few_runs(traced_graphs: Give, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = traced_graphs("picodet")
    opened: list[Sequence[str]] = []

    def counted(graph: GraphOn, names: Sequence[str]) -> Any:
        opened.append(names)
        return open_probe(graph, names)

    monkeypatch.setattr(bisect_module, "open_probe", counted)
    names = convolutions(one.fp32)
    broken = corrupted(one.fp32, names[20], tmp_path / "broken.onnx", 1e5)
    found = first_difference(GraphOn(one.fp32, "fp32"), GraphOn(broken, "fp32"), pictures(one), 5e-4)
    assert found is not None and found.name == names[20]
    layers = len(onnx.load(str(one.fp32)).graph.node)
    assert layers > 200
    assert len(opened) <= 2 * (math.ceil(math.log2(layers)) + 1)
    assert max(map(len, opened)) < 20, "only a few tensors at a time"


def test_in_a_quantised_graph_the_broken_layer_is_named(traced_graphs: Give, tmp_path: Path) -> None:
    one = traced_graphs("retinanet")
    fp32, int8 = GraphOn(one.fp32, "fp32"), GraphOn(one.int8, "int8")
    usual = half_way(fp32, int8, pictures(one))
    assert usual is not None
    layer, total = usual
    assert 0 < layer.error_before <= total / 2 < layer.error < 0.5
    for index, runtime in ((5, "onnxruntime"), (12, "onnxruntime"), (12, "openvino")):
        wrong = convolutions(one.fp32)[index]
        broken = GraphOn(corrupted(one.int8, wrong, tmp_path / f"{index}.onnx", -1), "int8", runtime)
        found = half_way(fp32, broken, pictures(one))
        assert found is not None
        assert found[0].name == wrong
        assert found[0].error - found[0].error_before > found[1] / 2
    assert half_way(fp32, fp32, pictures(one)) is None


def test_layers_between_tensors_that_only_one_side_has_count_as_one(traced_graphs: Give, tmp_path: Path) -> None:
    one = traced_graphs("retinanet")
    names = convolutions(one.fp32)
    broken = onnx.load(str(corrupted(one.fp32, names[6], tmp_path / "broken.onnx")))
    # the corrupted convolution's own output has another name there
    node = next(node for node in broken.graph.node if node.name == names[6])
    old = node.output[0]
    for other in broken.graph.node:
        other.input[:] = ["renamed" if name == old else name for name in other.input]
    node.output[0] = "renamed"
    onnx.save(broken, str(tmp_path / "renamed.onnx"))
    found = first_difference(GraphOn(one.fp32, "fp32"), GraphOn(tmp_path / "renamed.onnx", "fp32"), pictures(one), 5e-4)
    assert found is not None
    assert found.name == names[6]
    reader = next(n for n in onnx.load(str(one.fp32)).graph.node if old in n.input)
    assert found.tensor in reader.output, "the first that both have"


def test_a_file_that_is_no_graph_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(b"these are not the weights")
    with pytest.raises(TemperError, match=r"graph\.onnx cannot be read as ONNX"):
        GraphOn(path, "fp32").model  # noqa: B018
    model = tiny_graph("grey", (64, 64))
    for node in model.graph.node:
        node.name = node.name.replace("tail/", "end/")
    onnx.save(model, str(path))
    with pytest.raises(TemperError, match="has not the nodes tail/best_score and tail/candidate_regressions"):
        GraphOn(path, "fp32").raw_names  # noqa: B018


def test_a_probe_shows_what_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    onnx.save(tiny_graph("grey", (64, 64)), str(path))
    image = np.full((2, 64, 64), 90, np.uint8)
    inner = next(node for node in onnx.load(str(path)).graph.node if node.op_type == "Conv").output[0]
    both = []
    for runtime in ("onnxruntime", "openvino"):
        with open_probe(GraphOn(path, "fp32", runtime), [inner, "count"]) as probe:
            both.append(probe.run(image))
    assert both[0][inner].shape == (2, 8, 32, 32)
    np.testing.assert_allclose(both[0][inner], both[1][inner], atol=1e-4)
    np.testing.assert_array_equal(both[0]["count"], both[1]["count"])
    with pytest.raises(TemperError, match="cannot load"), open_probe(GraphOn(path, "fp32"), ["nothing"]):
        pass


def test_a_tensor_that_onnx_runtime_fuses_away_is_shown(traced_graphs: Give, tmp_path: Path) -> None:
    """Of an int8 graph for TensorRT, with the convolution beside a block's branch and one in the branch as outputs."""
    one = traced_graphs("retinanet")
    fp32 = onnx.load(str(one.fp32))
    given = [partial(one.store.image, row) for row in range(2)]
    ranges = measure_ranges(fp32, activations(fp32), given, ("min_max",))["min_max"]
    int8 = tmp_path / "int8.onnx"
    onnx.save(quantize(fp32, ranges, "tensorrt"), str(int8))
    graph = GraphOn(int8, "int8")
    names = [f"network/backbone.res3.res3a.{part}/conv:0" for part in ("branch2a", "short")]
    asked = tmp_path / "asked.onnx"
    changed = onnx.load(str(int8))
    del changed.graph.output[:]
    changed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    onnx.save(changed, str(asked))
    plain = OnnxRuntime(OnnxFile.read(asked), precision="int8", rewriting="none").tensors(
        {"image": given[0]()[None]}, names
    )
    with open_probe(graph, names) as probe:
        shown = probe.run(given[0]()[None])
    for name, value in zip(names, plain, strict=True):
        assert relative_error(value, shown[name]) < 0.05
    assert half_way(GraphOn(one.fp32, "fp32"), graph, [given[0]()]) is not None
