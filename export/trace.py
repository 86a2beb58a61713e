"""From a detector in Paddle to its network as ONNX: the only place in ``export`` that needs Paddle loaded."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from ..core.errors import MissingDependencyError, TemperError
from ..core.files import PARTIAL_SUFFIX, explain_os_errors
from ..core.interruption import held_back
from .names import layer_path, mark_layers
from .onnx_build import OPSET
from .quiet import last_line, one_line, quiet

if TYPE_CHECKING:
    from ..distill.detectors.base import Detector


@contextlib.contextmanager
def paddle_on_cpu() -> Iterator[None]:
    """Compare on the processor: a GPU's faster number formats would be taken for faults of the graph."""
    from ..distill.paddle_import import paddle

    device = paddle.device.get_device()
    paddle.device.set_device("cpu")
    try:
        yield
    finally:
        paddle.device.set_device(device)


def trace_network(detector: Detector, size: tuple[int, int] | None, workplace: Path | None = None) -> onnx.ModelProto:
    """Write a detector's network as ONNX, in evaluation mode and with every batch norm folded into its convolution.

    Args:
        detector: with the weights to export; it is left in the mode it was in.
        size: width and height of the network's input in pixels; None leaves both open, for detectors that can.
        workplace: folder for what the libraries write on the way; the system's temporary folder by default.

    Returns:
        Normalised pictures ``image`` float32 [B, 3, H, W] -> ``scores`` [B, A, classes], ``regressions`` [B, A, 4].

    Raises:
        MissingDependencyError: if paddle2onnx is not installed.
        TemperError: if Paddle or paddle2onnx cannot write the network, or the disk is full.
    """
    was_training = detector.training
    detector.eval()
    said = None
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".trace.", suffix=PARTIAL_SUFFIX, dir=workplace) as folder,
            explain_os_errors(Path(folder)),
            quiet() as said,
            held_back(),  # both libraries call back into Python from C++ and make errors of an interruption
        ):
            return _simplify(_convert(detector, size, Path(folder)))
    except (TemperError, KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:  # both libraries have no classes of their own for what they cannot do
        reason = last_line(said()) if said is not None else ""
        raise TemperError(
            f"The detector could not be written as ONNX: {type(error).__name__}: {one_line(error)} "
            f"(last words: {reason}). "
            "Check with 'temper doctor' that paddlepaddle and paddle2onnx have the versions Temper asks for."
        ) from error
    finally:
        if was_training:
            detector.train()


def _convert(detector: Detector, size: tuple[int, int] | None, folder: Path) -> onnx.ModelProto:
    from ..distill.paddle_import import paddle

    try:
        import paddle2onnx
    except ImportError as error:
        raise MissingDependencyError(
            f"Export needs paddle2onnx, which does not load here ({error}). "
            "'make install' in a clone of Temper installs it."
        ) from error

    layer: Any = paddle.nn.Layer

    class Network(layer):
        def __init__(self) -> None:
            super().__init__()
            self.detector = detector.for_deployment()

        # to_static wants a first parameter called self
        def forward(self, image: Any) -> Any:
            return self.detector.raw_predictions(self.detector.neck_features(image))

    width, height = size or (None, None)
    network = Network()
    network.eval()
    spec = paddle.static.InputSpec([None, 3, height, width], "float32", "image")
    with paddle.no_grad():
        paddle.jit.save(network, str(folder / "network"), input_spec=[spec])
    # Paddle says nothing when the disk fills up under it; a last file of our own does
    (folder / "room").write_bytes(bytes(1 << 16))
    # without a file to save to, paddle2onnx gives the bytes and leaves out its own optimiser, which would call pip
    content = paddle2onnx.export(
        str(folder / "network.json"),
        str(folder / "network.pdiparams"),
        None,
        opset_version=OPSET,
        auto_upgrade_opset=False,
        verbose=False,
        optimize_tool="None",
    )
    converted = onnx.load_model_from_string(content)
    parameters = [*network.named_parameters(), *network.named_buffers()]
    mark_layers(converted, {value.name: layer_path(name.removeprefix("detector.")) for name, value in parameters})
    return converted


def _simplify(network: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constants and batch norms, drop what does nothing, and give the ends their names."""
    import onnxslim

    slim = onnxslim.slim(network)
    renamed = {slim.graph.output[0].name: "scores", slim.graph.output[1].name: "regressions"}
    for node in slim.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for output in slim.graph.output:
        output.name = renamed[output.name]
        output.type.tensor_type.shape.dim[0].dim_param = "batch"
    slim.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    del slim.graph.value_info[:]
    onnx.checker.check_model(slim, full_check=True)
    return slim
