"""The state of the machine that measures, and what in it spoils a measurement."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil

from ..core.emulation import is_emulated
from ..core.errors import TemperError
from .accelerators import gpu_states, power_mode
from .measurement import MachineState

#: Instructions that decide how fast int8 and fp32 networks run on x86 and ARM.
CPU_FEATURES = (
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "neon",
    "asimd",
    "asimddp",
    "asimdhp",
    "i8mm",
    "bf16",
    "sve",
)
PACKAGES = (
    "temper",
    "numpy",
    "opencv-python-headless",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "cuda-python",
    "faster-coco-eval",
    "mlcommons-loadgen",
)

#: Shares of the usable cores above which somebody else's work is worth a warning.
OTHER_LOAD_LIMIT = 0.10
STEAL_LIMIT = 0.01
#: So much of one core is worth it, too, however many there are: one program that keeps a core busy.
BUSY_CORE = 0.7

#: Why a benchmark here has no durations.
EMULATED = (
    "The processor is emulated, so neither latency nor memory is reported: how long an emulator takes and what it "
    "keeps say nothing of the device; measure them on the device itself."
)


def machine_state(sample_seconds: float = 0.5) -> MachineState:
    """The machine as it is now.

    Args:
        sample_seconds: how long other programs' load is watched; the caller should do nothing meanwhile.

    Raises:
        TemperError: if ``/proc`` is not mounted.
    """
    _require_proc()
    busy = _busy_share(sample_seconds) if sample_seconds > 0 else None
    memory = psutil.virtual_memory()
    cpu, emulated = _cpu_info(), is_emulated()
    if emulated:
        # what /proc and /sys tell is the host's
        cpu = _CpuInfo(f"emulated {platform.machine()}", frozenset())
    return MachineState(
        taken_at=now(),
        cpu_model=cpu.model,
        architecture=platform.machine(),
        logical_cores=psutil.cpu_count(logical=True),
        physical_cores=psutil.cpu_count(logical=False),
        usable_cores=usable_cores(),
        cpu_quota_cores=_cpu_quota(),
        cpu_features=tuple(name for name in CPU_FEATURES if name in cpu.flags),
        governor=None if emulated else _read(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        frequency_mhz=None if emulated else _frequency_mhz(),
        virtual_machine=("hypervisor" in cpu.flags) if cpu.flags else None,
        memory_mib=memory.total / 2**20,
        memory_available_mib=memory.available / 2**20,
        memory_limit_mib=_memory_limit_mib(),
        load_average=_load_average(),
        other_cpu_share=busy,
        system=_system_name(),
        kernel=platform.release(),
        python=platform.python_version(),
        packages=_package_versions(),
        emulated=emulated,
        gpus=() if emulated else gpu_states(),
        visible_gpus=os.environ.get("CUDA_VISIBLE_DEVICES"),
        power_mode=None if emulated else power_mode(),
    )


def _require_proc() -> None:
    """Refuse a Linux without ``/proc``, as in a root file system that was only changed into."""
    if platform.system() == "Linux" and not Path("/proc/meminfo").exists():
        raise TemperError(
            "/proc is not mounted here, so nothing is known of this machine; mount it with 'mount -t proc proc /proc'."
        )


def now() -> str:
    """The present moment, UTC, to the second, in ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def usable_cores() -> int:
    """Logical cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class OutsideLoad:
    """What others did with the cores this process may use over a stretch of time, as shares of them from 0 to 1."""

    other_share: float
    steal_share: float


class LoadWatch:
    """Tells the work of other programs from one's own over a stretch of time.

    Example:
        >>> watch = LoadWatch()
        >>> watch.finish(own_seconds=0.0).other_share >= 0
        True
    """

    def __init__(self) -> None:
        self._start = _core_times()

    def finish(self, own_seconds: float) -> OutsideLoad:
        """The load since construction.

        Args:
            own_seconds: processor seconds that one's own processes used in that time.
        """
        total = idle = steal = 0.0
        for before, after in zip(self._start, _core_times(), strict=False):
            spent = {name: float(getattr(after, name) - getattr(before, name)) for name in after._fields}
            # guest time is part of user time, and a core that waits for a disk is idle
            total += sum(spent.values()) - spent.get("guest", 0.0) - spent.get("guest_nice", 0.0)
            idle += spent["idle"] + spent.get("iowait", 0.0)
            steal += spent.get("steal", 0.0)
        if total <= 0:
            return OutsideLoad(0.0, 0.0)
        other = total - idle - steal - own_seconds
        return OutsideLoad(min(1.0, max(0.0, other / total)), min(1.0, max(0.0, steal / total)))


def _core_times() -> list[Any]:
    """The times of each core that this process may use; of all where their numbers are not the system's."""
    times = psutil.cpu_times(percpu=True)
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(len(times)))
    # a container may be shown its own cores alone, counted from 0, and be bound to the host's numbers
    return [times[core] for core in mine] if mine and mine[-1] < len(times) else list(times)


