from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest
from temper.core.errors import MissingDependencyError
from temper.deploy.line.config import LineConfig
from temper.deploy.line.libraries import require_libraries

FOLDER = {"name": "top", "type": "folder", "path": "incoming"}


def line(cameras: list[dict[str, Any]], **sections: Any) -> LineConfig:
    return LineConfig.model_validate_json(json.dumps({"line": "mill", "cameras": cameras, **sections}))


@pytest.mark.parametrize(
    ("config", "missing", "message"),
    [
        (line([FOLDER]), "prometheus_client", r"The section 'metrics' of the line .*'\.\[plant\]'"),
        (
            line([{"name": "side", "type": "v4l2", "device": "/dev/video0"}], metrics=None),
            "av",
            r"The camera 'side' of the line needs av.*'\.\[cameras\]'",
        ),
    ],
)
def test_what_is_not_installed_is_told_before_the_line_starts(
    config: LineConfig, missing: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find(name))
    require_libraries(line([FOLDER], metrics=None))
    with pytest.raises(MissingDependencyError, match=message):
        require_libraries(config)
