from __future__ import annotations

from pathlib import Path

import pytest
from temper.bundle.loader import open_bundle
from temper.core.errors import UsageError
from temper.deploy.runtimes.load import RUNTIMES, load_runtime


def test_every_runtime_of_the_registry_loads_under_its_own_name(bundle_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    for name in RUNTIMES:
        runtime = load_runtime(name, bundle, bundle.variant("fp32"), threads=1)
        assert runtime.name == name
        assert runtime.version
        runtime.close()


def test_an_unknown_runtime_gets_the_nearest_name(bundle_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    with pytest.raises(UsageError, match=r"There is no runtime 'onnxrutime'\. Did you mean 'onnxruntime'\?"):
        load_runtime("onnxrutime", bundle, bundle.variant("fp32"))


def test_no_threads_are_refused(bundle_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    with pytest.raises(UsageError, match="at least 1 thread; 0 were asked for"):
        load_runtime("onnxruntime", bundle, bundle.variant("fp32"), threads=0)
