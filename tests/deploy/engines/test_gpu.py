from __future__ import annotations

from pathlib import Path

import pytest
from standin import make_driver
from temper.core.errors import TemperError
from temper.deploy.engines.gpu import Gpu, current_gpu


def test_the_driver_says_which_gpu_this_is(tmp_path: Path) -> None:
    gpu = current_gpu(make_driver(tmp_path))
    assert gpu == Gpu("NVIDIA H100 80GB HBM3", "9.0", 132, 81559)
    assert gpu.slug == "nvidia-h100-80gb-hbm3-sm90-132mp"


def test_a_driver_that_fails_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TemperError, match=r"cuInit failed with CUDA error 100\. Look at nvidia-smi"):
        current_gpu(make_driver(tmp_path, init=100))


def test_a_driver_without_a_gpu_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TemperError, match=r"gives this process no GPU\. Look at CUDA_VISIBLE_DEVICES"):
        current_gpu(make_driver(tmp_path, count=0))


def test_without_a_driver_there_is_a_way_on() -> None:
    with pytest.raises(
        TemperError, match=r"has no NVIDIA driver \(libnone\.so does not load\)\. Run the bundle on ONNX"
    ):
        current_gpu("libnone.so")


def test_any_name_makes_a_folder() -> None:
    assert Gpu("../../Orin (nvgpu)/", "8.7", 16, 30697).slug == "orin-nvgpu-sm87-16mp"
    assert Gpu("***", "8.7", 8, 7620).slug == "gpu-sm87-8mp"
