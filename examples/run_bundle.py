"""Detect on one picture with a bundle, using NumPy, ONNX Runtime and OpenCV alone: run_bundle.py BUNDLE PICTURE."""

import hashlib
import json
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import onnxruntime


def read(bundle: Path, name: str) -> bytes:
    """One file of the bundle, be it a folder or a single file."""
    return (bundle / name).read_bytes() if bundle.is_dir() else zipfile.ZipFile(bundle).read(name)


def main() -> None:
    """Print every detection that reaches its class's threshold: label, score, box in pixels of the picture."""
    bundle = Path(sys.argv[1]) if len(sys.argv) == 3 else sys.exit(__doc__)
    manifest = json.loads(read(bundle, "manifest.json"))
    variant = manifest["variants"][0]
    graph = read(bundle, variant["file"])
    if manifest["schema_version"] != 1 or hashlib.sha256(graph).hexdigest() != variant["sha256"]:
        sys.exit(f"{bundle} is damaged, or of another schema")
    rule = manifest["input"]
    flag = cv2.IMREAD_GRAYSCALE if rule["channels"] == "grey" else cv2.IMREAD_COLOR_RGB
    picture = cv2.imread(sys.argv[2], flag | cv2.IMREAD_ANYDEPTH)
    if picture is None or picture.dtype != np.uint8:  # how more bits become 8 is yours to know
        sys.exit(f"{sys.argv[2]} is no picture of 8 bits")
    height, width = picture.shape[:2]
    inner = np.array([rule["width"], rule["height"]])
    if rule["resize"] == "letterbox":  # in whole pixels; boxes come back by what the sides were really scaled by
        inner = np.clip(np.round((inner / (width, height)).min() * np.array([width, height])), 1, inner).astype(int)
    scale = inner / (width, height)
    image = np.full((rule["height"], rule["width"], *picture.shape[2:]), 114, np.uint8)
    shrinks = cv2.INTER_AREA if (scale < 1).all() else cv2.INTER_LINEAR
    image[: inner[1], : inner[0]] = cv2.resize(picture, inner.tolist(), interpolation=shrinks)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    boxes, scores, labels, count = session.run(["boxes", "scores", "labels", "count"], {"image": image[None]})
    for box, score, label in zip(boxes[0][: count[0]], scores[0], labels[0], strict=False):
        name = manifest["labels"][label]
        edges = np.clip(box / np.tile(scale, 2), 0, (width, height, width, height))
        if score >= manifest["thresholds"][name]:
            print(name, f"{score:.3f}", *(round(float(v), 1) for v in edges))


main()
