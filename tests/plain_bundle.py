"""A bundle whose graphs are a few bytes each: enough where nothing is run."""

from __future__ import annotations

import hashlib
from pathlib import Path

from temper.bundle.manifest import InputRule, MadeBy, Manifest, Variant
from temper.bundle.writer import write_bundle

GRAPHS = (
    ("fp32", "fp32", "any"),
    ("int8", "int8", "any"),
    ("fp16-tensorrt", "fp16", "tensorrt"),
    ("fp16-any", "fp16", "any"),
)


def plain_manifest(name: str = "steel") -> Manifest:
    """A manifest of four variants; the graph of ``fp32`` is the bytes ``fp32 graph``, and so on."""
    variants = []
    for variant, precision, target in GRAPHS:
        content = f"{variant} graph".encode()
        variants.append(
            Variant.model_validate(
                {
                    "name": variant,
                    "precision": precision,
                    "target": target,
                    "file": f"graphs/{variant}.onnx",
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "bytes": len(content),
                }
            )
        )
    return Manifest(
        name=name,
        labels=["scratches", "patches"],
        input=InputRule(width=160, height=160, channels="grey"),
        thresholds={"scratches": 0.4, "patches": 0.5},
        score_floor=0.02,
        nms_iou=0.5,
        max_detections=100,
        variants=variants,
        made_by=MadeBy(
            temper="0.1.0",
            role="student",
            recipe={"name": name},
            data_sha256="0" * 64,
            weights_sha256="1" * 64,
            versions={},
        ),
    )


def plain_graphs(folder: Path) -> dict[str, Path]:
    """The graphs that :func:`plain_manifest` speaks of, as files below ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {variant: folder / f"{variant}.bin" for variant, _, _ in GRAPHS}
    for variant, path in paths.items():
        path.write_bytes(f"{variant} graph".encode())
    return paths


def make_plain_bundle(target: Path) -> Path:
    """Write the bundle and give its path."""
    source = target.parent / f".{target.name}-graphs"
    write_bundle(target, plain_manifest(target.stem), plain_graphs(source))
    for path in source.iterdir():
        path.unlink()
    source.rmdir()
    return target
