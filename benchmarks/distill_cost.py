"""What distilling costs beside training the student alone: ``python -m temper.benchmarks.distill_cost``.

Every side trains in a process of its own, on the same synthetic pictures, and the processes take turns, so that
whatever else the machine does meets all of them alike:

====== ==================================================================================================
``a``  Temper, the student alone
``a0`` PaddleDetection, the student alone, as it comes (one thread, the math library's own choice of path)
``a1`` the same with Temper's CPU settings
``b0`` PaddleDetection, the article's recipe, as it comes: the teacher's whole forward pass, the student,
       and MGD written with two plain convolutions
``b1`` the same with Temper's CPU settings
``c``  Temper, the student under its teacher by MGD, the teacher's features on disk
====== ==================================================================================================

Temper's sides are its own training loop, loader and log included. PaddleDetection's sides are the step alone, on
batches that lie ready, without postprocessing by the teacher: less than its users wait for. This is the one file of
``benchmarks`` that loads Paddle, and the parts of ``distill`` that go with it, inside functions.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import click

from .distill_cost_cases import CASES, Case, case_named
from .distill_cost_figures import SIDES, Measured, print_case, ratios

_MODULE = "temper.benchmarks.distill_cost"
#: Variables that Temper sets before Paddle is loaded; a side "as it comes" has none of them.
CPU_VARIABLES = ("OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE")
CLASSES = 6
PICTURES = 16
#: Steps at the start of every side, and of every turn of it, that are not counted.
WARM_STEPS, SETTLING_STEPS = 3, 1
ANSWER_SECONDS = 1800.0
#: Of a RetinaNet that does not say.
STRIDES = (8, 16, 32, 64, 128)


class _Enough(Exception):
    """The parent has seen what it wanted."""


class _Gate:
    """Lets a training run only while it is this process's turn, and times its steps."""

    def __init__(self, channel: TextIO, batch: int) -> None:
        self._channel, self._batch = channel, batch
        self._times: list[float] = []
        self._wanted = WARM_STEPS
        self._last, self._last_cpu = time.perf_counter(), 0.0
        self.filling: list[float] = []

    def answer(self, **fields: Any) -> None:
        """One line to the parent."""
        self._channel.write(json.dumps(fields) + "\n")
        self._channel.flush()

    def picture_done(self) -> None:
        """The teacher has seen some more pictures."""
        self.filling.append(time.perf_counter())

    def step_done(self) -> None:
        """A step has ended; waits for the next turn if this was the last one of a turn."""
        now = time.perf_counter()
        self._times.append(now - self._last)
        if len(self._times) == SETTLING_STEPS:
            self._last_cpu = time.process_time()
        if len(self._times) >= self._wanted:
            each = [1000 * seconds / self._batch for seconds in self._times[SETTLING_STEPS:]]
            cpu = 1000 * (time.process_time() - self._last_cpu) / self._batch / len(each)
            self.answer(kind="turn", ms_per_image=each, cpu_ms_per_image=cpu)
            command = json.loads(sys.stdin.readline() or '{"command": "finish"}')
            if command["command"] == "finish":
                raise _Enough
            self._times, self._wanted = [], command["steps"] + SETTLING_STEPS
        self._last = time.perf_counter()


def _run_side() -> None:
    """The child: one side of one case."""
    from .worker import die_with_parent, peak_memory_mib, private_stdout

    die_with_parent()
    channel = private_stdout()
    start = json.loads(sys.stdin.readline())
    case, side, work = Case(**start["case"]), start["side"], Path(start["work"])
    gate = _Gate(channel, case.training["batch_size"])
    try:
        with contextlib.suppress(_Enough):
            if side in ("a", "c"):
                _train_with_temper(case, work, gate, distilled=side == "c")
            else:
                _train_plainly(case, work, gate, distilled=side.startswith("b"))
    except Exception as error:  # whatever it is, the parent has to hear of it
        gate.answer(kind="crashed", message=repr(error))
        raise
    spans = [later - earlier for earlier, later in zip(gate.filling, gate.filling[1:], strict=False)]
    filling = 1000 * statistics.median(spans) * (len(spans) + 1) / PICTURES if spans else None
    gate.answer(kind="finished", peak_memory_mib=peak_memory_mib(), filling_ms_per_picture=filling)


