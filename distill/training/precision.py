"""Mixed precision: convolutions in bfloat16 or float16 on a GPU, weights, losses and updates in float32 (Paddle's O1).

Micikevicius et al., "Mixed Precision Training", ICLR 2018 (arXiv 1710.03740).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...core.errors import TemperError
from ..paddle_import import paddle

if TYPE_CHECKING:
    from ..weights import Weights

PrecisionName = Literal["fp32", "amp_bf16", "amp_fp16"]

_DTYPES = {"amp_bf16": "bfloat16", "amp_fp16": "float16"}
#: What changes in a scaler on the way.
_SCALER_STATE = ("scale", "incr_count", "decr_count")
#: So many updates in a row that float16 could not hold are no accident any more.
MOST_SKIPPED_IN_A_ROW = 20


def require_precision(name: PrecisionName) -> None:
    """Refuse a precision that the device Paddle computes on does not have.

    Raises:
        TemperError: if so; Paddle itself would silently compute in float32.
    """
    if name == "fp32":
        return
    if not paddle.get_device().startswith("gpu"):
        raise TemperError(
            f"training.precision is {name}, and Paddle mixes precisions on GPUs only. Set training.precision: fp32, or "
            "device: gpu."
        )
    supported = paddle.amp.is_bfloat16_supported() if name == "amp_bf16" else paddle.amp.is_float16_supported()
    if not supported:
        other = " or amp_fp16" if name == "amp_bf16" and paddle.amp.is_float16_supported() else ""
        raise TemperError(f"This GPU does not compute in {_DTYPES[name]}. Set training.precision: fp32{other}.")


class Precision:
    """How a training step computes. In float16, small gradients vanish, so the loss is scaled up before they are
    taken; the scale adapts by itself and is part of a checkpoint."""

    def __init__(self, name: PrecisionName) -> None:
        self.name = name
        self.scaler = paddle.amp.GradScaler(init_loss_scaling=2.0**16) if name == "amp_fp16" else None
        self._skipped = 0

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The forward pass belongs inside, the detector's own losses do not."""
        if self.name == "fp32":
            return contextlib.nullcontext()
        return paddle.amp.auto_cast(level="O1", dtype=_DTYPES[self.name])

    def backward(self, loss: paddle.Tensor) -> None:
        """Leave the gradients of a loss, scaled up if need be, with the parameters."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def unscale(self, optimizer: paddle.optimizer.Optimizer) -> None:
        """Bring the gradients back to their true size, for clipping."""
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)

    def update(self, optimizer: paddle.optimizer.Optimizer, *, finite: bool) -> bool:
        """Move the weights.

        Args:
            optimizer: of the training.
            finite: whether the gradients are.

        Returns:
            False if the gradients are no longer of any use: always where nothing was scaled, after some patience
            where a smaller scale may yet help. The weights are then as they were.
        """
        if self.scaler is None:
            if finite:
                optimizer.step()
            return finite
        # leaves the weights alone when the gradients are not finite, and scales less from then on
        self.scaler.step(optimizer)
        self.scaler.update()
        self._skipped = 0 if finite else self._skipped + 1
        return self._skipped < MOST_SKIPPED_IN_A_ROW

    def state(self) -> Weights:
        """What a checkpoint keeps; empty but in float16."""
        if self.scaler is None:
            return {}
        full = self.scaler.state_dict()
        kept = {name: np.asarray(full[name], np.float64).reshape(-1) for name in _SCALER_STATE}
        return kept | {"skipped": np.array([self._skipped], np.float64)}

    def restore(self, state: Weights) -> None:
        """Take over what :meth:`state` gave."""
        if self.scaler is None:
            return
        counts = {name: int(state[name][0]) for name in _SCALER_STATE[1:]}
        scale = np.asarray(state["scale"], np.float32)
        self.scaler.load_state_dict({**self.scaler.state_dict(), **counts, "scale": scale})
        self._skipped = int(state["skipped"][0])


def in_float32(value: Any) -> Any:
    """Head outputs, or whatever tensors are in ``extra``, with every floating tensor in float32, for the losses."""
    if isinstance(value, paddle.Tensor):
        return value.astype("float32") if value.is_floating_point() and value.dtype != paddle.float32 else value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(in_float32(part) for part in value))
    if isinstance(value, dict):
        return {name: in_float32(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(in_float32(part) for part in value)
    return value
