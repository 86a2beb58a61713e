"""What each ONNX operator is to an estimate: arithmetic, a pass over memory, or nothing at all."""

from __future__ import annotations

from typing import Literal

Kind = Literal["conv", "depthwise", "matmul", "pointwise", "reduction", "move", "sort", "nms", "unknown"]

#: Multiplications with weights; what decides their time is told apart in ``work.py``.
MATRIX = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
#: An element of the result needs the elements in the same place: joined to the layer that made them.
POINTWISE = frozenset(
    {
        "Abs",
        "Add",
        "And",
        "BatchNormalization",
        "Cast",
        "Ceil",
        "Clip",
        "Div",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "Greater",
        "GreaterOrEqual",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "Max",
        "Min",
        "Mish",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "PRelu",
        "Pow",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Sigmoid",
        "Softplus",
        "Sqrt",
        "Sub",
        "Sum",
        "Tanh",
        "Where",
    }
)
#: Several elements become one.
REDUCTION = frozenset(
    {
        "ArgMax",
        "ArgMin",
        "AveragePool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "GroupNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "MaxPool",
        "ReduceL1",
        "ReduceL2",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "Softmax",
    }
)
#: Elements go to another place.
MOVE = frozenset(
    {
        "Concat",
        "ConstantOfShape",
        "DepthToSpace",
        "Expand",
        "Gather",
        "GatherElements",
        "GatherND",
        "Pad",
        "Resize",
        "ScatterElements",
        "ScatterND",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Tile",
        "Transpose",
    }
)
SORT = frozenset({"NonZero", "TopK"})
NMS = frozenset({"NonMaxSuppression"})
#: The same bytes under another shape or name; and what is known before the graph runs.
FREE = frozenset(
    {
        "Constant",
        "DequantizeLinear",
        "Dropout",
        "Flatten",
        "Identity",
        "QuantizeLinear",
        "Range",
        "Reshape",
        "Shape",
        "Size",
        "Squeeze",
        "Unsqueeze",
    }
)


def kind_of(operator: str) -> Kind | None:
    """What an operator is; None for one that costs nothing. Convolutions are all ``conv`` here."""
    if operator in FREE:
        return None
    if operator in MATRIX:
        return "conv" if operator.startswith("Conv") else "matmul"
    for names, kind in _KINDS:
        if operator in names:
            return kind
    return "unknown"


_KINDS: tuple[tuple[frozenset[str], Kind], ...] = (
    (POINTWISE, "pointwise"),
    (REDUCTION, "reduction"),
    (MOVE, "move"),
    (SORT, "sort"),
    (NMS, "nms"),
)