def _train_with_temper(case: Case, work: Path, gate: _Gate, *, distilled: bool) -> None:
    from ..core.events import Event
    from ..detection.dataset import load_split
    from ..detection.decode import DecodeSettings
    from ..distill.recipe import InputSection
    from ..distill.recipe_detectors import RetinaNetSection
    from ..distill.recipe_distillation import DistillationSection
    from ..distill.recipe_training import TrainingSection
    from ..distill.training.job import TrainingJob
    from ..distill.training.train import train_model

    def report(event: Event) -> None:
        if event.kind == "step":
            gate.step_done() if event.data["unit"] == "steps" else gate.picture_done()

    endless = {"epochs": 10_000, "evaluate_every": 0, "checkpoint_seconds": 1e9}
    job = TrainingJob(
        role="distilled" if distilled else "student",
        detector=RetinaNetSection.model_validate(case.student),
        training=TrainingSection.model_validate({**case.training, **endless}),
        input=InputSection.model_validate({"width": case.size, "height": case.size, "channels": case.channels}),
        decode=DecodeSettings(),
        train=load_split(work / "data", "train"),
        val=load_split(work / "data", "val"),
        seed=1,
    )
    if not distilled:
        train_model(job, work / "a", report)
        return
    section = DistillationSection.model_validate({"features": "cached", "mgd": dict(case.mgd)})
    teacher = RetinaNetSection.model_validate(case.teacher)
    weights = _teacher_weights(teacher, work)
    fields = {**vars(job), "distillation": section, "teacher": teacher, "teacher_weights": weights}
    train_model(TrainingJob(**fields), work / "c", report)


def _teacher_weights(section: Any, work: Path) -> Path:
    """Weights of an untrained teacher whose features have a sensible size; cost does not depend on them."""
    from ..distill.detectors.build import build_detector
    from ..distill.weights import save_weights

    path = work / "teacher.safetensors"
    state = build_detector(section, [str(label) for label in range(CLASSES)], 1).state_dict()
    save_weights(path, {name: _tamed(name, value.numpy()) for name, value in state.items()})
    return path


def _tamed(name: str, value: Any) -> Any:
    # batch norms that have seen nothing let a deep network's features grow with every block
    return value * 0.5 if "norm.weight" in name else value


def _train_plainly(case: Case, work: Path, gate: _Gate, *, distilled: bool) -> None:
    """The step as one writes it on PaddleDetection's classes."""
    from ..distill.paddle_import import paddle

    paddle.seed(1)
    student = _plain_retinanet(case.student)
    student.train()
    parameters = list(student.parameters())
    teacher, generators = None, []
    if distilled:
        teacher = _plain_retinanet(case.teacher)
        for name, value in teacher.state_dict().items():
            value.set_value(_tamed(name, value.numpy()))
        teacher.eval()
        channels, levels = case.teacher.get("neck_channels", 256), len(case.teacher.get("strides", STRIDES))
        generators = [_plain_generator(channels) for _ in range(levels)]
        parameters += [parameter for generator in generators for parameter in generator.parameters()]
    optimizer = _plain_optimizer(case, parameters)
    batches = _ready_batches(case, work)
    while True:
        for images, *truth in batches:
            boxes, labels = ([paddle.to_tensor(value) for value in values] for values in truth)
            tensor = paddle.to_tensor(images)
            features = student["neck"](student["backbone"]({"image": tensor}))
            loss = student["head"](features, {"gt_bbox": boxes, "gt_class": labels})["loss"]
            if teacher is not None:
                with paddle.no_grad():
                    targets = teacher["neck"](teacher["backbone"]({"image": tensor}))
                    teacher["head"](targets)
                for feature, target, generator in zip(features, targets, generators, strict=True):
                    loss = loss + _plain_mgd(feature, target, generator, case.mgd)
            float(loss)
            loss.backward()
            optimizer.step()
            optimizer.clear_grad()
            gate.step_done()


