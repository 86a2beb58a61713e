"""The int8 form of a model: ranges chosen, judged, and mended layer by layer until it holds the accuracy budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx

from ..bundle.manifest import CalibrationMethod, Compared, LeftOut, Quantization, TradeOff
from ..core.files import write_bytes
from .calibrate import METHODS, Ranges, measure_ranges
from .calibration_set import CalibrationSet, choose_calibration
from .evaluate import evenly_spaced
from .job import Exported
from .judge import Judge
from .latency import median_latencies_ms
from .quantize import ACTIVATIONS, TARGETS, WEIGHT_BITS, Flavour, activations, cut_scores, quantisable, quantize
from .sensitivity import layer_noise
from .stem import for_processors

#: What the recipe's ``export.precisions`` calls the flavours.
KINDS: dict[str, Flavour] = {"int8": "cpu", "int8-trt": "tensorrt"}
#: Training pictures that the ways of choosing ranges are compared on.
COMPARED_IMAGES = 128
#: Pictures that show how much noise a layer brings.
NOISE_IMAGES = 4
#: Share of the layers that may stay in floating point; with more, int8 is not worth its name.
MOST_KEPT = 0.5


@dataclass(frozen=True)
class Measured:
    """What quantising needs, the same for both flavours.

    Attributes:
        graphs: the fp32 graph as each flavour likes it.
        ranges: by every method asked for.
        fixed: ranges that are known, by flavour.
        chosen: the pictures they were measured on.
    """

    graphs: dict[Flavour, onnx.ModelProto]
    ranges: dict[CalibrationMethod, Ranges]
    fixed: dict[Flavour, Ranges]
    chosen: CalibrationSet


def measure(judge: Judge, fp32: Exported) -> Measured:
    """Choose the pictures, tell what is wrong with them, and measure every activation on them."""
    job = judge.job
    others = [split for split in (job.validation, job.test) if split is not None]
    chosen = choose_calibration(job.calibration, others, job.export.calibration_images)
    for warning in chosen.warnings:
        judge.warn(f"{job.name}: {warning}")
    plain = onnx.load(str(fp32.graph))
    # it has every tensor of the plain graph, and perhaps one more
    for_cpu, pixels = for_processors(plain)
    tensors = list(dict.fromkeys([*activations(for_cpu), *activations(plain)]))
    methods = METHODS if job.export.calibration == "auto" else (job.export.calibration,)
    judge.note(f"{judge.title('int8')}: measuring ranges on {len(chosen.rows)} training pictures")
    ranges = measure_ranges(
        for_cpu,
        tensors,
        [partial(judge.calibration.image, row) for row in chosen.rows],
        methods,
        judge.progress("ranges"),
    )
    return Measured({"cpu": for_cpu, "tensorrt": plain}, ranges, {"cpu": pixels, "tensorrt": {}}, chosen)


def export_int8(judge: Judge, fp32: Exported, kind: str, measured: Measured, folder: Path) -> Exported | LeftOut:
    """Quantise and judge; layers that cost too much stay in floating point.

    Args:
        judge: of the graphs' size.
        fp32: the graph to quantise.
        kind: one of :data:`KINDS`.
        measured: on the training pictures.
        folder: for graphs in the making.

    Returns:
        The graph, or why there is none.
    """
    return _Int8(judge, fp32, kind, measured, folder).export()


class _Int8:
    def __init__(self, judge: Judge, fp32: Exported, kind: str, measured: Measured, folder: Path) -> None:
        self.judge, self.fp32, self.kind, self.measured, self.folder = judge, fp32, kind, measured, folder
        self.flavour = KINDS[kind]
        self.model = measured.graphs[self.flavour]
        self.layers = quantisable(self.model, self.flavour)
        self.method: CalibrationMethod = "min_max"
        self.tried: dict[int, Exported] = {}

    def export(self) -> Exported | LeftOut:
        compared = self._choose_method()
        self.tried[0] = self._judge(())
        fault = self.judge.over_budget(self.tried[0], self.fp32)
        kept: Sequence[str] = ()
        if fault is not None:
            self.judge.note(f"{self.judge.title(self.kind)}: {fault}; looking for the layers that cost most")
            kept, fault = self._mend(fault)
        record = Quantization(
            activations=ACTIVATIONS[self.flavour],
            weight_bits=WEIGHT_BITS[self.flavour],
            method=self.method,
            images=len(self.measured.chosen.rows),
            compared=compared,
            compared_images=len(self._compared_rows()) if compared else 0,
            warnings=self.measured.chosen.warnings,
            **self._curve(),
        )
        if fault is not None:
            reason = f"{fault}, with up to {max(self.tried)} of {len(self.layers)} layers in floating point"
            return LeftOut(name=self.kind, reason=reason, quantization=record)
        return self.tried[len(kept)].with_record(tuple(kept), record)

    def _choose_method(self) -> list[Compared]:
        """The method with the best mAP on training pictures; of equals the first."""
        methods = list(self.measured.ranges)
        self.method = methods[0]
        if len(methods) == 1:
            return []
        compared = []
        for method in methods:
            self.method = method
            ap = self.judge.training_map(
                self._write(f"{method}", ()), self._compared_rows(), f"{self.kind} with ranges by {method}"
            )
            compared.append(Compared(method=method, ap=ap))
        best = max(compared, key=lambda one: -1.0 if one.ap is None else one.ap)
        self.method = best.method
        told = ", ".join(f"{one.method} {'None' if one.ap is None else f'{one.ap:.2f}'}" for one in compared)
        self.judge.note(
            f"{self.judge.title(self.kind)}: mAP on training pictures by {told}; ranges by {self.method} are kept"
        )
        return compared

    def _mend(self, fault: str) -> tuple[Sequence[str], str | None]:
        """Leave more and more of the layers that bring most noise in floating point, then as few as will do."""
        images = np.stack([self.judge.calibration.image(row) for row in self._noise_rows()])
        noise = layer_noise(self.model, self._ranges(), self.flavour, images, self.judge.progress("layers"))
        order = list(noise)
        most = int(len(order) * MOST_KEPT)
        failed, holds, still = 0, 0, fault
        for count in [*(2**power for power in range(most.bit_length()) if 2**power < most), most]:
            found = self._try(order[:count])
            if found is None:
                holds = count
                break
            failed, still = count, found
        if not holds:
            return (), still
        while holds - failed > 1:
            middle = (failed + holds) // 2
            if self._try(order[:middle]) is None:
                holds = middle
            else:
                failed = middle
        return order[:holds], None

    def _try(self, kept: Sequence[str]) -> str | None:
        """Judge with some layers in floating point; what of the budget it exceeds, None if it holds."""
        self.tried[len(kept)] = self._judge(kept)
        return self.judge.over_budget(self.tried[len(kept)], self.fp32)

    def _judge(self, kept: Sequence[str]) -> Exported:
        graph = self._write(str(len(kept)), kept)
        return self.judge.judge(self.kind, "int8", TARGETS[self.flavour], graph)

    def _write(self, name: str, kept: Sequence[str]) -> Path:
        path = self.folder / f"{self.kind}-{name}.onnx"
        write_bytes(path, quantize(self.model, self._ranges(), self.flavour, kept).SerializeToString())
        return path

    def _ranges(self) -> Ranges:
        ranges = self.measured.ranges[self.method] | self.measured.fixed[self.flavour]
        if self.flavour == "tensorrt":
            return ranges
        return cut_scores(self.model, ranges, self.judge.settings.score_floor)

    def _curve(self) -> dict[str, object]:
        """The trade-off, where layers were left in floating point; latencies where this machine is a measure."""
        if len(self.tried) < 2:
            return {}
        counts = sorted(self.tried)
        latencies: list[float | None] = [None] * (1 + len(counts))
        if self.flavour == "cpu":
            graphs = [self.fp32.graph, *(self.tried[count].graph for count in counts)]
            latencies = [*median_latencies_ms(graphs, self.judge.validation.image(0))]
        points = [
            TradeOff(
                kept_float=count,
                ap=self.tried[count].accuracy.ap,
                ap_small=self.tried[count].accuracy.ap_small,
                latency_ms=latency,
            )
            for count, latency in zip(counts, latencies[1:], strict=True)
        ]
        told = "; ".join(
            f"{point.kept_float} in floating point: mAP {point.ap:.2f}"
            + (f" in {point.latency_ms:.1f} ms" if point.latency_ms is not None else "")
            for point in points
            if point.ap is not None
        )
        self.judge.note(f"{self.judge.title(self.kind)}: {told}")
        return {"trade_off": points, "fp32_latency_ms": latencies[0]}

    def _compared_rows(self) -> list[int]:
        return evenly_spaced(len(self.judge.job.calibration), COMPARED_IMAGES)

    def _noise_rows(self) -> list[int]:
        rows = self.measured.chosen.rows
        return [rows[position] for position in evenly_spaced(len(rows), NOISE_IMAGES)]
