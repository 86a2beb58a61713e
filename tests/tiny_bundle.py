"""A real bundle without Paddle: a hand-made network that finds bright and dark spots, through the export's own code."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from temper import __version__
from temper.bundle.manifest import MANIFEST_NAME, InputRule, MadeBy, Manifest, Size, Variant, with_checksum
from temper.bundle.writer import write_bundle
from temper.core.files import read_json, sha256_file, write_json
from temper.detection.decode import BoxCoding, DecodeSettings
from temper.distill.detectors.normalise import Normalisation, normalisation_for
from temper.export.finish import finish_bundle
from temper.export.graph import build_graph

STRIDE = 8
LABELS = ("dark", "bright", "rough")


def tiny_network(
    size: tuple[int, int] | tuple[str, str] = (64, 64), classes: int = len(LABELS), seed: int = 0
) -> onnx.ModelProto:
    """What ``trace_network`` writes: image [B, 3, H, W] -> scores [B, A, classes], regressions [B, A, 4].

    Even picture surfaces of the mean's grey score below 0.02; spots and edges score higher. Seeded, so always the same.
    With names in place of its two numbers it takes pictures of every size.
    """
    generator = np.random.default_rng(seed)
    values: dict[str, np.ndarray] = {}
    nodes = []

    def conv(source: str, name: str, weights: np.ndarray, bias: float, **attributes: object) -> str:
        values[f"{name}.weight"] = weights.astype(np.float32)
        values[f"{name}.bias"] = np.full(len(weights), bias, np.float32)
        nodes.append(helper.make_node("Conv", [source, f"{name}.weight", f"{name}.bias"], [name], **attributes))
        return name

    def spread(name: str, source: str, columns: int) -> str:
        values[f"{name}.shape"] = np.array([0, -1, columns], np.int64)
        nodes.append(helper.make_node("Transpose", [source], [f"{name}.last"], perm=[0, 2, 3, 1]))
        nodes.append(helper.make_node("Reshape", [f"{name}.last", f"{name}.shape"], [name]))
        return name

    feature = "image"
    for index, (incoming, outgoing) in enumerate(((3, 8), (8, 16), (16, 16))):
        weights = generator.normal(0, (2 / (incoming * 9)) ** 0.5, (outgoing, incoming, 3, 3))
        conv(feature, f"conv{index}", weights, 0.0, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        nodes.append(helper.make_node("Relu", [f"conv{index}"], [f"relu{index}"]))
        feature = f"relu{index}"
    conv(feature, "class_logits", generator.normal(0, 1.0, (classes, 16, 1, 1)), -4.2, kernel_shape=[1, 1])
    conv(feature, "deltas", generator.normal(0, 0.1, (4, 16, 1, 1)), 0.0, kernel_shape=[1, 1])
    nodes.append(helper.make_node("Sigmoid", [spread("logits", "class_logits", classes)], ["scores"]))
    spread("regressions", "deltas", 4)
    width, height = size
    locations: int | str = "locations"
    if isinstance(width, int) and isinstance(height, int):
        locations = (-(-width // STRIDE)) * (-(-height // STRIDE))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, height, width])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", locations, classes]),
            helper.make_tensor_value_info("regressions", TensorProto.FLOAT, ["batch", locations, 4]),
        ],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return model


def tiny_coding(size: tuple[int, int] = (64, 64)) -> BoxCoding:
    """Square anchors of 16 pixels, one per location of :func:`tiny_network`."""
    width, height = size
    y, x = np.mgrid[0 : -(-height // STRIDE), 0 : -(-width // STRIDE)].astype(np.float32)
    centres = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * STRIDE
    return BoxCoding("anchor_deltas", np.concatenate([centres - 8, centres + 8], axis=1).astype(np.float32))


def tiny_graph(
    channels: Literal["grey", "rgb"] = "grey",
    size: tuple[int, int] = (64, 64),
    settings: DecodeSettings | None = None,
    normalisation: Normalisation | None = None,
    *,
    any_size: bool = False,
) -> onnx.ModelProto:
    """The one graph around :func:`tiny_network`; with ``any_size`` it takes every size."""
    return build_graph(
        tiny_network(("width", "height") if any_size else size),
        tiny_coding(size),
        len(LABELS),
        size,
        channels,
        normalisation or normalisation_for(channels),
        settings or DecodeSettings(),
        LABELS,
        cells=((STRIDE, np.array([[16, 16]], np.float32)),) if any_size else None,
    )


def _described(name: str, graph: Path, size: tuple[int, int] | None, any_size: bool) -> Variant:
    return Variant(
        name=name,
        precision="fp32",
        size=None if size is None else Size(width=size[0], height=size[1]),
        any_size=any_size,
        file=f"graphs/{name}.onnx",
        sha256=sha256_file(graph),
        bytes=graph.stat().st_size,
    )


def make_tiny_bundle(
    folder: Path,
    channels: Literal["grey", "rgb"] = "grey",
    size: tuple[int, int] = (64, 64),
    *,
    name: str = "tiny",
    resize: Literal["stretch", "letterbox"] = "stretch",
    settings: DecodeSettings | None = None,
    role: Literal["teacher", "student", "distilled", "other"] = "student",
    golden: bool = False,
    labels: Sequence[str] = LABELS,
    other_sizes: Sequence[tuple[int, int]] = (),
    dynamic: bool = False,
) -> Path:
    """Write ``folder/NAME.temper`` with one fp32 graph and give its path; random pictures get tens of detections.

    With ``other_sizes`` it has a graph ``fp32-WIDTHxHEIGHT`` for each of these too, with ``dynamic`` one of every size.

    With ``golden`` it carries golden pictures and a model card, as an exported one does.
    """
    settings = settings or DecodeSettings()
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {"fp32": (size, False)}
    wanted |= {f"fp32-{width}x{height}": ((width, height), False) for width, height in other_sizes}
    wanted |= {"fp32-dynamic": (size, True)} if dynamic else {}
    graphs: dict[str, Path] = {}
    for variant, (own, any_size) in wanted.items():
        graphs[variant] = folder / f".{name}-{variant}.onnx"
        onnx.save(tiny_graph(channels, own, settings, any_size=any_size), str(graphs[variant]))
    variants = [
        _described(variant, graphs[variant], None if own == size else own, any_size)
        for variant, (own, any_size) in wanted.items()
    ]
    manifest = Manifest(
        name=name,
        labels=list(labels),
        input=InputRule(width=size[0], height=size[1], channels=channels, resize=resize),
        thresholds=dict.fromkeys(labels, 0.3),
        score_floor=settings.score_floor,
        nms_iou=settings.nms_iou,
        max_detections=settings.max_detections,
        variants=variants,
        made_by=MadeBy(
            temper=__version__,
            role=role,
            recipe={"name": name},
            data_sha256="0" * 64,
            weights_sha256="0" * 64,
            versions={"onnx": onnx.__version__},
        ),
    )
    target = folder / f"{name}.temper"
    if golden:
        finish_bundle(target, manifest, graphs)
    else:
        write_bundle(target, manifest, graphs)
    for graph in graphs.values():
        graph.unlink()
    return target


def replace_graph(bundle: Path, content: bytes, variant: str = "fp32") -> None:
    """Put another graph into a bundle's folder, with the manifest adjusted to it."""
    manifest = read_json(bundle / MANIFEST_NAME)
    (described,) = [one for one in manifest["variants"] if one["name"] == variant]
    (bundle / described["file"]).write_bytes(content)
    described |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    write_json(bundle / MANIFEST_NAME, with_checksum(manifest))
