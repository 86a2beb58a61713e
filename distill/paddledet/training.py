"""From a configuration's schedule, optimizer and readers to a recipe's ``training``, ``input`` and ``export``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.errors import UsageError
from ...detection.decode import DecodeSettings
from .component import Component
from .weights import transforms_of
from .yaml_file import Values

Note = Callable[[str], None]

#: Transforms that say nothing about the pictures themselves, or that Temper does in its own way.
_PLAIN = {"Decode", "Resize", "NormalizeImage", "Permute", "PadBatch", "PadGT", "RandomFlip", "RandomDistort"}
_PLAIN |= {"RandomResize", "BatchRandomResize", "RandomFlipImage"}
_STEP = 32
#: Of the learning rate: a warm-up of Temper's begins at one step's share.
_NEARLY_ZERO = 0.01
#: OpenCV's number for it, which PaddleDetection writes as ``interp``.
_BILINEAR = 1
#: Sections and fields at the top of a file that are read elsewhere, or make no difference to what is trained.
_MODEL = ("architecture", "num_classes", "pretrain_weights", "depth_mult", "width_mult")
_PARTS: tuple[str, ...] = (
    "RetinaNet",
    "ResNet",
    "FPN",
    "RetinaHead",
    "PicoDet",
    "LCNet",
    "ESNet",
    "LCPAN",
    "CSPPAN",
    "PicoHead",
)
_PARTS += ("PicoHeadV2", "YOLOv3", "PPYOLOE", "CSPResNet", "CustomCSPPAN", "PPYOLOEHead")
_TRAINING = ("LearningRate", "OptimizerBuilder", "TrainReader", "EvalReader", "TestReader")
_DATA = ("metric", "map_type", "TrainDataset", "EvalDataset", "TestDataset", "eval_height", "eval_width", "eval_size")
_RUNTIME: tuple[str, ...] = (
    "use_gpu",
    "use_xpu",
    "use_mlu",
    "use_npu",
    "worker_num",
    "find_unused_parameters",
    "weights",
    "save_dir",
)
_RUNTIME += ("filename", "log_iter", "snapshot_epoch", "print_flops", "print_params", "print_mem_info", "export")
_RUNTIME += ("output_dir", "save_prediction_only", "use_vdl", "vdl_log_dir")
_WITH_EMA = ("ema_decay", "ema_decay_type", "cycle_epoch", "ema_black_list", "ema_filter_no_grad")
_WITH_AMP = ("amp_level", "custom_black_list", "custom_white_list", "master_grad", "use_auto_cast")


def training_section(file: str, config: Values, note: Note) -> Values:
    """The recipe's ``training``.

    Args:
        file: the configuration, for messages.
        config: its values.
        note: hears of what is not quite the same here, and of every field that is left out.

    Raises:
        UsageError: if there is no schedule, or one that Temper does not have.
    """
    root = Component(file, "", config)
    section: Values = {"epochs": root.whole("epoch", 12)}
    reader = Component(file, "TrainReader", config.get("TrainReader"))
    section["batch_size"] = reader.whole("batch_size", 1)
    note(
        f"training.batch_size {section['batch_size']} and learning_rate are the file's own, where the batch is that of "
        "one GPU and the rate belongs to all of them together; on fewer GPUs lower the rate in proportion"
    )
    reader.ignore(("sample_transforms", "batch_transforms", "drop_last", "use_shared_memory", "collate_batch"))
    reader.ignore(("inputs_def", "num_workers"))
    reader.without_effect("shuffle", True)
    reader.tell(note)
    section |= _schedule(file, config, section["epochs"], note)
    section |= _optimizer(file, config, note)
    section |= _precision(root, note)
    section["ema_decay"] = _average(root)
    section["augment"] = _augmentation(config, note)
    _rest_of_the_file(root, note)
    return section


def _average(root: Component) -> float | None:
    """The decay of the moving average, None without one."""
    if not root.take("use_ema", False):
        root.ignore(_WITH_EMA)
        return None
    root.without_effect("ema_decay_type", "threshold")
    root.without_effect("cycle_epoch", -1, 0)
    root.without_effect("ema_black_list", None, [], ["proj_conv.weight"])  # PP-YOLOE's, which is a constant
    root.without_effect("ema_filter_no_grad", False)
    return root.number("ema_decay", 0.9998)


def _rest_of_the_file(root: Component, note: Note) -> None:
    """Tell of sections and fields that nothing in Temper reads."""
    root.ignore((*_MODEL, *_PARTS, *_TRAINING, *_DATA, *_RUNTIME))
    root.without_effect("norm_type", "bn", "sync_bn")
    root.tell(note)


def _precision(root: Component, note: Note) -> Values:
    """The recipe's ``training.precision``, if it is not the usual one."""
    if not root.take("amp", False):
        root.ignore(_WITH_AMP)
        return {}
    root.without_effect("amp_level", "O1")
    if not root.value("use_gpu"):
        note("amp is left out, because Temper computes in 16 bits on GPUs alone (training.precision)")
        return {}
    return {"precision": "amp_fp16"}


