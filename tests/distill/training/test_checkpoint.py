from __future__ import annotations

import numpy as np
from temper.distill.training.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from temper.distill.training.log import MetricsLog, read_metrics


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(
        step, step * 1.5, {"model": {"w": np.full((2, 2), step, np.float32)}, "optimizer": {"m/1": np.ones(1)}}
    )


def test_newest_comes_back_and_only_two_are_kept(tmp_path):
    for step in (10, 20, 30):
        save_checkpoint(tmp_path, checkpoint(step))
    found, warnings = latest_checkpoint(tmp_path)
    assert found is not None and found.step == 30 and found.seconds == 45 and not warnings
    assert found.groups["model"]["w"][0, 0] == 30 and "m/1" in found.groups["optimizer"]
    assert len(list(tmp_path.iterdir())) == 2


def test_damaged_ones_are_passed_over(tmp_path):
    for step in (10, 20):
        save_checkpoint(tmp_path, checkpoint(step))
    (tmp_path / "step-000000020.safetensors").write_bytes(b"rubbish")
    found, warnings = latest_checkpoint(tmp_path)
    assert found is not None and found.step == 10 and "checkpoint before it" in warnings[0]
    (tmp_path / "step-000000010.safetensors").write_bytes(b"")
    found, warnings = latest_checkpoint(tmp_path)
    assert found is None and len(warnings) == 2


def test_nothing_there_is_no_checkpoint(tmp_path):
    assert latest_checkpoint(tmp_path / "none") == (None, [])


def test_log_forgets_what_lies_beyond_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, 0)
    for step in range(1, 6):
        log.append({"kind": "step", "step": step})
    path.write_text(path.read_text() + '{"kind": "st')  # torn by a power cut
    assert len(read_metrics(path)) == 5
    MetricsLog(path, 3).append({"kind": "step", "step": 4, "again": True})
    assert [e["step"] for e in read_metrics(path)] == [1, 2, 3, 4] and read_metrics(path)[-1]["again"]
    MetricsLog(path, 0)
    assert read_metrics(path) == []
