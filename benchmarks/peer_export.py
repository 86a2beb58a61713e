"""PaddleDetection's own ONNX export beside Temper's bundle: ``python -m temper.benchmarks.peer_export RUN``.

Both are made of the same weights, a trained model of RUN, and take turns in one process on ONNX Runtime with the same
threads, so that whatever else the machine does meets all alike:

- PaddleDetection's way: its inference model with decoding and ``multiclass_nms3`` inside, converted by paddle2onnx; on
  the host what its deploy code does: resize, divide by 255, normalise, three channels first.
- Temper's way: the graphs of the bundle, on the host nothing but the resize.

Both begin with decoded pictures (three channels for PaddleDetection, as its deploy code decodes, the bundle's own for
Temper) and end with boxes in pixels of these. The export runs in a process of its own: Paddle is not loaded where times
are taken. Like ``distill_cost.py`` this loads Paddle and ``distill``, inside functions.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..core.errors import TemperError, UsageError
from .peer_export_figures import BATCHES, Result, markdown, measure
from .peer_session import PeerSettings

_MODULE = "temper.benchmarks.peer_export"
#: What PaddleDetection's documentation gives to paddle2onnx; paddle2onnx raises it where an operator needs more.
_OPSET = 11
_NMS_TOP_K = 1000


def export_peer(run: Path, model: str, folder: Path) -> dict[int, str | None]:
    """Export a trained RetinaNet of a run as PaddleDetection does, at every batch of :data:`BATCHES`.

    Its loop over the pictures of a batch is unrolled, so the batch is fixed at the export.

    Args:
        run: a run's folder.
        model: ``teacher``, ``student`` or ``distilled``.
        folder: gets ``peer-BATCH.onnx``.

    Returns:
        For each batch None, or why there is no graph for it.

    Raises:
        MissingDependencyError: if Paddle, PaddleDetection or paddle2onnx is not installed.
        TemperError: if the run has no such model, or it is no RetinaNet.
    """
    found: dict[int, str | None] = {}
    for batch in BATCHES:
        try:
            content = _convert(_peer_network(run, model), batch, _settings(run), folder)
            (folder / f"peer-{batch}.onnx").write_bytes(content)
            found[batch] = None
        except TemperError:
            raise
        except Exception as error:  # Paddle and paddle2onnx have no classes of their own for what they cannot do
            found[batch] = f"the export fails ({type(error).__name__})"
    return found


def _settings(run: Path) -> PeerSettings:
    from ..distill.detectors.normalise import normalisation_for
    from ..distill.recipe import Recipe

    recipe = Recipe.model_validate(_recipe(run))
    normalisation = normalisation_for(recipe.input.channels)
    return PeerSettings(recipe.input.width, recipe.input.height, normalisation.mean, normalisation.std)


def _recipe(run: Path) -> dict[str, Any]:
    from ..core.files import MAX_RECORD_BYTES, read_json

    try:
        content = read_json(run / "recipe.json", MAX_RECORD_BYTES)
    except OSError as error:
        raise UsageError(f"{run} is no run: its recipe.json cannot be read ({error.strerror}).") from error
    return dict(content)


def _peer_network(run: Path, model: str) -> Any:
    """PaddleDetection's RetinaNet, NMS included, with the weights of a run's model."""
    from ppdet.modeling.architectures.retinanet import RetinaNet
    from ppdet.modeling.proposal_generator.anchor_generator import RetinaAnchorGenerator

    from ..detection.dataset import load_split
    from ..distill.detectors.build import build_detector, load_into
    from ..distill.paddle_import import paddle
    from ..distill.recipe import Recipe

    recipe = Recipe.model_validate(_recipe(run))
    section: Any = recipe.teacher if model == "teacher" else recipe.student
    if section.detector != "retinanet":
        raise UsageError(f"The {model} of {run} is a {section.detector}; the comparison is for RetinaNets.")
    labels = load_split(run / "data" / "set", "val").labels
    detector: Any = build_detector(section, labels, seed=0)
    load_into(detector, run / model / "weights.safetensors", whole=True, labels=labels)
    head = detector.head
    if hasattr(head.conv_feat, "levels"):
        head.conv_feat = _by_level(head.conv_feat)
    generator = RetinaAnchorGenerator(
        octave_base_scale=section.anchor_scale, strides=[float(stride) for stride in section.strides]
    )
    with paddle.no_grad():
        picture = paddle.zeros([1, 3, recipe.input.height, recipe.input.width])
        head.anchor_generator = _made(generator(detector.neck_features(picture)))
    head.nms, head.nms_pre = _nms(recipe.export), recipe.export.candidates
    network: Any = RetinaNet(detector.backbone, detector.neck, head)

    class Inference(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        # 'im_shape' is an input too, which the export of this architecture prunes as nothing reads it
        def forward(self, image: Any, scale_factor: Any) -> Any:
            found = self.network({"image": image, "im_shape": scale_factor, "scale_factor": scale_factor})
            return found["bbox"], found["bbox_num"]

    inference = Inference()
    inference.eval()
    return inference


def _by_level(tower: Any) -> Any:
    """A tower that PaddleDetection's head can call, which does not say which level it is at."""
    from ..distill.paddle_import import paddle

    class ByLevel(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.tower, self.level = tower, 0

        def forward(self, feature: Any) -> Any:
            level = self.level
            self.level = (level + 1) % self.tower.levels
            return self.tower(feature, level)

    return ByLevel()


def _made(anchors: list[Any]) -> Any:
    """In the place of a generator of anchors: what it gives at this size.

    As they come, paddle2onnx 2.1 writes them with a Range of vectors, which ONNX Runtime loads only without optimising.
    """
    from ..distill.paddle_import import paddle

    class Made(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            for level, values in enumerate(anchors):
                self.register_buffer(f"level_{level}", values)

        def forward(self, features: list[Any]) -> list[Any]:
            return [getattr(self, f"level_{level}") for level in range(len(anchors))]

    return Made()


def _nms(export: Any) -> Any:
    """PaddleDetection's NMS with the settings of Temper's graph.

    The operator is called itself: the function that PaddleDetection 2.6 has around it is for static graphs of Paddle 2.
    """
    from ..distill.paddle_import import paddle

    def nms(boxes: Any, scores: Any) -> Any:
        found, index, count = paddle._C_ops.multiclass_nms3(
            boxes, scores, None, export.score_floor, _NMS_TOP_K, export.max_detections, export.nms_iou, True, 1.0, -1
        )
        return found, count, index

    return nms


def _convert(network: Any, batch: int, settings: PeerSettings, folder: Path) -> bytes:
    import paddle2onnx

    from ..distill.paddle_import import paddle

    spec = paddle.static.InputSpec
    image = spec([batch, 3, settings.height, settings.width], "float32", "image")
    path = folder / f"model-{batch}"
    with paddle.no_grad():
        paddle.jit.save(network, str(path), input_spec=[image, spec([batch, 2], "float32", "scale_factor")])
    model, weights = path.with_suffix(".json"), path.with_suffix(".pdiparams")
    content = paddle2onnx.export(
        str(model), str(weights), None, opset_version=_OPSET, verbose=False, optimize_tool="None"
    )
    return bytes(content)


def _export_apart(run: Path, model: str, folder: Path) -> dict[int, str | None]:
    """:func:`export_peer` in a process of its own."""
    command = [sys.executable, "-m", _MODULE, str(run), "--model", model, "--export-to", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    outcome = folder / "outcome.json"
    if done.returncode or not outcome.exists():
        said = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise TemperError(f"PaddleDetection's export of {run} failed: {said}")
    content: Mapping[str, str | None] = json.loads(outcome.read_text(encoding="utf-8"))
    return {int(batch): fault for batch, fault in content.items()}


def compare(run: Path, model: str, rounds: int, calls: int, threads: int | None) -> Result:
    """Export a run's model as PaddleDetection does and measure it beside the bundle of the run.

    Args:
        run: a run's folder, its model exported.
        model: ``teacher``, ``student`` or ``distilled``.
        rounds: turns of every side.
        calls: counted in a turn, after one that is not.
        threads: of ONNX Runtime; None lets it choose.

    Raises:
        TemperError: if something of the run is missing, or the export at batch 1 fails.
    """
    from ..detection.dataset import load_split

    bundles = sorted((run / f"export-{model}").glob("*.temper"))
    if not bundles:
        raise UsageError(f"{run} has no bundle of its {model}: export it first with 'temper export onnx'.")
    with tempfile.TemporaryDirectory(prefix="temper-peer-export-") as work:
        faults = _export_apart(run, model, Path(work))
        if faults[BATCHES[0]] is not None:
            raise TemperError(f"PaddleDetection's export of {run} gave no graph: {faults[BATCHES[0]]}.")
        data = load_split(run / "data" / "set", "val")
        graphs = {batch: fault or Path(work) / f"peer-{batch}.onnx" for batch, fault in faults.items()}
        return measure(bundles[0], graphs, _settings(run), data, rounds, calls, threads)


@click.command(help=__doc__.split("\n\n")[0])
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", type=click.Choice(["teacher", "student", "distilled"]), default="student", show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True, help="Turns of every side.")
@click.option("--calls", type=click.IntRange(1), default=20, show_default=True, help="Calls in a turn.")
@click.option("--threads", type=click.IntRange(1), help="Of ONNX Runtime.  [default: it chooses]")
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="File for all figures.")
@click.option("--export-to", type=click.Path(file_okay=False, path_type=Path), hidden=True)
def main(
    run: Path, model: str, rounds: int, calls: int, threads: int | None, out: Path | None, export_to: Path | None
) -> None:
    """Measure and tell; see the head of the file."""
    from ..core.files import write_json
    from .machine import machine_state, machine_warnings

    try:
        if export_to is not None:
            write_json(export_to / "outcome.json", export_peer(run, model, export_to))
            return
        state = machine_state()
        for warning in machine_warnings(state):
            click.echo(f"warning: {warning}", err=True)
        result = compare(run, model, rounds, calls, threads)
    except TemperError as error:
        raise click.ClickException(str(error)) from error
    click.echo(markdown(result))
    if out is not None:
        write_json(out, {**asdict(result), "model": model, "machine": asdict(state)})


if __name__ == "__main__":
    main()
