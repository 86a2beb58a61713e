from __future__ import annotations

import numpy as np
import pytest

paddle = pytest.importorskip("paddle", reason="training needs PaddlePaddle")

from temper.distill.training.learner import Learner  # noqa: E402


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_weights_are_pulled_towards_zero_and_norms_and_biases_are_not(make_job, optimizer):
    job = make_job(training={"optimizer": optimizer, "weight_decay": 0.5, "learning_rate": 0.1})
    learner = Learner(job)
    before = {p.name: p.numpy() for p in learner.parameters}
    sum((p * 0).sum() for p in learner.parameters).backward()
    learner.optimizer.step()
    shapes = set()
    for parameter in learner.parameters:
        kept = 0.95 if len(parameter.shape) > 1 else 1
        shapes.add(kept)
        np.testing.assert_allclose(parameter.numpy(), before[parameter.name] * kept, rtol=1e-5, atol=1e-7)
    assert shapes == {0.95, 1}
