from __future__ import annotations

import os

import pytest
from click.testing import CliRunner
from temper.cli import explain, temper
from temper.commands.devices import chosen_devices
from temper.core.errors import UsageError
from temper.flow.together import gpu_labels

WRONG = [
    (["--gpus", "0,0"], "'0,0' names a GPU twice"),
    (["--gpus", "one"], "'one' is no list of GPU numbers; write commas between them, such as 0,1,2,3"),
    (["--gpus", "0-3"], "'0-3' is no list of GPU numbers"),
    (["--gpus", "0,1", "--processes", "2"], "give one of the two"),
    (["--gpus", "0,1", "--device", "cpu"], "contradict each other"),
    (["--processes", "2", "--device", "gpu"], "name them with --gpus"),
    (["--processes", "0"], "0 is not in the range"),
]


@pytest.mark.parametrize("command", [["run"], ["distill", "teacher"], ["distill", "mgd"]])
@pytest.mark.parametrize(("options", "told"), WRONG)
def test_devices_that_make_no_sense_are_refused(command, options, told):
    result = CliRunner().invoke(temper, [*command, "recipe.yml", *options])
    sentence, code = explain(result.exception) if isinstance(result.exception, UsageError) else (result.output, 2)
    assert told in sentence and code == 2 == getattr(result.exception, "exit_code", result.exit_code)


def test_devices_are_the_launchers_when_it_started_the_command(monkeypatch):
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    result = CliRunner().invoke(temper, ["run", "recipe.yml", "--processes", "2"])
    assert isinstance(result.exception, UsageError) and "to the launcher alone" in str(result.exception)


def test_gpus_that_are_not_there_are_said(tmp_path):
    paddle = pytest.importorskip("paddle", reason="training needs PaddlePaddle")
    from temper.core.errors import TemperError
    from temper.distill.training.train import require_gpus

    if paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count():
        with pytest.raises(TemperError, match="There is no GPU 999 here"):
            require_gpus([0, 999])
    else:
        with pytest.raises(TemperError, match="asks for a GPU, but this Paddle"):
            require_gpus([0, 1])


def test_gpus_are_counted_among_those_that_may_be_seen(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpu_labels((0, 3)) == ["0", "3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-8a,5")
    assert gpu_labels((0, 1)) == ["2", "GPU-8a"]
    with pytest.raises(UsageError, match="There is no GPU 3: CUDA_VISIBLE_DEVICES lets 3 be seen"):
        gpu_labels((0, 3))
    chosen_devices((1,), 1, None)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-8a"


def test_the_command_that_takes_part_is_hidden():
    result = CliRunner().invoke(temper, ["distill", "--help"])
    assert "\n  rank" not in result.output and "mgd" in result.output
