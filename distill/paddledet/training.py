"""From a configuration's schedule, optimizer and readers to a recipe's ``training``, ``input`` and ``export``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.errors import UsageError
from .component import Component
from .weights import transforms_of
from .yaml_file import Values

Note = Callable[[str], None]

#: Transforms that say nothing about the pictures themselves, or that Temper does in its own way.
_PLAIN = {"Decode", "Resize", "NormalizeImage", "Permute", "PadBatch", "PadGT", "RandomFlip", "RandomDistort"}
_PLAIN |= {"RandomResize", "BatchRandomResize", "RandomFlipImage"}
_STEP = 32


def training_section(file: str, config: Values, note: Note) -> Values:
    """The recipe's ``training``.

    Args:
        file: the configuration, for messages.
        config: its values.
        note: hears of what is not quite the same here.

    Raises:
        UsageError: if there is no schedule, or one that Temper does not have.
    """
    root = Component(file, "the file", config)
    section: Values = {"epochs": root.whole("epoch", 12)}
    reader = Component(file, "TrainReader", config.get("TrainReader"))
    section["batch_size"] = reader.whole("batch_size", 1)
    note(
        f"training.batch_size {section['batch_size']} and learning_rate are the file's own, where the batch is that of "
        "one GPU and the rate belongs to all of them together; on fewer GPUs lower the rate in proportion"
    )
    section |= _schedule(file, config, section["epochs"], note)
    section |= _optimizer(file, config, note)
    section["ema_decay"] = None
    if config.get("use_ema"):
        section["ema_decay"] = root.number("ema_decay", 0.9998)
    section["augment"] = _augmentation(config, note)
    return section


def _schedule(file: str, config: Values, epochs: int, note: Note) -> Values:
    rate = Component(file, "LearningRate", config.get("LearningRate"))
    section: Values = {"learning_rate": rate.number("base_lr", 0.01), "warmup_steps": 0, "schedule": "constant"}
    schedulers = rate.take("schedulers", [{"name": "PiecewiseDecay"}, {"name": "LinearWarmup"}])
    if not isinstance(schedulers, list):
        raise UsageError(f"{file}: LearningRate.schedulers must be a list.")
    for number, entry in enumerate(schedulers):
        one = Component(file, f"LearningRate.schedulers[{number}]", entry)
        kind = one.take("name", None)
        if kind == "CosineDecay":
            section["schedule"] = "cosine"
            if one.whole("max_epochs", 1000) != epochs:
                note(f"the learning rate falls to zero over the {epochs} epochs of the training, not beyond its end")
        elif kind == "PiecewiseDecay":
            section |= _steps(one, note)
        elif kind == "LinearWarmup":
            section["warmup_steps"] = _warmup(one, note)
        else:
            raise UsageError(
                f"{file}: LearningRate.schedulers has {kind}; Temper has CosineDecay, PiecewiseDecay and LinearWarmup."
            )
    return section


def _steps(decay: Component, note: Note) -> Values:
    milestones, gamma = decay.take("milestones", [8, 11]), decay.take("gamma", [0.1, 0.01])
    if not isinstance(milestones, list) or not all(isinstance(one, int) for one in milestones):
        raise UsageError(f"{decay.file}: {decay.path}.milestones is {milestones!r}, and should be a list of epochs.")
    tenths = [round(0.1**n, 9) for n in range(1, len(milestones) + 1)]
    if decay.take("values", None) is not None or gamma not in (0.1, tenths):
        note(f"at epochs {milestones} the learning rate is divided by ten, whatever the file says")
    return {"schedule": "step", "step_epochs": milestones}


def _warmup(warmup: Component, note: Note) -> int:
    epochs = warmup.take("epochs", None)
    if epochs is None:
        return warmup.whole("steps", 500)
    note(f"the warm-up of {epochs} epochs became training.warmup_steps 500; an epoch has as many steps as batches")
    return 500


def _optimizer(file: str, config: Values, note: Note) -> Values:
    builder = Component(file, "OptimizerBuilder", config.get("OptimizerBuilder"))
    optimizer = Component(file, "OptimizerBuilder.optimizer", builder.take("optimizer", {"type": "Momentum"}))
    kind = optimizer.take("type", "Momentum")
    if kind not in ("Momentum", "AdamW"):
        raise UsageError(f"{file}: OptimizerBuilder.optimizer.type is {kind}; Temper has Momentum and AdamW.")
    clip = builder.number("clip_grad_by_norm", None)
    if kind == "AdamW":
        return {"optimizer": "adamw", "weight_decay": optimizer.number("weight_decay", 0.01), "clip_norm": clip}
    if optimizer.number("momentum", 0.9) != 0.9:
        note("the optimizer's momentum is 0.9")
    regularizer = builder.take("regularizer", {"type": "L2", "factor": 0.0001})
    decay: float | None = 0.0
    if regularizer:
        part = Component(file, "OptimizerBuilder.regularizer", regularizer)
        part.expect("type", "L2", "L2")
        decay = part.number("factor", 0.0001)
    return {"optimizer": "momentum", "weight_decay": decay, "clip_norm": clip}


def _augmentation(config: Values, note: Note) -> Values:
    found = {name for name, _ in transforms_of(config, "TrainReader")}
    if left_out := sorted(found - _PLAIN):
        note(f"the training pictures are not changed by {', '.join(left_out)}")
    if found & {"RandomResize", "BatchRandomResize"}:
        note("all training pictures have the one size of 'input'")
    strength = 0.1 if "RandomDistort" in found else 0.0
    return {
        "flip_horizontal": bool(found & {"RandomFlip", "RandomFlipImage"}),
        "flip_vertical": False,
        "brightness": strength,
        "contrast": strength,
    }


def input_section(config: Values, note: Note) -> Values:
    """The recipe's ``input``: the size that the configuration evaluates at."""
    fields = next((f for name, f in transforms_of(config, "EvalReader") if name == "Resize"), {})
    size: Any = fields.get("target_size")
    size = [size, size] if isinstance(size, int) else size
    if not isinstance(size, list) or len(size) != 2 or not all(isinstance(n, int) and 0 < n <= 8192 for n in size):
        note("no size of the pictures was found, so they are resized to 640 x 640")
        return {"width": 640, "height": 640, "channels": "rgb", "resize": "letterbox"}
    height, width = (max(_STEP, _STEP * -(-n // _STEP)) for n in size)
    kept = fields.get("keep_ratio", True) is not False
    if kept and height != width:
        note(
            f"pictures keep their aspect ratio inside {width} x {height}; for square ones give input.width {height}, "
            "which costs less"
        )
    return {"width": width, "height": height, "channels": "rgb", "resize": "letterbox" if kept else "stretch"}


def export_section(file: str, config: Values, head: str) -> Values:
    """The recipe's ``export``, as far as the head's NMS says something about it."""
    values = config.get(head)
    nms = Component(file, f"{head}.nms", (values.get("nms") if isinstance(values, dict) else None) or {})
    section: Values = {}
    for field, theirs in (("nms_iou", "nms_threshold"), ("score_floor", "score_threshold")):
        if (value := nms.number(theirs, None)) is not None and 0 <= value <= 1:
            section[field] = value
    if 1 <= (kept := nms.whole("keep_top_k", 100)) <= 1000:
        section["max_detections"] = kept
    return section
