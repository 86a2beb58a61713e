"""What the scripts that hold drivers and simulations against each other share: options, and a loaded bundle."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from temper.benchmarks.worker import Session
from temper.bundle.loader import open_bundle
from temper.detection.dataset import load_split

#: Pictures that a call is given in turn.
PICTURES = 64


def bundle_options(doc: str | None, repeats: int, seconds: float) -> argparse.ArgumentParser:
    """A parser with what both scripts are asked.

    Args:
        doc: of the script.
        repeats: turns, if nothing else is said.
        seconds: of each turn, if nothing else is said.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="data set folder")
    parser.add_argument("--split", default="val")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--seconds", type=float, default=seconds, help="of each turn")
    return parser


def load_bundle(asked: argparse.Namespace, batch: int = 1) -> tuple[Session, dict[str, Any], dict[str, Any], int]:
    """Load and warm up.

    Returns:
        The session, what it said when it loaded and when it was warm, and how many pictures it has.
    """
    data = load_split(asked.data, asked.split)
    pictures = [str(data.image_path(sample)) for sample in data.samples[:PICTURES]]
    session, bundle = Session(), open_bundle(asked.bundle)
    loaded = session.load(
        {
            "bundle": str(asked.bundle),
            "manifest_sha256": bundle.manifest_sha256,
            "variant": bundle.variant(asked.precision).name,
            "runtime": asked.runtime,
            "batch": batch,
            "threads": asked.threads,
            "pictures": pictures,
        }
    )
    return session, loaded, session.warm_up({"seconds": 5.0, "sizes": [batch]}), len(pictures)
