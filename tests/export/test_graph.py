from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from quantised import int8_of
from temper import __version__
from temper.detection.decode import DecodeSettings, decode_detections
from temper.distill.detectors.normalise import GREY, IMAGENET, Normalisation
from temper.export.graph import build_graph
from temper.export.half import convert_fp16
from tiny_bundle import LABELS, tiny_coding, tiny_graph, tiny_network

SIZE = (72, 48)


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def pictures(count: int, channels: str, seed: int = 0) -> np.ndarray:
    """Noise, with a picture of one even grey second and a black one third."""
    shape = (count, SIZE[1], SIZE[0]) + ((3,) if channels == "rgb" else ())
    images = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    images[1:2] = 114
    images[2:3] = 0
    return images


def reference(
    network: onnx.ModelProto, images: np.ndarray, normalisation: Normalisation, settings: DecodeSettings
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The unfolded way: normalise in NumPy, run the bare network, decode in NumPy."""
    colour = images if images.ndim == 4 else np.repeat(images[..., None], 3, axis=-1)
    scores, regressions = session(network).run(None, {"image": normalisation.apply(colour)})
    coding = tiny_coding(SIZE)
    return [decode_detections(s, r, coding, SIZE, settings) for s, r in zip(scores, regressions, strict=True)]


def assert_same(model: onnx.ModelProto, images: np.ndarray, expected: list[tuple[np.ndarray, ...]]) -> np.ndarray:
    boxes, scores, labels, count = session(model).run(None, {"image": images})
    for i, (want_boxes, want_scores, want_labels) in enumerate(expected):
        n = len(want_scores)
        assert count[i] == n
        np.testing.assert_allclose(scores[i, :n], want_scores, atol=1e-5)
        np.testing.assert_array_equal(labels[i, :n], want_labels)
        np.testing.assert_allclose(boxes[i, :n], want_boxes, atol=1e-3)
    return count


@pytest.mark.parametrize(
    ("channels", "normalisation"),
    [
        ("grey", GREY),
        ("rgb", IMAGENET),
        ("rgb", GREY),
        ("grey", IMAGENET),
        ("grey", Normalisation((10, 10, 10), (3, 4, 5))),
    ],
)
def test_everything_inside_is_what_it_was_outside(channels: str, normalisation: Normalisation) -> None:
    images = pictures(5, channels)
    settings = DecodeSettings()
    count = assert_same(
        tiny_graph(channels, SIZE, settings, normalisation),
        images,
        reference(tiny_network(SIZE), images, normalisation, settings),
    )
    assert (count[3:] > 2).all(), "the test shows little on so few detections"


@pytest.mark.parametrize(
    ("channels", "normalisation"), [("grey", GREY), ("rgb", IMAGENET), ("grey", IMAGENET), ("rgb", GREY)]
)
def test_bytes_go_into_a_cast_and_nowhere_else(channels: str, normalisation: Normalisation) -> None:
    # TensorRT refuses any other layer on uint8, even one that only moves data
    model = tiny_graph(channels, SIZE, normalisation=normalisation)
    assert _readers_of_bytes(model) == ["Cast"]


@pytest.mark.parametrize("channels", ["grey", "rgb"])
def test_bytes_of_any_size_go_into_a_cast_and_nowhere_else(channels: str) -> None:
    model = tiny_graph(channels, SIZE, any_size=True)
    images = pictures(4, channels)
    for precise in (model, convert_fp16(model)[0], int8_of(model, list(images), "tensorrt")):
        assert _readers_of_bytes(precise) == ["Cast"]


def _readers_of_bytes(model: onnx.ModelProto) -> list[str]:
    """Kinds of the nodes that read the picture's bytes."""
    return [node.op_type for node in model.graph.node if "image" in node.input]


def _with_identity_first(network: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with a node before its first convolution, so that nothing can be folded into it."""
    network.graph.node.insert(0, helper.make_node("Identity", ["image"], ["first"]))
    network.graph.node[1].input[0] = "first"
    return network


@pytest.mark.parametrize(("channels", "normalisation"), [("grey", GREY), ("grey", IMAGENET), ("rgb", IMAGENET)])
def test_a_network_that_takes_no_folding(channels: str, normalisation: Normalisation) -> None:
    images = pictures(4, channels)
    settings = DecodeSettings()
    network = _with_identity_first(tiny_network(SIZE))
    model = build_graph(network, tiny_coding(SIZE), len(LABELS), SIZE, channels, normalisation, settings, LABELS)
    assert_same(model, images, reference(tiny_network(SIZE), images, normalisation, settings))


def test_a_grey_graph_reads_one_channel() -> None:
    def first_weights(model: onnx.ModelProto) -> np.ndarray:
        held = {tensor.name: tensor for tensor in model.graph.initializer}
        convolution = next(node for node in model.graph.node if node.op_type == "Conv")
        return numpy_helper.to_array(held[convolution.input[1]])

    assert first_weights(tiny_graph("grey", SIZE)).shape[1] == 1
    assert first_weights(tiny_graph("rgb", SIZE)).shape[1] == 3
    own = numpy_helper.to_array(tiny_network(SIZE).graph.initializer[0])
    np.testing.assert_allclose(
        first_weights(tiny_graph("grey", SIZE)), own.sum(axis=1, keepdims=True) / GREY.std[0], atol=1e-6
    )


def test_weights_shared_with_another_convolution_are_left_alone() -> None:
    network = tiny_network(SIZE)
    # the second convolution of this network reads the picture's weights, cut to its shape, through a Slice
    before = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in network.graph.initializer}
    network.graph.node.append(helper.make_node("Identity", ["conv0.weight"], ["second_reader"]))
    model = build_graph(network, tiny_coding(SIZE), len(LABELS), SIZE, "grey", GREY, DecodeSettings(), LABELS)
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    np.testing.assert_array_equal(held["network/conv.weight"], before["conv0.weight"])
    assert held["network/conv.weight/folded"].shape[1] == 1


@pytest.mark.parametrize("channels", ["grey", "rgb"])
def test_a_batch_equals_its_pictures_one_by_one(channels: str) -> None:
    runner = session(tiny_graph(channels, SIZE))
    images = pictures(8, channels)
    for size in (1, 2, 3, 8):
        together = runner.run(None, {"image": images[:size]})
        for i in range(size):
            alone = runner.run(None, {"image": images[i : i + 1]})
            for whole, single in zip(together, alone, strict=True):
                np.testing.assert_array_equal(whole[i], single[0])
    count = runner.run(None, {"image": images})[3]
    assert count[1] == 0, "an even picture of the mean's grey has no detection"
    assert count[3] > 0


def test_more_rows_than_there_can_be_detections() -> None:
    settings = DecodeSettings(candidates=5, max_detections=40)
    images = pictures(3, "grey")
    model = tiny_graph("grey", SIZE, settings)
    count = assert_same(model, images, reference(tiny_network(SIZE), images, GREY, settings))
    boxes, scores, labels, _ = session(model).run(None, {"image": images})
    assert boxes.shape == (3, 40, 4)
    assert count.max() <= 15
    assert (labels[:, 15:] == -1).all()
    assert not scores[:, 15:].any()


def test_the_contract_of_inputs_and_outputs() -> None:
    for channels in ("grey", "rgb"):
        model = tiny_graph(channels, SIZE, DecodeSettings(max_detections=7))
        runner = session(model)
        (image,) = runner.get_inputs()
        assert (image.name, image.type) == ("image", "tensor(uint8)")
        assert image.shape == (["batch", 48, 72] if channels == "grey" else ["batch", 48, 72, 3])
        assert [(o.name, o.type, o.shape) for o in runner.get_outputs()] == [
            ("boxes", "tensor(float)", ["batch", 7, 4]),
            ("scores", "tensor(float)", ["batch", 7]),
            ("labels", "tensor(int32)", ["batch", 7]),
            ("count", "tensor(int32)", ["batch"]),
        ]
        assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
        assert {node.domain for node in model.graph.node} == {""}


def test_names_and_metadata_can_be_read() -> None:
    model = tiny_graph("grey", SIZE)
    assert {node.name.split("/")[0] for node in model.graph.node} == {"input", "network", "tail"}
    assert len({node.name for node in model.graph.node}) == len(model.graph.node)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said["temper.version"] == __version__
    assert json.loads(said["temper.labels"]) == list(LABELS)
    assert json.loads(said["temper.input"]) == {"width": 72, "height": 48, "channels": "grey"}
    assert json.loads(said["temper.decode"])["nms_iou"] == 0.5


def test_the_network_given_is_not_changed() -> None:
    network = tiny_network(SIZE)
    before = network.SerializeToString()
    build_graph(network, tiny_coding(SIZE), len(LABELS), SIZE, "grey", GREY, DecodeSettings(), LABELS)
    assert network.SerializeToString() == before


def test_arguments_that_do_not_agree() -> None:
    def build(network: onnx.ModelProto, labels: tuple[str, ...] = LABELS) -> onnx.ModelProto:
        return build_graph(network, tiny_coding(SIZE), len(LABELS), SIZE, "grey", GREY, DecodeSettings(), labels)

    with pytest.raises(ValueError, match="2 labels for 3 classes"):
        build(tiny_network(SIZE), LABELS[:2])
    old = tiny_network(SIZE)
    old.opset_import[0].version = 13
    with pytest.raises(ValueError, match="operator sets"):
        build(old)
    one_output = tiny_network(SIZE)
    del one_output.graph.output[1]
    with pytest.raises(ValueError, match="one input and two outputs"):
        build(one_output)
