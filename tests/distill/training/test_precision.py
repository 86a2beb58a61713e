from __future__ import annotations

import numpy as np
import pytest
from temper.core.errors import TemperError
from temper.core.events import silent

paddle = pytest.importorskip("paddle", reason="training needs PaddlePaddle")

from temper.distill.detectors.base import HeadOutputs  # noqa: E402
from temper.distill.training.precision import Precision, in_float32  # noqa: E402
from temper.distill.training.train import train_model  # noqa: E402
from tiny_training import tiny_job  # noqa: E402

on_gpu = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0


@pytest.mark.parametrize("precision", ["amp_bf16", "amp_fp16"])
def test_mixed_precision_on_a_cpu_is_refused_as_paddle_would_ignore_it(tmp_path, precision):
    with pytest.raises(TemperError, match=rf"training.precision is {precision}, and Paddle mixes precisions on GPUs"):
        train_model(tiny_job(tmp_path / "data", precision=precision), tmp_path / "out", silent)


def test_losses_get_float32_whatever_the_head_gave():
    half = paddle.ones([2, 3], "bfloat16")
    outputs = HeadOutputs(half, half.astype("float16"), {"levels": [half, 3], "kept": paddle.ones([1], "int64")})
    cast = in_float32(outputs)
    assert isinstance(cast, HeadOutputs)
    assert {t.dtype for t in (cast.logits, cast.regressions, cast.extra["levels"][0])} == {paddle.float32}
    assert cast.extra["levels"][1] == 3 and cast.extra["kept"].dtype == paddle.int64
    single = paddle.ones([1])
    assert in_float32(single) is single


def test_fp32_neither_casts_nor_scales():
    precision = Precision("fp32")
    weight = paddle.create_parameter([1], "float32")
    weight.set_value(np.ones(1, np.float32))
    optimizer = paddle.optimizer.SGD(0.5, parameters=[weight])
    with precision.autocast():
        precision.backward((weight * 2).sum())
    precision.unscale(optimizer)
    assert weight.grad.numpy() == 2 and precision.state() == {}
    assert not precision.update(optimizer, finite=False) and weight.numpy() == 1, "it waits for nothing"
    assert precision.update(optimizer, finite=True) and weight.numpy() == 0


@pytest.mark.skipif(not on_gpu, reason="Paddle scales gradients on GPUs only")
def test_the_scale_of_float16_goes_through_a_checkpoint():
    paddle.set_device("gpu")
    precision = Precision("amp_fp16")
    state = {"scale": 64.0, "incr_count": 5.0, "decr_count": 0.0, "skipped": 2.0}
    precision.restore({name: np.array([value]) for name, value in state.items()})
    assert {name: float(value[0]) for name, value in precision.state().items()} == state


@pytest.mark.skipif(not on_gpu, reason="mixed precision needs a GPU")
@pytest.mark.parametrize("precision", ["amp_bf16", "amp_fp16"])
def test_mixed_precision_trains(tmp_path, precision):
    from dataclasses import replace

    job = replace(tiny_job(tmp_path / "data", precision=precision, epochs=6), device="gpu")
    assert train_model(job, tmp_path / "out", silent).steps == 18
