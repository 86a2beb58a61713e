"""Writing a bundle, whole or not at all."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from ..core.errors import UsageError
from ..core.files import atomic_folder, explain_os_errors, sha256_file, write_bytes
from .loader import open_bundle
from .manifest import BUNDLE_SUFFIX, MANIFEST_NAME, NAME_PATTERN, Manifest, to_bytes


def write_bundle(
    target: Path, manifest: Manifest, graphs: Mapping[str, Path], contents: Mapping[str, bytes] | None = None
) -> None:
    """Write a bundle's folder; an older bundle of that name is replaced in one step.

    Args:
        target: the folder to make; its name ends in ``.temper``.
        manifest: describes every graph.
        graphs: variant names to ONNX files, one for every variant of the manifest.
        contents: the other files that the manifest names, by their path in the bundle.

    Raises:
        UsageError: if ``target`` does not end in ``.temper``.
        TemperError: if something else stands there, or it cannot be written.
        ValueError: if graphs and manifest do not agree.
    """
    require_bundle_target(target)
    if set(graphs) != {variant.name for variant in manifest.variants}:
        raise ValueError(f"graphs {sorted(graphs)} for variants {sorted(v.name for v in manifest.variants)}")
    with atomic_folder(target) as folder:
        for variant in manifest.variants:
            file = folder / variant.file
            with explain_os_errors(target):
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(graphs[variant.name], file)
            if (file.stat().st_size, sha256_file(file)) != (variant.bytes, variant.sha256):
                raise ValueError(f"the graph of variant '{variant.name}' is not the one its manifest describes")
        for name, content in (contents or {}).items():
            write_bytes(folder / name, content)
        write_bytes(folder / MANIFEST_NAME, to_bytes(manifest))
        open_bundle(folder)  # what the loader refuses is never written


def require_bundle_target(target: Path) -> None:
    """Refuse a place where a bundle must not be written, before any work is done for it.

    Raises:
        UsageError: if the name is none for a bundle, or something stands there that is not a bundle.
    """
    if target.suffix != BUNDLE_SUFFIX or not target.stem:
        raise UsageError(f"A bundle's name ends in {BUNDLE_SUFFIX}; write to {target}{BUNDLE_SUFFIX} instead.")
    if re.fullmatch(NAME_PATTERN, target.stem) is None:
        raise UsageError(
            f"A bundle cannot be called '{target.stem}': letters, digits, '.', '_' and '-', beginning with a letter or "
            "a digit, at most 81."
        )
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"{target} is there and is not a bundle's folder. Remove it, or choose another name.")
    if target.is_dir() and any(target.iterdir()) and not (target / MANIFEST_NAME).is_file():
        raise UsageError(f"{target} is a folder that is not a bundle. Remove it, or choose another name.")
