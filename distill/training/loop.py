"""The training loop: from the last checkpoint to the end, step by step."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...core.errors import TemperError
from ...core.events import Event, Reporter
from ...core.files import remove_partial
from ...detection.dataset import DataSet
from ...detection.examples import examples_entry
from ...detection.metrics import evaluate
from .. import ranks
from ..detectors.normalise import normalisation_for
from .checkpoint import Checkpoint, checkpoint_bytes, latest_checkpoint, parse_checkpoint, save_checkpoint
from .divergence import LossWatch, explain_not_finite
from .evaluate import evaluate_detector, predict_all
from .feature_choice import choose_features
from .job import CHECKPOINTS_NAME, METRICS_NAME, TrainingJob, TrainingRecord
from .learner import Learner
from .loader import CACHE_BYTES, Batch, BatchLoader, PictureStore
from .log import Listener, TrainingLog, read_metrics
from .memory import explain_out_of_memory
from .record import step_entry, write_results
from .schedule import learning_rate
from .step import NotFiniteError, StepLosses, TrainingStep
from .stopping import EarlyStopping, set_aside
from .unlabelled import UnlabelledLessons


class TrainingLoop:
    """One run of a job in this process; with several ranks, each has its own, and the first one writes."""

    def __init__(self, job: TrainingJob, out: Path, report: Reporter, listener: Listener | None = None) -> None:
        self.out, self.report, self.listener = out, report, listener
        self.writes = ranks.rank() == 0
        if self.writes:
            remove_partial(out)
        self.log: TrainingLog | None = None
        self.watch = LossWatch()
        self.stopping: EarlyStopping | None = None
        self.held: PictureStore | None = None
        section = job.training.early_stopping
        if section is not None:
            learnt, held = set_aside(job.train, section.hold_out, job.seed)
            job = replace(job, train=learnt)
            self.stopping = EarlyStopping(section)
            self.held = self._store(job, held)
        self.job = job
        self.normalisation = normalisation_for(job.input.channels, job.detector.pixel_scale)
        self.learner = Learner(job)
        self.val_store = self._store(job, job.val)
        self.loader = BatchLoader(
            self._store(job, job.train),
            self.learner.detector,
            self.normalisation,
            job.training.augment,
            batch_size=job.training.batch_size,
            seed=job.seed,
            workers=job.training.workers,
            scales=job.training.scales,
            rank=ranks.rank(),
            ranks=ranks.size(),
        )
        self.unlabelled = self._unlabelled()
        self.step = TrainingStep(self.learner, job.training.clip_norm, job.seed, self.unlabelled)
        self.total = job.training.epochs * self.loader.steps_per_epoch

    @staticmethod
    def _store(job: TrainingJob, data: DataSet) -> PictureStore:
        return PictureStore(data, job.input.rule(), job.input.channels, CACHE_BYTES // ranks.size())

    def _unlabelled(self) -> UnlabelledLessons | None:
        if self.learner.distiller is None or self.job.unlabelled is None:
            return None
        judged = [self.job.val]
        judged += [] if self.job.test is None else [self.job.test]
        judged += [] if self.held is None else [self.held.data]
        return UnlabelledLessons(
            self.job,
            self.out,
            self.learner.detector,
            self.learner.distiller,
            self.normalisation,
            judged=judged,
            warn=lambda text: self._say("warning", message=text),
        )

    def run(self) -> TrainingRecord:
        """Train from the last checkpoint to the end and write the results."""
        first, spent = self._go_on()
        self._introduce(first)
        self.log = TrainingLog(self.out, first, self.listener) if self.writes else None
        self.watch = LossWatch(e["total"] for e in self._past() if e["kind"] == "step")
        spent += self._gather_features()
        if self.unlabelled is not None:
            self.unlabelled.start(first, self.total)
        began = saved = time.monotonic()
        self.learner.detector.train()
        done = first
        for step, batch in enumerate(self.loader.batches(first, self.total), start=first):
            losses = self._one_step(step, batch)
            done = step + 1
            self._tell_step(step, losses, first, began)
            if done % self.loader.steps_per_epoch == 0:
                self._after_epoch(done)
            if self._over:
                break
            now = time.monotonic()
            if now - saved >= self.job.training.checkpoint_seconds and done < self.total:
                self._save(done, spent + now - began)
                saved = time.monotonic()
        accuracy = self._final_accuracy(done)
        seconds = spent + time.monotonic() - began
        return write_results(
            self.learner,
            self.out,
            epochs=done // self.loader.steps_per_epoch,
            steps=done,
            seconds=seconds,
            images_per_second=done * self.loader.batch_size / seconds,
            accuracy=accuracy,
            best_epoch=self.stopping.epoch if self.stopping is not None else None,
        )

    def _go_on(self) -> tuple[int, float]:
        """Take over the last checkpoint, which rank 0 reads for all; returns steps done and seconds spent."""
        content = b""
        if self.writes:
            found, warnings = latest_checkpoint(self.out / CHECKPOINTS_NAME, self.learner.check)
            for message in warnings:
                self._say("warning", message=message)
            content = checkpoint_bytes(found) if found is not None and ranks.size() > 1 else b""
        if ranks.size() > 1:
            content = ranks.share_bytes(content)
            found = parse_checkpoint(content, "rank 0's checkpoint") if content else None
        if found is None:
            return 0, 0.0
        self.learner.restore(found.groups)
        if self.stopping is not None and found.stopping is not None:
            self.stopping.restore(found.stopping, found.groups.get("best"))
        self._say("note", message=f"Going on from step {found.step} of {self.total}.")
        return found.step, found.seconds

    def _introduce(self, first: int) -> None:
        learner, job = self.learner, self.job
        if learner.other_classes and not first:
            self._say("warning", message=f"{learner.other_classes} What tells them apart starts fresh.")
        if learner.fresh and not first:
            self._say("note", message=f"{learner.fresh} tensors are not in {job.detector.weights} and start fresh.")
        if learner.distiller is not None:
            self._say("note", message=f"Distillation loss: {learner.distiller}; {learner.inherited} tensors inherited.")
        if self.unlabelled is not None:
            self._say("note", message=f"Distilling on {len(self.unlabelled.store.data)} unlabelled pictures as well.")
        if ranks.size() > 1:
            each = f"{self.loader.share} of the {self.loader.batch_size} pictures of a batch each"
            self._say("note", message=f"{ranks.size()} processes train together, {each}.")

    def _gather_features(self) -> float:
        """Have the teacher's features ready, if they are kept on disk; returns the seconds that took."""
        began, distiller = time.monotonic(), self.learner.distiller
        if distiller is None:
            return 0.0
        distiller.cached = choose_features(
            self.job, self.out, distiller, self.loader.store, self.normalisation, self._say
        )
        self.loader.teacher, self.loader.plain_images = distiller.cached, distiller.cached is None
        if self.unlabelled is not None:
            self.unlabelled.loader.plain_images = True
        return time.monotonic() - began

    def _one_step(self, step: int, batch: Batch) -> StepLosses:
        spe, section = self.loader.steps_per_epoch, self.job.training
        rate, epoch = learning_rate(section, step, spe), step // spe
        trouble: NotFiniteError | MemoryError
        try:
            losses = self.step(step, batch, rate=rate, epoch=epoch, progress=step / self.total)
        except (NotFiniteError, MemoryError) as error:
            # the traceback holds all that the step had computed; without it, that memory is free again
            trouble = error.with_traceback(None)
        else:
            self._write(step_entry(step, epoch, rate, losses))
            warning = self.watch.take(losses.total)
            if warning is not None:
                self._say("warning", message=warning)
                self._write({"kind": "warning", "step": step + 1, "epoch": epoch + 1, "message": warning})
            return losses
        if isinstance(trouble, MemoryError):
            raise explain_out_of_memory(self.job, self.loader, self.step, step)
        if not self.writes:
            raise TemperError(f"The {trouble.what} is not a finite number at step {step + 1}.")
        loaders = [self.loader] if self.unlabelled is None else [self.loader, self.unlabelled.loader]
        raise explain_not_finite(trouble, step, rate, self.job, loaders, self.out)

    def _after_epoch(self, done: int) -> None:
        epoch, every = done // self.loader.steps_per_epoch, self.job.training.evaluate_every
        if self.stopping is not None and self.stopping.due(epoch, self.job.training.epochs):
            self._look(epoch, done)
        if every and epoch % every == 0 and done < self.total and not self._over:
            with self.learner.averaged():
                self._evaluate(done)

    def _look(self, epoch: int, done: int) -> None:
        """Let early stopping see what the weights are worth on the pictures set aside."""
        assert self.stopping is not None and self.held is not None
        with self.learner.averaged():
            figures = evaluate_detector(self.learner.detector, self.held, self.normalisation, self.job.decode)
            self.stopping.look(figures.ap, epoch, self.learner.weights())
        self._write({"kind": "held_out", "step": done, "epoch": epoch, "ap": figures.ap, "best": self.stopping.best})
        if self._over and done < self.total:
            told = f"Stopped after epoch {epoch} of {self.job.training.epochs}"
            best = f"the pictures set aside saw their best mAP, {self.stopping.best:.1f}, after epoch"
            self._say("note", message=f"{told}: {best} {self.stopping.epoch}, whose weights are kept.")

    @property
    def _over(self) -> bool:
        return self.stopping is not None and self.stopping.over

    def _final_accuracy(self, done: int) -> dict[str, Any]:
        if self.stopping is not None and self.stopping.weights is not None:
            self.learner.put(self.stopping.weights)
        elif self.learner.average is not None:
            self.learner.average.apply()
        accuracy = self._evaluate(done, final=True)
        if self.log is not None:
            self.log.flush()
        return accuracy

    def _evaluate(self, done: int, final: bool = False) -> dict[str, Any]:
        found = predict_all(self.learner.detector, self.val_store, self.normalisation, self.job.decode)
        figures = evaluate(self.job.val, found).to_dict()
        epoch = done // self.loader.steps_per_epoch
        self._write({"kind": "evaluated", "step": done, "epoch": epoch, **figures})
        self._write(examples_entry(self.job.val, found, done, epoch))
        self._say("evaluated", epoch=epoch, map=figures["ap"], figures=figures, final=final)
        return figures

    def _save(self, done: int, seconds: float) -> None:
        if self.log is None:
            return
        groups, stopping = self.learner.groups(), None
        if self.stopping is not None:
            stopping = self.stopping.state()
            groups |= {"best": self.stopping.weights} if self.stopping.weights is not None else {}
        self.log.flush()
        save_checkpoint(self.out / CHECKPOINTS_NAME, Checkpoint(done, seconds, groups, stopping))

    def _past(self) -> list[dict[str, Any]]:
        return read_metrics(self.out / METRICS_NAME) if self.writes else []

    def _write(self, entry: dict[str, Any]) -> None:
        if self.log is not None:
            self.log.append(entry)

    def _tell_step(self, step: int, losses: StepLosses, first: int, began: float) -> None:
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
            losses=losses.own,
            distillation=losses.distillation,
            seconds_left=each * (self.total - done),
        )

    def _say(self, kind: Any, **data: Any) -> None:
        self.report(Event(kind, self.job.role, data))
