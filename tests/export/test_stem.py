from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from temper.detection.decode import DecodeSettings
from temper.distill.detectors.normalise import GREY, IMAGENET
from temper.export.anchors_in_graph import Cells
from temper.export.graph import build_graph
from temper.export.stem import for_processors, space_to_depth_stem, whole_mean
from tiny_bundle import LABELS, tiny_coding, tiny_graph, tiny_network

PIXELS = "input/subtract_mean:0"


def stem(kernel: int, pad: int, size: tuple[int, int], channels: int, stride: int = 2) -> onnx.ModelProto:
    """Bytes, less a mean, into one convolution."""
    generator = np.random.default_rng(kernel * 10 + pad)
    shape = (5, channels, kernel, kernel)
    held = {
        "input/mean": np.full((1, channels, 1, 1), 114.495, np.float32),
        "w": generator.normal(0, 0.1, shape).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["cast"], name="input/to_float", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["cast"], ["turned"], name="input/turn", perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["turned", "input/mean"], [PIXELS], name="input/subtract_mean"),
        helper.make_node(
            "Conv",
            [PIXELS, "w"],
            ["out"],
            name="network/conv",
            strides=[stride] * 2,
            pads=[pad] * 4,
            kernel_shape=[kernel] * 2,
        ),
    ]
    width, height = size
    graph = helper.make_graph(
        nodes,
        "stem",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["b", height, width, channels])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([(1, 0), (2, 1), (3, 1), (5, 2), (7, 3), (4, 2)]),
    st.integers(4, 12),
    st.integers(4, 12),
    st.sampled_from([1, 3]),
)
def test_the_same_numbers_in_cells(shape: tuple[int, int], half_width: int, half_height: int, channels: int) -> None:
    model = stem(*shape, (2 * half_width, 2 * half_height), channels)
    images = np.random.default_rng(0).integers(0, 256, (2, 2 * half_height, 2 * half_width, channels), dtype=np.uint8)
    moved = space_to_depth_stem(model)
    assert [node.op_type for node in moved.graph.node].count("SpaceToDepth") == 1
    np.testing.assert_allclose(run(moved, images), run(model, images), atol=1e-3)


@pytest.mark.parametrize(
    "model", [stem(3, 1, (9, 8), 1), stem(3, 1, (8, 8), 1, stride=1)], ids=["odd width", "stride 1"]
)
def test_what_cannot_be_moved_is_left(model: onnx.ModelProto) -> None:
    assert space_to_depth_stem(model) is model


def test_a_whole_mean_differs_at_the_border_alone() -> None:
    model = stem(3, 1, (16, 16), 1)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1), dtype=np.uint8)
    whole, ranges = whole_mean(model)
    assert ranges == {PIXELS: (-114.0, 141.0)}
    exact, moved = run(model, images), run(whole, images)
    np.testing.assert_allclose(moved[:, :, 1:, 1:], exact[:, :, 1:, 1:], atol=1e-3)
    assert 0 < np.abs(moved - exact).max() < 0.5 * 9


def test_bytes_stay_bytes_in_int8() -> None:
    model, ranges = for_processors(tiny_graph("grey", (64, 64)))
    for low, high in ranges.values():
        scale = (high - low) / 255
        assert scale == 1 and float(-low / scale).is_integer()
    assert set(ranges) == {PIXELS, "network/stem/space_to_depth:0"}
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("cells", [None, ((8, np.array([[16, 16]], np.float32)),)], ids=["fixed", "any size"])
def test_padded_pictures_too(cells: Cells | None) -> None:
    size, padded = (51, 40), (64, 64)
    model = build_graph(
        tiny_network(padded if cells is None else ("w", "h")),
        tiny_coding(padded),
        len(LABELS),
        size,
        "grey",
        GREY,
        DecodeSettings(candidates=20),
        LABELS,
        padded=padded,
        cells=cells,
    )
    moved, ranges = for_processors(model)
    assert set(ranges) == {"input/pad:0", "network/stem/space_to_depth:0"}
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 51), dtype=np.uint8)
    ends = []
    for one in (model, moved):
        one.graph.output.append(helper.make_tensor_value_info("network/conv:0", TensorProto.FLOAT, None))
        session = onnxruntime.InferenceSession(one.SerializeToString(), providers=["CPUExecutionProvider"])
        ends.append(session.run(["network/conv:0"], {"image": images})[0])
    # 20 rows and 26 columns see the picture; those at its ends see the padding too
    np.testing.assert_allclose(ends[0][:, :, 1:19, 1:24], ends[1][:, :, 1:19, 1:24], atol=1e-4)


def test_channels_with_means_of_their_own_keep_them() -> None:
    model = tiny_graph("rgb", (64, 64), normalisation=IMAGENET)
    assert whole_mean(model) == (model, {})
