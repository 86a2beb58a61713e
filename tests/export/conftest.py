from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest
from traced_graphs import Traced, traced


@pytest.fixture(scope="session")
def traced_graphs(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Traced]:
    """Gives the small detector of a kind with its graphs, each made once."""
    for name in ("paddle", "paddle2onnx"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"export needs {name}")
    made: dict[tuple[str, str], Traced] = {}

    def give(kind: str, channels: str = "grey") -> Traced:
        if (kind, channels) not in made:
            made[kind, channels] = traced(kind, tmp_path_factory.mktemp(f"{kind}-{channels}"), channels)  # type: ignore[arg-type]
        return made[kind, channels]

    return give