def _plain_retinanet(fields: Mapping[str, Any]) -> Any:
    from ..distill.detectors.ppdet_bridge import paddle_detection
    from ..distill.detectors.resnet import build_resnet, output_channels
    from ..distill.paddle_import import paddle

    parts = paddle_detection()
    channels, strides = fields.get("neck_channels", 256), fields.get("strides", STRIDES)
    norm = "bn" if fields.get("head_norm") else None  # what it has nearest to a batch norm per level
    # PaddleDetection's own class, or its blocks with fewer channels
    backbone = build_resnet(fields["depth"], fields.get("width", 1.0), frozen_norm=False, freeze_stages=0)
    neck = parts.fpn(
        output_channels(backbone),
        channels,
        spatial_scales=[1 / stride for stride in strides[:3]],
        has_extra_convs=True,
        extra_stage=len(strides) - 3,
        use_c5=False,
    )
    head = parts.retina_head(
        CLASSES,
        parts.retina_feat(feat_in=channels, feat_out=channels, num_convs=fields.get("head_convs", 4), norm_type=norm),
        parts.anchor_generator(
            octave_base_scale=fields.get("anchor_scale", 4), strides=[float(stride) for stride in strides]
        ),
        parts.max_iou_assigner(0.5, 0.4, True),
        parts.focal_loss(alpha=0.25, gamma=2.0),
        parts.smooth_l1_loss(beta=0.0),
        nms=None,
    )
    return paddle.nn.LayerDict({"backbone": backbone, "neck": neck, "head": head})


def _plain_generator(channels: int) -> Any:
    from ..distill.paddle_import import paddle

    first, second = (paddle.nn.Conv2D(channels, channels, 3, padding=1) for _ in range(2))
    return paddle.nn.Sequential(first, paddle.nn.ReLU(), second)


def _plain_mgd(feature: Any, target: Any, generator: Any, mgd: Mapping[str, Any]) -> Any:
    from ..distill.paddle_import import paddle

    batch, _, height, width = feature.shape
    mask = (paddle.rand([batch, 1, height, width]) >= mgd.get("mask_ratio", 0.65)).astype("float32")
    squares = paddle.nn.functional.mse_loss(generator(feature * mask), target, reduction="sum")
    if mgd["alpha_form"] == "relative":
        return squares * mgd["alpha"] / target.square().sum()
    return squares * mgd["alpha"] / (batch if mgd["alpha_form"] == "sum" else target.size)


def _plain_optimizer(case: Case, parameters: list[Any]) -> Any:
    from ..distill.paddle_import import paddle

    rate, decay = case.training["learning_rate"], case.training.get("weight_decay", 0.01)
    if case.training["optimizer"] == "momentum":
        return paddle.optimizer.Momentum(rate, 0.9, parameters, weight_decay=1e-4)
    clip = paddle.nn.ClipGradByGlobalNorm(10.0)
    return paddle.optimizer.AdamW(rate, parameters=parameters, weight_decay=decay, grad_clip=clip)


def _ready_batches(case: Case, work: Path) -> list[tuple[Any, list[Any], list[Any]]]:
    import numpy as np

    from ..detection.dataset import load_split
    from ..detection.images import ResizeRule, read_image
    from ..distill.detectors.normalise import normalisation_for

    data, rule = load_split(work / "data", "train"), ResizeRule(case.size, case.size, "stretch")
    normalisation, batches, size = normalisation_for("rgb"), [], case.training["batch_size"]
    for first in range(0, PICTURES - size + 1, size):
        samples = data.samples[first : first + size]
        images = np.stack([rule.apply(read_image(data.image_path(sample), "rgb")) for sample in samples])
        boxes = [rule.boxes_to_input(sample.boxes, sample.size) for sample in samples]
        labels = [sample.labels.astype(np.int64)[:, None] for sample in samples]
        batches.append((normalisation.apply(images), boxes, labels))
    return batches


