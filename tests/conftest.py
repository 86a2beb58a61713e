"""What every test stands on."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from temper.distill.cpu import prepare_cpu
from tiny_run import FinishedRun, run_temper, write_tiny_recipe

# two tests at a time (pytest-xdist) share the cores: threads beyond them only wait for one another
if os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# before Paddle is loaded, as `temper` does: else a training in this process and one in a process of its own take other
# paths through the processor, and what should be equal to the byte is not
prepare_cpu()

# benchmarks of the tests are no part of anybody's history; those that are about it name a file
os.environ["TEMPER_HISTORY"] = "none"

# on a loaded machine a slow example is no failure; the same examples each time, so that a red run can be repeated
settings.register_profile("temper", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("temper")

ROOT = Path(__file__).resolve().parents[1]


def pytest_report_header() -> str:
    import temper

    return f"temper {temper.__version__} from {Path(temper.__file__).parent}"


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout, for what is not in the package: recipes, requirements, the README."""
    return ROOT


@pytest.fixture(scope="session")
def neu_det() -> Path:
    """NEU-DET in its official layout; the test is skipped where it is not."""
    folder = os.environ.get("TEMPER_NEU_DET")
    if not folder:
        pytest.skip("needs NEU-DET: set TEMPER_NEU_DET to the folder with IMAGES/ and ANNOTATIONS/")
    return Path(folder)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A whole run from recipe to report, done once; whoever changes it takes a copy."""
    if importlib.util.find_spec("paddle") is None:
        pytest.skip("training needs PaddlePaddle")
    folder = tmp_path_factory.mktemp("tiny")
    recipe = write_tiny_recipe(folder)
    done = run_temper("run", recipe.name, "--json", cwd=folder, environment={"TEMPER_HISTORY": ""})
    assert done.returncode == 0, done.stderr
    return FinishedRun(recipe, folder / "runs" / "tiny", done.stdout)


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """A service that is started in a test's own process sends what it logs elsewhere; not the next test's."""
    log = logging.getLogger("temper")
    before = (log.handlers[:], log.level, log.propagate)
    yield
    log.handlers[:], log.level, log.propagate = before