def _schedule(file: str, config: Values, epochs: int, note: Note) -> Values:
    rate = Component(file, "LearningRate", config.get("LearningRate"))
    section: Values = {"learning_rate": rate.number("base_lr", 0.01), "warmup_steps": 0, "schedule": "constant"}
    schedulers = rate.take("schedulers", [{"name": "PiecewiseDecay"}, {"name": "LinearWarmup"}])
    rate.tell(note)
    if not isinstance(schedulers, list):
        raise UsageError(f"{file}: LearningRate.schedulers must be a list.")
    warms_up = True
    for number, entry in enumerate(schedulers):
        one = Component(file, f"LearningRate.schedulers[{number}]", entry)
        kind = one.take("name", None)
        if kind == "CosineDecay":
            section["schedule"] = "cosine"
            if one.whole("max_epochs", 1000) != epochs:
                note(f"the learning rate falls to zero over the {epochs} epochs of the training, not beyond its end")
            one.without_effect("min_lr_ratio", 0)
            one.without_effect("last_plateau_epochs", 0)
            warms_up = one.take("use_warmup", True) is not False
        elif kind == "PiecewiseDecay":
            section |= _steps(one, note)
            warms_up = one.take("use_warmup", True) is not False
        elif kind == "LinearWarmup":
            section["warmup_steps"] = _warmup(one, note) if warms_up else 0
        else:
            raise UsageError(
                f"{file}: LearningRate.schedulers has {kind}; Temper has CosineDecay, PiecewiseDecay and LinearWarmup."
            )
        one.tell(note)
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
    start = warmup.given("start_factor", 1 / 3)
    if start > _NEARLY_ZERO:
        note(f"the warm-up begins near zero, where {warmup.path} begins at {start:g} of the learning rate")
    epochs, steps = warmup.take("epochs", None), warmup.whole("steps", 500)
    if epochs is None:
        return steps
    note(f"the warm-up of {epochs} epochs became training.warmup_steps 500; an epoch has as many steps as batches")
    return 500


def _optimizer(file: str, config: Values, note: Note) -> Values:
    builder = Component(file, "OptimizerBuilder", config.get("OptimizerBuilder"))
    optimizer = Component(file, "OptimizerBuilder.optimizer", builder.take("optimizer", {"type": "Momentum"}))
    kind = optimizer.take("type", "Momentum")
    if kind not in ("Momentum", "AdamW"):
        raise UsageError(f"{file}: OptimizerBuilder.optimizer.type is {kind}; Temper has Momentum and AdamW.")
    clip = builder.number("clip_grad_by_norm", None)
    builder.without_effect("clip_grad_by_value", None)
    regularizer = builder.take("regularizer", {"type": "L2", "factor": 0.0001})
    builder.tell(note)
    if kind == "AdamW":  # which takes no regularizer there either
        decay = optimizer.number("weight_decay", 0.01)
        for field, usual in (("beta1", 0.9), ("beta2", 0.999), ("epsilon", 1e-8)):
            optimizer.without_effect(field, usual)
    else:
        optimizer.without_effect("use_nesterov", False)
        if optimizer.number("momentum", 0.9) != 0.9:
            note("the optimizer's momentum is 0.9")
        decay = _decay(file, regularizer, note)
    optimizer.tell(note)
    return {"optimizer": kind.lower(), "weight_decay": decay, "clip_norm": clip}


def _decay(file: str, regularizer: Any, note: Note) -> float | None:
    if not regularizer or regularizer == "None":
        return 0.0
    part = Component(file, "OptimizerBuilder.regularizer", regularizer)
    part.expect("type", "L2", "L2")
    factor = part.number("factor", 0.0001)
    part.tell(note)
    return factor


def _augmentation(config: Values, note: Note) -> Values:
    transforms = transforms_of(config, "TrainReader")
    found = {name for name, _ in transforms}
    if left_out := sorted(found - _PLAIN):
        note(f"the training pictures are not changed by {', '.join(left_out)}")
    if found & {"RandomResize", "BatchRandomResize"}:
        note("all training pictures have the one size of 'input'")
    for name, fields in transforms:
        if name in ("RandomFlip", "RandomFlipImage") and fields.get("prob", 0.5) != 0.5:
            note(f"every other picture is mirrored, where {name}.prob is {fields['prob']}")
    if "RandomDistort" in found:
        note("of RandomDistort, brightness and contrast are changed by at most a tenth, and hue and saturation stay")
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
    if fields.get("interp", _BILINEAR) != _BILINEAR:
        note("pictures are made smaller by averaging and larger bilinearly, whatever interp says")
    kept = fields.get("keep_ratio", True) is not False
    if kept and height != width:
        note(
            f"pictures keep their aspect ratio inside {width} x {height}; for square ones give input.width {height}, "
            "which costs less"
        )
    return {"width": width, "height": height, "channels": "rgb", "resize": "letterbox" if kept else "stretch"}


def export_section(file: str, config: Values, head: str, note: Note) -> Values:
    """The recipe's ``export``, as far as the head's NMS says something about it."""
    values = config.get(head)
    nms = Component(file, f"{head}.nms", (values.get("nms") if isinstance(values, dict) else None) or {})
    nms.ignore(("normalized", "return_index", "return_rois_num", "trt"))
    nms.without_effect("name", "MultiClassNMS")
    nms.without_effect("nms_eta", 1)
    nms.without_effect("background_label", -1)
    nms.without_effect("nms_top_k", DecodeSettings.candidates)
    section: Values = {}
    for field, theirs in (("nms_iou", "nms_threshold"), ("score_floor", "score_threshold")):
        if (value := nms.number(theirs, None)) is not None and 0 <= value <= 1:
            section[field] = value
        elif value is not None:
            note(f"{nms.path}.{theirs} is {value:g}, which is no share, so export.{field} is Temper's own")
    if 1 <= (kept := nms.whole("keep_top_k", 100)) <= 1000:
        section["max_detections"] = kept
    else:
        note(f"{nms.path}.keep_top_k is {kept}, so export.max_detections is Temper's own")
    nms.tell(note)
    return section