def measure_case(
    case: Case, sides: Sequence[str], rounds: int, steps: int, say: Callable[[str], None]
) -> dict[str, Measured]:
    """Measure the sides of a case, taking turns.

    Args:
        case: what is trained.
        sides: of :data:`SIDES`.
        rounds: turns of every side.
        steps: counted in a turn.
        say: is told of the progress.
    """
    from ..distill.synthetic.generator import write_data_set
    from .worker_process import WorkerProcess

    found = {side: Measured(SIDES[side]) for side in sides}
    with tempfile.TemporaryDirectory(prefix="distill-cost-") as folder, contextlib.ExitStack() as stack:
        work = Path(folder)
        write_data_set(work / "data", train=PICTURES, val=2, width=224, height=224, seed=1)
        workers = {}
        for side in sides:
            say(f"{SIDES[side]}: getting warm")
            environment = side_environment(ours=side in ("a", "a1", "b1", "c"))
            worker = WorkerProcess(SIDES[side], ANSWER_SECONDS, (_MODULE, "--one-side"), environment)
            workers[side] = stack.enter_context(worker)
            worker.ask("start", case=asdict(case), side=side, work=str(work))
        for number in range(rounds):
            say(f"Round {number + 1} of {rounds}")
            first = number % len(sides)
            for side in (*sides[first:], *sides[:first]):
                turn = workers[side].ask("measure", steps=steps)
                found[side].rounds_ms.append(statistics.median(turn["ms_per_image"]))
                found[side].rounds_cpu_ms.append(turn["cpu_ms_per_image"])
        for side, worker in workers.items():
            last = worker.ask("finish")
            found[side].peak_memory_mib = last["peak_memory_mib"]
            found[side].filling_ms_per_picture = last["filling_ms_per_picture"]
    return found


def side_environment(*, ours: bool) -> dict[str, str]:
    """A child's environment, with Temper's CPU settings or with none, whatever this process has."""
    from ..distill.cpu import cpu_variables

    plain = {name: value for name, value in os.environ.items() if name not in CPU_VARIABLES}
    return plain | {"GLOG_minloglevel": "2"} | (cpu_variables() if ours else {})


@click.command(help=__doc__.split("\n\n")[0])
@click.option("--case", "cases", multiple=True, type=click.Choice(CASES), help="Which.  [default: both]")
@click.option("--side", "sides", multiple=True, type=click.Choice(list(SIDES)), help="Which.  [default: all]")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Turns of every side.")
@click.option("--steps", type=click.IntRange(1), default=5, show_default=True, help="Steps counted in a turn.")
@click.option("--epochs", type=click.IntRange(1), default=24, show_default=True, help="That share the filling.")
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="File for all figures.")
def main(
    cases: tuple[str, ...], sides: tuple[str, ...], rounds: int, steps: int, epochs: int, out: Path | None
) -> None:
    """See the module."""
    from ..core.files import write_json
    from .machine import LoadWatch, machine_state, machine_warnings

    state, result = machine_state(), {}
    for name in cases or CASES:
        watch, began = LoadWatch(), os.times()
        chosen = [side for side in SIDES if side in (sides or SIDES)]
        case = case_named(name)
        found = measure_case(case, chosen, rounds, steps, lambda words: click.echo(words, err=True))
        ended = os.times()
        own = sum(ended[:4]) - sum(began[:4])
        warnings = machine_warnings(state, watch.finish(own))
        figures = ratios(found, epochs)
        result[name] = {
            "sides": {side: {**asdict(one), "ms_per_image": one.ms_per_image} for side, one in found.items()},
            "figures": figures,
            "warnings": warnings,
        }
        print_case(f"{name}: {case.size} px, batch {case.training['batch_size']}", found, figures, epochs)
        for warning in warnings:
            click.echo(f"warning: {warning}")
    if out is not None:
        settings = {"rounds": rounds, "steps": steps, "epochs": epochs}
        write_json(out, {"kind": "distill_cost", "machine": asdict(state), "settings": settings, "cases": result})


if __name__ == "__main__":
    if sys.argv[1:] == ["--one-side"]:
        _run_side()
    else:
        main()
