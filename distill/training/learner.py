"""What a training changes: the detector, the layers its losses train, the optimizer, the moving average."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...core.errors import TemperError
from ..detectors.build import build_detector, load_into
from ..detectors.normalise import normalisation_for
from ..paddle_import import paddle
from ..remote_weights import local_weights
from ..weights import Weights
from .average import MovingAverage
from .distiller import Distiller
from .job import TrainingJob
from .precision import Precision
from .teacher import Teacher

Groups = dict[str, Weights]


class Learner:
    """A job's detector with all that trains it; its tensors go into checkpoints as named groups.

    Attributes:
        detector: the one that is trained.
        distiller: its teacher's side, if it has one.
        inherited: how many tensors it took over from its teacher.
        fresh: how many tensors the weight file it started from did not have.
        other_classes: a sentence if that file tells other classes apart than the data has; else empty.
    """

    def __init__(self, job: TrainingJob) -> None:
        self.job = job
        labels = job.train.labels
        self.detector = build_detector(job.detector, labels, job.seed)
        self.fresh, self.other_classes = 0, ""
        if job.detector.weights is not None:
            self._start_from(job.detector.weights)
        self.distiller = self._distiller(labels)
        self.inherited = 0
        if self.distiller is not None and job.distillation is not None and job.distillation.inherit:
            self.inherited = self.distiller.inherit(self.detector)
        self.parameters = [p for p in self.detector.parameters() if not p.stop_gradient]
        if self.distiller is not None:
            self.parameters += self.distiller.layers.parameters()
        self.optimizer = self._optimizer()
        self.precision = Precision(job.training.precision)
        decay = job.training.ema_decay
        self.average = MovingAverage(self.detector, decay) if decay is not None else None

    def _start_from(self, weights: str) -> None:
        job = self.job
        path = local_weights(weights, job.detector.weights_sha256, lambda message: None)
        # without a single step the file has to hold all there is to know
        as_it_is = job.training.epochs == 0
        try:
            found = load_into(self.detector, path, whole=as_it_is, labels=job.train.labels)
        except TemperError as error:
            if not as_it_is:
                raise
            raise TemperError(f"{error} Or train them for these classes: set {job.role}.training.epochs.") from error
        self.fresh, self.other_classes = len(found.missing), found.other_classes

    def _distiller(self, labels: tuple[str, ...]) -> Distiller | None:
        job = self.job
        if job.distillation is None:
            return None
        if job.teacher is None or job.teacher_weights is None:
            raise ValueError("a job with distillation needs a teacher and its weights")
        ours, theirs = (normalisation_for(job.input.channels, s.pixel_scale) for s in (job.detector, job.teacher))
        teacher = Teacher(job.teacher, job.teacher_weights, labels, job.seed, ours.rescaling_to(theirs))
        return Distiller(self.detector, job.distillation, teacher, job.seed)

    def _optimizer(self) -> Any:
        section = self.job.training
        # norms and biases are not pulled towards zero
        decayed = {p.name for p in self.parameters if len(p.shape) > 1}
        common = {"learning_rate": section.learning_rate, "parameters": self.parameters}
        if section.optimizer == "adamw":
            return paddle.optimizer.AdamW(
                **common, weight_decay=section.weight_decay, apply_decay_param_fun=lambda name: name in decayed
            )
        for parameter in self.parameters:
            if parameter.name not in decayed:
                # a parameter's own wins over the optimizer's; parameter groups would reset its share of the rate
                parameter.regularizer = paddle.regularizer.L2Decay(0.0)
        return paddle.optimizer.Momentum(**common, momentum=0.9, weight_decay=section.weight_decay)

    def weights(self) -> Weights:
        """The detector's tensors as arrays."""
        return as_arrays(self.detector.state_dict())

    def put(self, weights: Weights) -> None:
        """Give the detector other weights, for good."""
        self.detector.set_state_dict(weights)

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """The detector with the moving average of its weights for a while, if one is kept."""
        return contextlib.nullcontext() if self.average is None else self.average.applied()

    def groups(self) -> Groups:
        """All that the next step depends on."""
        groups = {"model": self.weights(), "optimizer": as_arrays(self.optimizer.state_dict())}
        if self.distiller is not None:
            groups["distillation"] = as_arrays(self.distiller.layers.state_dict())
        if self.average is not None:
            groups["average"] = as_arrays(self.average.state)
        if self.precision.scaler is not None:
            groups["scaler"] = self.precision.state()
        return {name: group for name, group in groups.items() if group}

    def check(self, groups: Groups) -> None:
        """Refuse groups that are another training's.

        Raises:
            TemperError: naming what does not fit.
        """
        own = self.groups()
        for name in ("model", "distillation", "average"):
            _check_group(name, own.get(name, {}), groups.get(name, {}))
        shapes = {p.name: p.shape for p in self.parameters}
        for name, value in groups.get("optimizer", {}).items():
            # the optimizer's tensors have the name of their parameter in theirs; some are single numbers
            owners = [shape for parameter, shape in shapes.items() if f"{parameter}_" in name]
            if not any(list(value.shape) == shape or value.size == 1 for shape in owners):
                raise TemperError(f"its optimizer's '{name}' belongs to no parameter of this training")
        if ("scaler" in groups) != (self.precision.scaler is not None):
            raise TemperError(f"it is not of a training in {self.precision.name}")

    def restore(self, groups: Groups) -> None:
        """Take over what :meth:`groups` gave."""
        self.detector.set_state_dict(groups["model"])
        self.optimizer.set_state_dict(groups.get("optimizer", {}))
        if self.distiller is not None and "distillation" in groups:
            self.distiller.layers.set_state_dict(groups["distillation"])
        if self.average is not None:
            self.average.restore(groups["average"])
        if self.precision.scaler is not None:
            self.precision.restore(groups["scaler"])


def as_arrays(state: Mapping[str, Any]) -> Weights:
    """A state's tensors as arrays; what is no tensor is left out."""
    return {name: np.asarray(value.numpy()) for name, value in state.items() if hasattr(value, "numpy")}


def _check_group(name: str, own: Weights, found: Weights) -> None:
    if missing := sorted(own.keys() ^ found.keys()):
        raise TemperError(f"{len(missing)} of its {name}'s tensors are another training's, for example '{missing[0]}'")
    for tensor, value in own.items():
        if value.shape != found[tensor].shape:
            raise TemperError(
                f"its {name}'s '{tensor}' has the shape {list(found[tensor].shape)} and not {list(value.shape)}"
            )
