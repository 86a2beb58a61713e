from __future__ import annotations

from pathlib import Path

import pytest
from paddledet_configs import write_configs


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    """A folder of configurations."""
    return write_configs(tmp_path / "configs")
