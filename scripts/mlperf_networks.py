#!/usr/bin/env python3
"""Build MLPerf Inference's edge networks from Paddle's and PaddleDetection's own layers, and write down their work.

Only the shapes of the layers count, so the weights are whatever they begin with. Writes
benchmarks/estimate/mlperf/networks.json, which calibrating the estimates reads (scripts/calibrate_estimates.py):

    .venv/bin/python scripts/mlperf_networks.py
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from temper.benchmarks.estimate.work import GraphWork, LayerWork, graph_work
from temper.bundle.graph_file import OnnxFile
from temper.distill.paddle_import import paddle

OUT = Path(__file__).resolve().parents[1] / "benchmarks" / "estimate" / "mlperf" / "networks.json"
nn = paddle.nn


def resnet50() -> tuple[Any, int, int]:
    """ResNet-50 v1.5 at 224, 8.2 GOP; v1.5 has its stride in the 3 x 3 convolution, as Paddle's has."""
    return paddle.vision.models.resnet50(), 224, 0


def mobilenet() -> tuple[Any, int, int]:
    """MobileNet v1 at 224, 1.1 GOP."""
    return paddle.vision.models.mobilenet_v1(), 224, 0


def ssd_mobilenet() -> tuple[Any, int, int]:
    """SSD-MobileNet v1 at 300, 2.5 GOP, 1,917 anchors of 91 classes."""
    from ppdet.modeling.backbones.mobilenet_v1 import MobileNet
    from ppdet.modeling.heads.ssd_head import SSDHead
    from ppdet.modeling.layers import AnchorGeneratorSSD

    anchors = AnchorGeneratorSSD(
        steps=[16, 32, 64, 100, 150, 300],
        aspect_ratios=[[2.0], *[[2.0, 3.0]] * 5],
        min_sizes=[60.0, 105.0, 150.0, 195.0, 240.0, 285.0],
        max_sizes=[[], 150.0, 195.0, 240.0, 285.0, 300.0],
    )
    backbone = MobileNet(feature_maps=[11, 13, 14, 15, 16, 17], with_extra_blocks=True)
    channels = (512, 1024, 512, 256, 256, 128)
    head = SSDHead(90, channels, anchors, kernel_size=1, padding=0, loss=None)
    return _ssd(backbone, head), 300, 1917 * 91


def ssd_resnet34() -> tuple[Any, int, int]:
    """SSD-ResNet34 at 1200, 433 GOP, 15,130 anchors of 81 classes: its third stage keeps its size."""
    from ppdet.modeling.backbones.resnet import ResNet
    from ppdet.modeling.heads.ssd_head import SSDHead
    from ppdet.modeling.layers import AnchorGeneratorSSD

    backbone = ResNet(34, variant="b", freeze_at=-1, freeze_norm=False, return_idx=[2], num_stages=3)
    first = backbone.res_layers[2].blocks[0]
    first.branch2a.conv._stride = [1, 1]
    first.short.conv._stride = [1, 1]
    head = SSDHead(80, anchor_generator=AnchorGeneratorSSD(), loss=None, use_extra_head=True)
    for block, stride in zip(head.ssd_extra_head.convs, (2, 2, 2, 2, 1), strict=True):
        block[2]._stride = [stride, stride]
    for conv in (*head.box_convs, *head.score_convs):
        conv._stride = [3, 3]
    return _ssd(backbone, head), 1200, 15_130 * 81


def retinanet() -> tuple[Any, int, int]:
    """RetinaNet of ResNeXt50 32x4d at 800, 402 GOP, 120,087 anchors of 264 classes."""
    from ppdet.modeling.backbones.resnet import ResNet
    from ppdet.modeling.heads.retina_head import RetinaFeat, RetinaHead
    from ppdet.modeling.necks.fpn import FPN
    from ppdet.modeling.proposal_generator.anchor_generator import RetinaAnchorGenerator

    class Network(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            grouped = {"groups": 32, "base_width": 4}
            self.backbone = ResNet(50, variant="b", freeze_at=-1, freeze_norm=False, return_idx=[1, 2, 3], **grouped)
            scales = [1 / 8, 1 / 16, 1 / 32]
            self.neck = FPN([512, 1024, 2048], 256, scales, has_extra_convs=True, use_c5=False, extra_stage=2)
            feat = RetinaFeat(256, 256, 4, norm_type=None)
            nothing = dict.fromkeys(("bbox_assigner", "loss_class", "loss_bbox", "nms"))
            self.head = RetinaHead(264, feat, RetinaAnchorGenerator(), **nothing)

        def forward(self, image):
            features = []
            for level in self.neck(self.backbone({"image": image})):
                classes, boxes = self.head.conv_feat(level)
                features += [self.head.retina_cls(classes), self.head.retina_reg(boxes)]
            return features

    return Network(), 800, 120_087 * 264


def _ssd(backbone: Any, head: Any) -> Any:
    class Network(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.head = backbone, head

        def forward(self, image):
            levels = self.backbone({"image": image})
            if self.head.use_extra_head:
                levels = self.head.ssd_extra_head(levels[0])
            pairs = zip(levels, self.head.box_convs, self.head.score_convs, strict=True)
            return [conv(level) for level, boxes, scores in pairs for conv in (boxes, scores)]

    return Network()


NETWORKS: dict[str, Callable[[], tuple[Any, int, int]]] = {
    "mobilenet": mobilenet,
    "resnet50": resnet50,
    "retinanet": retinanet,
    "ssd-mobilenet": ssd_mobilenet,
    "ssd-resnet34": ssd_resnet34,
}


def work_of(network: Any, size: int, scores: int) -> GraphWork:
    """The work of a network at one picture; its scores are suppressed where it has any."""
    import onnx
    import onnxslim
    import paddle2onnx

    network.eval()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder)
        spec = paddle.static.InputSpec([1, 3, size, size], "float32", "image")
        paddle.jit.save(network, str(path / "network"), input_spec=[spec])
        files = (str(path / "network.json"), str(path / "network.pdiparams"))
        content = paddle2onnx.export(*files, None, opset_version=17, verbose=False, optimize_tool="None")
        onnx.save(onnxslim.slim(onnx.load_model_from_string(content)), str(path / "network.onnx"))
        work = graph_work(OnnxFile.read(path / "network.onnx"), 1)
    layers = work.in_precision("int8").layers
    if scores:
        layers += (LayerWork("suppression", "nms", "fp16", read=scores, operators=("NonMaxSuppression",)),)
    # quantised pictures go in; what comes out is a few boxes, or the classes
    return dataclasses.replace(
        work.in_precision("int8"), layers=layers, input_bytes=3.0 * size * size, output_bytes=4e3
    )


def main() -> None:
    """Write the file."""
    networks = {}
    for name, make in NETWORKS.items():
        work = work_of(*make())
        print(f"{name:14} {len(work.layers):4} layers {work.operations / 1e9:8.2f} GOP")
        networks[name] = dataclasses.asdict(work)
        for layer in networks[name]["layers"]:
            layer.pop("operators")
    OUT.write_text(json.dumps(networks, separators=(",", ":")).replace('},{"name', '},\n{"name') + "\n")


if __name__ == "__main__":
    main()
