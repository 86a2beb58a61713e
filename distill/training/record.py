"""What a training leaves behind: a line for every step, and at the end the weights with their record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import TemperError
from ...core.files import MAX_RECORD_BYTES, read_json, remove_tree, sha256_file, write_json
from .. import ranks
from ..weights import LABELS_KEY, save_weights
from .job import CHECKPOINTS_NAME, FEATURES_NAME, RECORD_NAME, WEIGHTS_NAME, TrainingRecord
from .learner import Learner
from .step import StepLosses


def step_entry(step: int, epoch: int, rate: float, losses: StepLosses) -> dict[str, Any]:
    """The line of ``metrics.jsonl`` about a step; step and epoch are counted from 0 here, from 1 there."""
    return {
        "kind": "step",
        "step": step + 1,
        "epoch": epoch + 1,
        "learning_rate": rate,
        "losses": losses.own,
        "distillation": losses.distillation,
        "total": losses.total,
        "gradient_norm": losses.gradient_norm,
    }


def finished_record(out: Path) -> TrainingRecord | None:
    """The record of a training that is done; None where there is more to do. Rank 0 looks, all hear."""
    path = out / RECORD_NAME
    mine = b""
    if ranks.rank() == 0 and path.is_file():
        mine = json.dumps(read_json(path, MAX_RECORD_BYTES)).encode()
        _remove_scaffolding(out)
    told = ranks.share_bytes(mine)
    return TrainingRecord(**json.loads(told)) if told else None


def write_results(learner: Learner, out: Path, **facts: Any) -> TrainingRecord:
    """Write weights and record, remove what only the training needed, and give every rank the record.

    Args:
        learner: holds the final weights.
        out: the training's folder.
        facts: the fields of the record that only the loop knows.
    """
    if learner.distiller is not None and learner.distiller.cached is not None:
        learner.distiller.cached.close()
    if ranks.rank() == 0:
        weights = out / WEIGHTS_NAME
        save_weights(weights, learner.weights(), {LABELS_KEY: json.dumps(learner.job.train.labels)})
        record = TrainingRecord(
            role=learner.job.role,
            parameters=sum(int(np.prod(p.shape)) for p in learner.detector.parameters()),
            weights_sha256=sha256_file(weights),
            loss=" + ".join([*learner.detector.loss_terms, *([str(learner.distiller)] if learner.distiller else [])]),
            inherited=learner.inherited,
            **facts,
        )
        # the record is the sign that all is done, so it comes last
        write_json(out / RECORD_NAME, record.to_dict())
        _remove_scaffolding(out)
    finished = finished_record(out)
    if finished is None:
        raise TemperError(f"The record {out / RECORD_NAME} is gone. Give the same command again.")
    return finished


def _remove_scaffolding(out: Path) -> None:
    """Remove checkpoints and features; those in a place of the user's are not in ``out``."""
    for name in (CHECKPOINTS_NAME, FEATURES_NAME):
        remove_tree(out / name)
