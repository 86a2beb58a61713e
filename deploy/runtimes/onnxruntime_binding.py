"""ONNX Runtime on a GPU with its copies told apart from its computing, by IO binding.

``InferenceSession.run`` takes arrays of the host and gives such, so its copies are somewhere inside it. Here the input
lies in memory of the GPU that stays the same from call to call, and the outputs are left there until they are copied.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bundle.graph_file import OnnxFile
from ...bundle.manifest import Precision
from ..stages import StageTimes, timed
from .base import RawOutput
from .onnxruntime import OUTPUTS, OnnxRuntime, import_onnxruntime

#: Which of the GPUs (as in ``onnxruntime_providers``).
_DEVICE_ID = 0


class BoundOnnxRuntime(OnnxRuntime):
    """One ONNX file in a session of a GPU's provider; see :class:`~.onnxruntime.OnnxRuntime`.

    Attributes:
        device: what ONNX Runtime calls the device whose memory holds inputs and outputs.
    """

    device = "cuda"

    def __init__(
        self,
        graph: OnnxFile,
        threads: int | None = None,
        name: str = "onnxruntime-cuda",
        precision: Precision = "fp32",
        timing_cache: Path | None = None,
    ) -> None:
        super().__init__(graph, threads, name, precision, timing_cache)
        self._values: Any = import_onnxruntime().OrtValue
        self._input: Any = None
        self._shape: tuple[int, ...] = ()

    def infer_staged(self, images: NDArray[np.uint8], times: StageTimes) -> RawOutput:
        """Run the graph; see :class:`~.base.Staged`.

        Every stage ends when the GPU has finished it.
        """
        with self.explained():
            binding = self._session.io_binding()
            with timed(times, "host_to_device"):
                self._upload(np.ascontiguousarray(images))
                binding.bind_ortvalue_input("image", self._input)
                binding.synchronize_inputs()
            for name in OUTPUTS:
                binding.bind_output(name, self.device, _DEVICE_ID)
            with timed(times, "compute"):
                self._session.run_with_iobinding(binding)
                binding.synchronize_outputs()
            with timed(times, "device_to_host"):
                boxes, scores, labels, count = binding.copy_outputs_to_cpu()
        return RawOutput(boxes, scores, labels, count)

    def close(self) -> None:
        """Free the session and its memory on the GPU."""
        self._input = None
        super().close()

    def _upload(self, images: NDArray[np.uint8]) -> None:
        """Copy pictures into the GPU's memory, which is kept for as long as their shape is the same."""
        if images.shape == self._shape:
            self._input.update_inplace(images)
        else:
            self._input = self._values.ortvalue_from_numpy(images, self.device, _DEVICE_ID)
            self._shape = images.shape