def _busy_share(seconds: float) -> float:
    """The share of the usable cores that was busy during so many seconds from now."""
    watch = LoadWatch()
    time.sleep(seconds)
    load = watch.finish(0.0)
    return load.other_share + load.steal_share


def _of_cores(share: float, cores: int) -> str:
    return f"{share:.0%} of the processors ({share * cores:.1f} of {cores} cores)"


def _is_busy(share: float, cores: int) -> bool:
    return share > OTHER_LOAD_LIMIT or share * cores > BUSY_CORE


def machine_warnings(state: MachineState, outside: OutsideLoad | None = None) -> list[str]:
    """What spoils a measurement on this machine, a sentence each, with what mends it.

    Args:
        state: taken before measuring.
        outside: the load of others while measuring, if it was watched.
    """
    if state.emulated:
        return [EMULATED]  # the others speak of durations, of which there are none
    found = []
    if state.governor is not None and state.governor != "performance":
        found.append(
            f"The processor's governor is '{state.governor}', so its clock follows the load; "
            "'sudo cpupower frequency-set -g performance' pins it."
        )
    if state.other_cpu_share is not None and _is_busy(state.other_cpu_share, state.usable_cores):
        found.append(
            f"Other programs used {_of_cores(state.other_cpu_share, state.usable_cores)} before the measurement began; "
            "stop them ('top' names them) and measure again."
        )
    if outside is not None and _is_busy(outside.other_share, state.usable_cores):
        found.append(
            f"Other programs used {_of_cores(outside.other_share, state.usable_cores)} while this was measured, so "
            "latencies are longer than on a quiet machine; stop them ('top' names them) and measure again."
        )
    if outside is not None and outside.steal_share > STEAL_LIMIT:
        found.append(
            f"The host of this virtual machine took {outside.steal_share:.0%} of the processor time for others; "
            "measure on a machine of its own."
        )
    if state.cpu_quota_cores is not None and state.cpu_quota_cores < state.usable_cores:
        found.append(
            f"The container may use {state.cpu_quota_cores:g} of {state.usable_cores} cores, and is paused when it "
            "has used them up; raise its CPU quota, or set --threads to no more than the quota."
        )
    return found


@dataclass(frozen=True)
class _CpuInfo:
    model: str | None
    flags: frozenset[str]


def _cpu_info() -> _CpuInfo:
    fields: dict[str, str] = {}
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    # x86 writes "model name" and "flags", ARM "features" and, on boards, the model in the device tree
    board = (_read(Path("/proc/device-tree/model")) or "").rstrip("\0")
    model = fields.get("model name") or board or platform.processor() or None
    return _CpuInfo(model, frozenset((fields.get("flags") or fields.get("features") or "").split()))


def _frequency_mhz() -> float | None:
    try:
        frequency = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):
        return None
    return float(frequency.current) if frequency and frequency.current else None


def _load_average() -> tuple[float, float, float] | None:
    try:
        return psutil.getloadavg()
    except OSError:
        return None


def _cpu_quota() -> float | None:
    """Cores that the control group allows, or None without a limit (cgroup v2, then v1)."""
    second_version = (_read(Path("/sys/fs/cgroup/cpu.max")) or "").split()
    if len(second_version) == 2 and second_version[0] != "max":
        return int(second_version[0]) / int(second_version[1])
    quota = _read(Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))
    period = _read(Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us"))
    if quota and period and int(quota) > 0:
        return int(quota) / int(period)
    return None


def _memory_limit_mib() -> float | None:
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(Path(path))
        # version 1 writes "no limit" as a number larger than any memory
        if text and text.isdigit() and int(text) < psutil.virtual_memory().total:
            return int(text) / 2**20
    return None


def _system_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _package_versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None
