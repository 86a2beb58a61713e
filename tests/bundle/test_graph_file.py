from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from temper.bundle.graph_file import OnnxFile, require_self_contained
from temper.core.errors import TemperError
from tiny_bundle import tiny_graph


def test_an_exported_graph_is_self_contained(tmp_path: Path) -> None:
    onnx.save(tiny_graph(), str(tmp_path / "g.onnx"))
    require_self_contained(OnnxFile.read(tmp_path / "g.onnx"))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TemperError, match=r"none\.onnx cannot be read: No such file"):
        OnnxFile.read(tmp_path / "none.onnx")


@pytest.mark.parametrize("nested", [False, True])
def test_weights_in_another_file_are_refused(nested: bool) -> None:
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value="weights.bin")
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    if nested:
        constant = helper.make_node("Constant", [], ["y"])
        constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(weights)
        branch = helper.make_graph([constant], "branch", [], [y])
        nodes, initializers = [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)], []
    else:
        nodes, initializers = [helper.make_node("Relu", ["w"], ["y"])], [weights]
    model = helper.make_model(helper.make_graph(nodes, "g", [], [y], initializers))
    with pytest.raises(TemperError, match="^g keeps weights in another file"):
        require_self_contained(OnnxFile(model.SerializeToString(), "g"))


def _varint(value: int) -> bytes:
    out = b""
    while value >> 7:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


@pytest.mark.parametrize("tag", [_varint(1 << 32 | 14 << 3), _varint(14 << 3)[:-1] + b"\x80\x80\x80\x80\x80\x00"])
def test_a_field_is_not_hidden_behind_a_longer_tag(tag: bytes) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4]).SerializeToString() + tag + _varint(1)
    graph = b"\x2a" + _varint(len(tensor)) + tensor
    with pytest.raises(TemperError, match="^g is no ONNX file that can be read"):
        require_self_contained(OnnxFile(b"\x3a" + _varint(len(graph)) + graph, "g"))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_taken_or_refused_in_a_sentence(content: bytes) -> None:
    sentence = ""
    try:
        require_self_contained(OnnxFile(content, "any"))
    except TemperError as error:
        sentence = str(error)
    assert "\n" not in sentence
