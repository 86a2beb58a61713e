"""The training loop: teacher, student and distilled student alike."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import TemperError
from ...core.events import Event, Reporter
from ...core.files import read_json, remove_partial, remove_tree, sha256_file, write_json
from ...detection.dataset import label_counts
from ..detectors.build import build_detector, load_into
from ..detectors.normalise import normalisation_for
from ..paddle_import import paddle
from ..remote_weights import local_weights
from ..weights import LABELS_KEY, Weights, save_weights
from .average import MovingAverage
from .checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from .distiller import Distiller
from .evaluate import evaluate_detector
from .job import CHECKPOINTS_NAME, METRICS_NAME, RECORD_NAME, WEIGHTS_NAME, TrainingJob, TrainingRecord
from .loader import Batch, BatchLoader, PictureStore
from .log import MetricsLog
from .schedule import learning_rate
from .teacher import Teacher


def train_model(job: TrainingJob, out: Path, report: Reporter) -> TrainingRecord:
    """Train one model; called again on the same folder, it goes on from the last checkpoint.

    Args:
        job: what to train. The caller answers for ``out`` belonging to this very job.
        out: gets ``weights.safetensors``, ``metrics.jsonl`` and ``record.json``; checkpoints while it lasts.
        report: told of every step and evaluation, under the stage name ``job.role``.

    Returns:
        The record, also written to ``out``.

    Raises:
        TemperError: if there is nothing to learn from, the loss diverges, or the device is not there.
    """
    if (out / RECORD_NAME).is_file():
        return TrainingRecord(**read_json(out / RECORD_NAME))
    _check(job)
    use_device(job.device)
    # tensor names start afresh in every job, so that the optimizer's saved state finds its tensors again
    with paddle.utils.unique_name.guard(f"{job.role}_"):
        return _Training(job, out, report).run()


def use_device(device: str) -> None:
    """Choose where Paddle computes.

    Raises:
        TemperError: if a GPU is asked for and Paddle sees none.
    """
    if device == "gpu" and not (paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count()):
        build = "sees no GPU" if paddle.is_compiled_with_cuda() else "is a build for CPUs"
        raise TemperError(
            f"The recipe asks for a GPU, but this Paddle {build}. Set device: cpu, or see 'temper doctor' for the "
            "GPU build."
        )
    paddle.set_device(device)


def _check(job: TrainingJob) -> None:
    if not label_counts(job.train.samples, len(job.train.labels)).sum():
        raise TemperError(
            f"The training set {job.train.name} has {len(job.train)} pictures and not one box, so there is nothing "
            "to learn."
        )
    if job.val.labels != job.train.labels:
        raise TemperError(
            f"The training set has the classes {list(job.train.labels)} and the validation set {list(job.val.labels)}; "
            "they must be the same, in the same order."
        )


@dataclass(frozen=True)
class _StepLosses:
    """What one step's loss was made of: the detector's own terms, the distillation losses, and the sum of all."""

    own: dict[str, float]
    distillation: dict[str, float]
    total: float


class _Training:
    """The state of one run of :func:`train_model`."""

    def __init__(self, job: TrainingJob, out: Path, report: Reporter) -> None:
        self.job, self.out, self.report = job, out, report
        remove_partial(out)
        labels, rule = job.train.labels, job.input.rule()
        self.normalisation = normalisation_for(job.input.channels, job.detector.pixel_scale)
        self.detector = build_detector(job.detector, labels, job.seed)
        if job.detector.weights is not None:
            weights = local_weights(job.detector.weights, job.detector.weights_sha256, self._note)
            self._load(weights, labels)
        self.distiller = self._distiller(labels)
        self.inherited = 0
        if self.distiller is not None and job.distillation is not None and job.distillation.inherit:
            self.inherited = self.distiller.inherit(self.detector)
        self.optimizer, self.trained = self._optimizer()
        decay = job.training.ema_decay
        self.average = MovingAverage(self.detector, decay) if decay is not None else None
        self.store = PictureStore(job.train, rule, job.input.channels)
        self.val_store = PictureStore(job.val, rule, job.input.channels)
        self.loader = BatchLoader(
            self.store,
            self.detector,
            self.normalisation,
            job.training.augment,
            batch_size=job.training.batch_size,
            seed=job.seed,
            workers=job.training.workers,
        )
        self.total = job.training.epochs * self.loader.steps_per_epoch

    def _load(self, path: Path, labels: tuple[str, ...]) -> None:
        # without a single step they have to be all there is to know
        as_it_is = not self.job.training.epochs
        try:
            found = load_into(self.detector, path, whole=as_it_is, labels=labels)
        except TemperError as error:
            if not as_it_is:
                raise
            raise TemperError(
                f"{error} Or train them for these classes: set {self.job.role}.training.epochs."
            ) from error
        if found.other_classes:
            self._say("warning", message=f"{found.other_classes} What tells them apart starts fresh.")
        if found.missing:
            self._say("note", message=f"{len(found.missing)} tensors are not in {path} and start fresh.")

    def _distiller(self, labels: tuple[str, ...]) -> Distiller | None:
        job = self.job
        if job.distillation is None:
            return None
        if job.teacher is None or job.teacher_weights is None:
            raise ValueError("a job with distillation needs a teacher and its weights")
        expected = normalisation_for(job.input.channels, job.teacher.pixel_scale)
        rescaling = self.normalisation.rescaling_to(expected)
        teacher = Teacher(job.teacher, job.teacher_weights, labels, job.seed, rescaling)
        return Distiller(self.detector, job.distillation, teacher, job.seed)

    def _optimizer(self) -> tuple[Any, list[Any]]:
        section = self.job.training
        parameters = [p for p in self.detector.parameters() if not p.stop_gradient]
        if self.distiller is not None:
            parameters += self.distiller.layers.parameters()
        clip = paddle.nn.ClipGradByGlobalNorm(section.clip_norm) if section.clip_norm is not None else None
        # norms and biases are not pulled towards zero
        decayed = {p.name for p in parameters if len(p.shape) > 1}
        common = {"learning_rate": section.learning_rate, "parameters": parameters, "grad_clip": clip}
        if section.optimizer == "adamw":
            optimizer = paddle.optimizer.AdamW(
                **common, weight_decay=section.weight_decay, apply_decay_param_fun=lambda name: name in decayed
            )
        else:
            optimizer = paddle.optimizer.Momentum(**common, momentum=0.9, weight_decay=section.weight_decay)
        return optimizer, parameters

    def run(self) -> TrainingRecord:
        """Train from the last checkpoint to the end and write the results."""
        folder = self.out / CHECKPOINTS_NAME
        checkpoint, warnings = latest_checkpoint(folder)
        for message in warnings:
            self._say("warning", message=message)
        first, spent = (checkpoint.step, checkpoint.seconds) if checkpoint else (0, 0.0)
        log = MetricsLog(self.out / METRICS_NAME, first)
        if checkpoint is not None:
            self._restore(checkpoint)
            self._say("note", message=f"Going on from step {first} of {self.total}.")
        if self.distiller is not None:
            self._say("note", message=f"Distillation loss: {self.distiller}; {self.inherited} tensors inherited.")
        began = saved = time.monotonic()
        self.detector.train()
        for step, batch in enumerate(self.loader.batches(first, self.total), start=first):
            losses = self._step(step, batch)
            log.append(self._step_entry(step, losses))
            self._tell_step(step, losses, first, began)
            now = time.monotonic()
            due = now - saved >= self.job.training.checkpoint_seconds
            done = step + 1
            if done % self.loader.steps_per_epoch == 0 and done < self.total:
                self._evaluate_if_due(done, log)
            if due and done < self.total:
                log.flush()
                save_checkpoint(folder, Checkpoint(done, spent + now - began, self._groups()))
                saved = time.monotonic()
        if self.average is not None:
            self.average.apply()
        accuracy = self._evaluate(self.total, log)
        log.flush()
        return self._finish(accuracy, spent + time.monotonic() - began)

    def _step(self, step: int, batch: Batch) -> _StepLosses:
        section, epoch = self.job.training, step // self.loader.steps_per_epoch
        self.optimizer.set_lr(learning_rate(section, step, self.loader.steps_per_epoch))
        images = paddle.to_tensor(batch.images)
        features = self.detector.neck_features(images)
        outputs = self.detector.head_outputs(features)
        own = self.detector.losses(outputs, batch.targets, step / self.total)
        lessons = {} if self.distiller is None else self.distiller(batch, images, features, outputs, epoch)
        total = sum([*own.values(), *lessons.values()], paddle.zeros([]))
        losses = _StepLosses(_floats(own), _floats(lessons), float(total))
        if not math.isfinite(losses.total):
            pictures = ", ".join(self.job.train.samples[i].file_name for i in batch.samples)
            raise TemperError(
                f"The training loss of the {self.job.role} is not a finite number at step {step + 1} "
                f"(pictures: {pictures}). Try a learning rate ten times smaller, a longer warm-up, or a smaller "
                "distillation alpha."
            )
        total.backward()
        self.optimizer.step()
        self.optimizer.clear_grad()
        if self.average is not None:
            self.average.update(step)
        return losses

    def _step_entry(self, step: int, losses: _StepLosses) -> dict[str, Any]:
        return {
            "kind": "step",
            "step": step + 1,
            "epoch": step // self.loader.steps_per_epoch + 1,
            "learning_rate": learning_rate(self.job.training, step, self.loader.steps_per_epoch),
            "losses": losses.own,
            "distillation": losses.distillation,
            "total": losses.total,
        }

    def _tell_step(self, step: int, losses: _StepLosses, first: int, began: float) -> None:
        done = step + 1
        each = (time.monotonic() - began) / (done - first)
        self._say(
            "step",
            done=done,
            total=self.total,
            unit="steps",
            epoch=step // self.loader.steps_per_epoch + 1,
            epochs=self.job.training.epochs,
            loss=losses.total,
            seconds_left=each * (self.total - done),
        )

    def _evaluate_if_due(self, done: int, log: MetricsLog) -> None:
        every = self.job.training.evaluate_every
        epoch = done // self.loader.steps_per_epoch
        if every and epoch % every == 0:
            if self.average is None:
                self._evaluate(done, log)
            else:
                with self.average.applied():
                    self._evaluate(done, log)

    def _evaluate(self, done: int, log: MetricsLog) -> dict[str, Any]:
        figures = evaluate_detector(self.detector, self.val_store, self.normalisation, self.job.decode).to_dict()
        epoch = done // self.loader.steps_per_epoch
        log.append({"kind": "evaluated", "step": done, "epoch": epoch, **figures})
        self._say("evaluated", epoch=epoch, map=figures["ap"])
        return figures

    def _groups(self) -> dict[str, Weights]:
        groups = {"model": _numpy(self.detector.state_dict()), "optimizer": _numpy(self.optimizer.state_dict())}
        if self.distiller is not None:
            groups["distillation"] = _numpy(self.distiller.layers.state_dict())
        if self.average is not None:
            groups["average"] = _numpy(self.average.state)
        return groups

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.detector.set_state_dict(checkpoint.groups["model"])
        self.optimizer.set_state_dict(checkpoint.groups.get("optimizer", {}))
        if self.distiller is not None:
            self.distiller.layers.set_state_dict(checkpoint.groups["distillation"])
        if self.average is not None:
            self.average.restore(checkpoint.groups["average"])

    def _finish(self, accuracy: dict[str, Any], seconds: float) -> TrainingRecord:
        weights = self.out / WEIGHTS_NAME
        named = {LABELS_KEY: json.dumps(self.job.train.labels)}
        save_weights(weights, _numpy(self.detector.state_dict()), named)
        loss = " + ".join(self.detector.loss_terms) + (f" + {self.distiller}" if self.distiller is not None else "")
        record = TrainingRecord(
            role=self.job.role,
            epochs=self.job.training.epochs,
            steps=self.total,
            seconds=seconds,
            images_per_second=self.total * self.loader.batch_size / seconds,
            parameters=sum(int(np.prod(p.shape)) for p in self.detector.parameters()),
            weights_sha256=sha256_file(weights),
            accuracy=accuracy,
            loss=loss,
            inherited=self.inherited,
        )
        # the record is the sign that all is done, so it comes last
        write_json(self.out / RECORD_NAME, record.to_dict())
        remove_tree(self.out / CHECKPOINTS_NAME)
        return record

    def _note(self, message: str) -> None:
        self._say("note", message=message)

    def _say(self, kind: Any, **data: Any) -> None:
        self.report(Event(kind, self.job.role, data))


def _floats(terms: dict[str, paddle.Tensor]) -> dict[str, float]:
    return {name: float(term) for name, term in terms.items()}


def _numpy(state: dict[str, Any]) -> Weights:
    return {name: np.asarray(value.numpy()) for name, value in state.items() if hasattr(value, "numpy")}
