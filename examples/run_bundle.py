"""Detect on a picture (PGM or PPM) with a bundle, using NumPy and ONNX Runtime alone: run_bundle.py BUNDLE PICTURE."""

import hashlib
import json
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime


def opened(bundle: Path) -> zipfile.Path | Path:
    """The bundle's folder, be it one, a zip of what is in it, or a zip that holds the folder itself."""
    top = zipfile.Path(bundle) if bundle.is_file() else bundle
    return top if (top / "manifest.json").exists() else next(iter(top.iterdir()))


def weights(size: int, wanted: int, shrinks: bool) -> np.ndarray:
    """How much each pixel of a side counts in each of the side that is wanted: by area, or linearly."""
    at, step = np.arange(size), size / wanted
    start = np.arange(wanted)[:, None] * step
    area = np.minimum(at + 1, start + step) - np.maximum(at, start)
    counts = np.maximum(area if shrinks else 1 - abs(np.clip(start + step / 2 - 0.5, 0, size - 1) - at), 0)
    return counts / counts.sum(axis=1, keepdims=True)


bundle = opened(Path(sys.argv[1])) if len(sys.argv) == 3 else sys.exit(__doc__)
manifest = json.loads((bundle / "manifest.json").read_bytes())
variant, rule = manifest["variants"][0], manifest["input"]
graph, content = (bundle / variant["file"]).read_bytes(), Path(sys.argv[2]).read_bytes()
if manifest["schema_version"] != 1 or hashlib.sha256(graph).hexdigest() != variant["sha256"]:
    sys.exit(f"{bundle} is damaged, or of another schema")
kind = {"grey": b"P5", "rgb": b"P6"}[rule["channels"]]
found = re.match(kind + rb"(?:\s+|#.*\n)+(\d+)\s+(\d+)\s+255\s", content) or sys.exit(f"no picture as {kind!r} has it")
(width, height), inner = map(int, found.groups()), np.array([rule["width"], rule["height"]])
picture = np.frombuffer(content, np.uint8, offset=found.end()).reshape(height, width, -1)
if rule["resize"] == "letterbox":  # in whole pixels; boxes come back by what the sides were really scaled by
    inner = np.clip(np.round((inner / (width, height)).min() * np.array([width, height])), 1, inner).astype(int)
scale = inner / (width, height)
columns, rows = (weights(n, to, bool((scale < 1).all())) for n, to in zip((width, height), inner, strict=True))
image = np.full((rule["height"], rule["width"], picture.shape[2]), 114, np.uint8)
image[: inner[1], : inner[0]] = np.rint(np.tensordot(rows, np.tensordot(columns, picture, (1, 1)), (1, 1)))
batch = image[None, ..., 0] if rule["channels"] == "grey" else image[None]
boxes, scores, labels, count = onnxruntime.InferenceSession(graph).run(None, {"image": batch})
for box, score, label in zip(boxes[0][: count[0]], scores[0], labels[0], strict=False):
    if score >= manifest["thresholds"][name := manifest["labels"][label]]:
        print(name, f"{score:.3f}", *np.clip(box / np.tile(scale, 2), 0, (width, height) * 2).round(1).tolist())
