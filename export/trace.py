"""From a detector in Paddle to its network as ONNX: the only place in ``export`` that needs Paddle loaded."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..core.errors import MissingDependencyError, TemperError
from ..core.files import PARTIAL_SUFFIX, explain_os_errors
from ..core.interruption import held_back
from .names import layer_path, mark_layers
from .onnx_build import FEATURES, OPSET
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
        Normalised pictures ``image`` float32 [B, 3, H, W] -> ``scores`` [B, A, classes], ``regressions`` [B, A, 4]. Its
        tensors that are what backbone and neck give are called as in :func:`paddle_features`.

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
            return _simplify(_convert(detector, size, Path(folder)), detector.strides)
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
            features = self.detector.neck_features(image)
            scores, regressions = self.detector.raw_predictions(features)
            return scores, regressions, features, backbone[-1]

    width, height = size or (None, None)
    network = Network()
    network.eval()
    spec = paddle.static.InputSpec([None, 3, height, width], "float32", "image")
    with paddle.no_grad(), _backbone_levels(network.detector) as backbone:
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


def paddle_features(detector: Detector, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What backbone and neck of a detector give in Paddle, by the names that the traced network's tensors have.

    Args:
        detector: it is run in evaluation mode, and left in the mode it was in.
        images: float32 [B, 3, H, W] or, of one channel, [B, 1, H, W], normalised.

    Returns:
        float32 [B, C, h, w] each, in the order of the computation.
    """
    from ..distill.paddle_import import paddle

    was_training = detector.training
    detector.eval()
    with paddle.no_grad(), _backbone_levels(detector) as backbone:
        neck = [level.numpy() for level in detector.neck_features(paddle.to_tensor(images))]
    if was_training:
        detector.train()
    levels = [level.numpy() for level in backbone[-1]]
    neck_names, backbone_names = _feature_names(detector.strides, len(levels))
    return dict(zip(backbone_names, levels, strict=True)) | dict(zip(neck_names, neck, strict=True))


@contextlib.contextmanager
def _backbone_levels(detector: Any) -> Iterator[list[list[Any]]]:
    """A list that gets what the backbone gives, as a list of levels, at every pass."""
    seen: list[list[Any]] = []

    def keep(layer: Any, given: Any, levels: Any) -> None:
        seen.append(list(levels))

    hook = detector.backbone.register_forward_post_hook(keep)
    try:
        yield seen
    finally:
        hook.remove()


def _feature_names(strides: Sequence[int], backbone_levels: int) -> tuple[list[str], list[str]]:
    """Names for the levels of neck and backbone."""
    return (
        [f"{FEATURES}/neck_stride_{stride}" for stride in strides],
        [f"{FEATURES}/backbone_level_{number}" for number in range(1, backbone_levels + 1)],
    )


def _simplify(network: onnx.ModelProto, strides: Sequence[int]) -> onnx.ModelProto:
    """Fold constants and batch norms, drop what does nothing, and give ends and features their names."""
    import onnxslim

    slim = onnxslim.slim(network)
    neck, backbone = _feature_names(strides, len(slim.graph.output) - 2 - len(strides))
    names = ["scores", "regressions", *neck, *backbone]
    # a level that is passed on as it is has the name it got first
    renamed = {output.name: name for output, name in reversed(list(zip(slim.graph.output, names, strict=True)))}
    for node in slim.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    del slim.graph.output[2:]
    for output in slim.graph.output:
        output.name = renamed[output.name]
        output.type.tensor_type.shape.dim[0].dim_param = "batch"
    slim.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    del slim.graph.value_info[:]
    onnx.checker.check_model(slim, full_check=True)
    return slim
