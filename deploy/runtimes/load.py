"""The runtimes there are, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...bundle.loader import Bundle
from ...bundle.manifest import Variant
from ...core.errors import UsageError, nearest
from .base import Backend, Runtime
from .contract import CheckedRuntime
from .onnxruntime import OnnxRuntime

#: Name -> what loads a graph file with so many threads. Closed: a runtime is added here and nowhere else.
RUNTIMES: dict[str, Callable[[Path, int | None], Backend]] = {"onnxruntime": OnnxRuntime}


def load_runtime(name: str, bundle: Bundle, variant: Variant, *, threads: int | None = None) -> Runtime:
    """Load one graph of a bundle.

    Args:
        name: a name in :data:`RUNTIMES`.
        bundle: opened, so its hashes are checked.
        variant: one of the bundle's.
        threads: how many threads a call uses; None lets the runtime choose.

    Returns:
        The runtime, its graph checked against the manifest.

    Raises:
        UsageError: if there is no such runtime, or ``threads`` is below 1.
        TemperError: if the graph does not load or breaks the contract.
    """
    if name not in RUNTIMES:
        raise UsageError(f"There is no runtime '{name}'.{nearest(name, RUNTIMES)}")
    if threads is not None and threads < 1:
        raise UsageError(f"A runtime needs at least 1 thread; {threads} were asked for.")
    backend = RUNTIMES[name](bundle.graph_path(variant), threads)
    return CheckedRuntime(backend, bundle.manifest, f"{bundle.path.name}:{variant.file}")
