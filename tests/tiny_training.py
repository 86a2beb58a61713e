"""A training job of seconds, the same in every process that asks for it; and processes that train together."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from temper.detection.decode import DecodeSettings
from temper.distill.recipe import InputSection
from temper.distill.recipe_detectors import DetectorSection, RetinaNetSection
from temper.distill.recipe_distillation import DistillationSection, MgdSection
from temper.distill.recipe_training import TrainingSection
from temper.distill.training.job import TrainingJob
from toy_data import toy_data

THIN = {"depth": 18, "width": 0.125, "neck_channels": 32, "head_convs": 1, "strides": (8, 16, 32)}


#: Every loss there is, with all options, on unlabelled pictures too.
EVERYTHING = {
    "mgd": {"alpha": 0.4, "alpha_form": "relative", "alpha_end": 0.1, "mask_focus": 0.5, "box_weight": 3},
    "mgd_backbone": {"alpha": 0.4, "alpha_form": "relative"},
    "cwd": {},
    "fgd": {},
    "response": {},
    "unlabelled_ratio": 0.5,
}


def tiny_job(
    folder: Path,
    role: str = "student",
    *,
    norm: str = "group",
    detector: DetectorSection | None = None,
    teacher: Path | None = None,
    everything: bool = False,
    **training,
):
    """A job on toy data below ``folder``, which is written on the first call.

    Args:
        folder: of the pictures.
        role: as in the job.
        norm: "group" (nothing in it depends on what else is in the batch) or "batch".
        detector: instead of a thin RetinaNet.
        teacher: its weights, for a distilled student.
        everything: distil with :data:`EVERYTHING`, not with MGD alone.
        training: fields of the recipe's section.
    """
    norms = {"head_norm": "group", "backbone_norm": "frozen"} if norm == "group" else {"head_norm": "level_batch"}
    section = {
        "epochs": 2,
        "batch_size": 8,
        "warmup_steps": 2,
        "workers": 1,
        "evaluate_every": 1,
        "optimizer": "momentum",
    }
    section |= {"learning_rate": 0.01, "weight_decay": 1e-4, "checkpoint_seconds": 0}
    detector = detector or RetinaNetSection.model_validate(THIN | norms)
    mgd = DistillationSection(mgd=MgdSection(alpha=0.5, alpha_form="mean"))
    every = DistillationSection.model_validate(EVERYTHING)
    return TrainingJob(
        role=role,
        detector=detector,
        training=TrainingSection.model_validate(section | training),
        input=InputSection(width=64, height=64),
        decode=DecodeSettings(),
        train=toy_data(folder / "train", 24, 1),
        val=toy_data(folder / "val", 20, 2),
        seed=5,
        distillation=(every if everything else mgd) if teacher else None,
        teacher=detector if teacher else None,
        teacher_weights=teacher,
        unlabelled=folder if teacher and everything else None,
    )


def rank_environment(rank: int, count: int, port: int) -> dict[str, str]:
    """What Paddle's launcher sets for one of ``count`` processes on this machine."""
    places = [f"127.0.0.1:{port + 1 + number}" for number in range(count)]
    return {
        "PADDLE_MASTER": f"127.0.0.1:{port}",
        "PADDLE_TRAINER_ID": str(rank),
        "PADDLE_TRAINERS_NUM": str(count),
        "PADDLE_LOCAL_SIZE": str(count),
        "PADDLE_CURRENT_ENDPOINT": places[rank],
        "PADDLE_TRAINER_ENDPOINTS": ",".join(places),
        "PADDLE_DISTRI_BACKEND": "gloo",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parent),
    }


def start_ranks(script: Path, arguments: list[str], count: int = 2) -> list[subprocess.Popen[str]]:
    """Start ``count`` processes of a script that meet through gloo."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(script), *arguments]
    return [
        subprocess.Popen(
            command,
            env={**os.environ, **rank_environment(rank, count, port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(count)
    ]
