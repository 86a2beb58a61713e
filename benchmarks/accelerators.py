"""The GPUs of a machine and its power mode, for the record of what a benchmark ran on."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .subject import STRICT

#: What nvidia-smi is asked, in the order of :class:`GpuState`. It comes with every driver; a binding need not be there.
_QUERY = "name,driver_version,memory.total,clocks.sm,clocks.max.sm,power.limit"
_ANSWER_SECONDS = 20.0
#: A Jetson's GPU is no PCI device: its clock is that of a devfreq device with such a name (Orin, Xavier, Nano).
_JETSON_GPU = re.compile(r"\.(gpu|ga10b|gv11b|gp10b|gm20b)$|^gpu")


@dataclass(frozen=True)
class GpuState:
    """A GPU as it was at one moment; None where it does not tell.

    Attributes:
        name: of the product.
        driver: its version; of a Jetson that of its Linux (L4T).
        memory_mib: of its own; None where it shares the machine's.
        clock_mhz: of its processors at that moment.
        max_clock_mhz: the highest that its settings allow.
        power_limit_w: what it may draw.
    """

    __pydantic_config__ = STRICT

    name: str
    driver: str | None = None
    memory_mib: float | None = None
    clock_mhz: float | None = None
    max_clock_mhz: float | None = None
    power_limit_w: float | None = None


def gpu_states(root: Path = Path("/")) -> tuple[GpuState, ...]:
    """The GPUs of this machine: NVIDIA's, as ``nvidia-smi`` lists them, or a Jetson's own.

    Args:
        root: of the file system, for a Jetson's.
    """
    jetson = _jetson_gpu(root)
    # nvidia-smi of a Jetson knows its GPU's name at most
    return (jetson,) if jetson is not None else _listed_gpus()


def power_mode(root: Path = Path("/")) -> str | None:
    """The power mode that the machine is set to: a Jetson's (nvpmodel), or the firmware's platform profile.

    Args:
        root: of the file system.
    """
    models = _read(root / "etc/nvpmodel.conf") or ""
    names = dict(re.findall(r"POWER_MODEL\s+ID=(\d+)\s+NAME=([^\s>]+)", models))
    if names:
        chosen = re.search(r"pmode:(\d+)", _read(root / "var/lib/nvpmodel/status") or "")
        default = re.search(r"PM_CONFIG\s+DEFAULT=(\d+)", models)
        found = chosen or default
        return None if found is None else names.get(str(int(found[1])), f"mode {int(found[1])}")
    return _read(root / "sys/firmware/acpi/platform_profile")


def _listed_gpus() -> tuple[GpuState, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    command = [program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()  # it is there without a driver, or without a GPU
    rows = [row for row in csv.reader(answer.stdout.splitlines(), skipinitialspace=True) if len(row) == 6]
    return tuple(GpuState(name, driver, *map(_number, rest)) for name, driver, *rest in rows)


def _jetson_gpu(root: Path) -> GpuState | None:
    release = _read(root / "etc/nv_tegra_release")
    if release is None:
        return None
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", release)
    folder = root / "sys/class/devfreq"
    devices = sorted(folder.iterdir()) if folder.is_dir() else []
    clocks = next((device for device in devices if _JETSON_GPU.search(device.name)), None)
    board = (_read(root / "proc/device-tree/model") or "Jetson").rstrip("\0")
    return GpuState(
        f"GPU of the {board}",
        f"L4T {found[1]}.{found[2]}" if found else None,
        clock_mhz=None if clocks is None else _megahertz(clocks / "cur_freq"),
        max_clock_mhz=None if clocks is None else _megahertz(clocks / "max_freq"),
    )


def _megahertz(path: Path) -> float | None:
    hertz = _number(_read(path) or "")
    return None if hertz is None else hertz / 1e6


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # "[N/A]", "[Not Supported]"
        return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None
