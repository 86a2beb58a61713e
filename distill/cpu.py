"""Settings that make Paddle fast on this machine's processor. They count only before Paddle is loaded.

Paddle's bundled math library (MKL 2019) takes a slow path on processors not made by Intel, and Paddle
runs on one thread unless told otherwise; both together cost a factor of two to four.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from .launched import launched_here


@dataclass(frozen=True)
class CpuSettings:
    """What was set.

    Attributes:
        threads: worker threads of one training process.
        mkl_cpu_type: value of ``MKL_DEBUG_CPU_TYPE`` (5: AVX2, 7: AVX-512), None where it is not needed.
        in_time: False if Paddle had been loaded before, so that nothing changed.
    """

    threads: int
    mkl_cpu_type: int | None
    in_time: bool


def available_cores() -> int:
    """Cores this process may use: its affinity, bounded by the container's quota (cgroup v1 and v2)."""
    cores = float(len(os.sched_getaffinity(0)))
    for quota_file, period_file in (
        ("/sys/fs/cgroup/cpu.max", None),
        ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
    ):
        try:
            words = Path(quota_file).read_text().split()
            period = float(words[1] if period_file is None else Path(period_file).read_text())
            quota = math.inf if words[0] in ("max", "-1") else float(words[0])
            cores = min(cores, quota / period)
        except (OSError, ValueError, IndexError, ZeroDivisionError):
            continue
    return max(1, math.ceil(cores))


def mkl_cpu_type(cpuinfo: str) -> int | None:
    """The code path MKL should take, read off ``/proc/cpuinfo``; None on Intel and where neither path fits."""
    vendors = {line.split(":")[1].strip() for line in cpuinfo.splitlines() if line.startswith("vendor_id")}
    flags = next((set(line.split(":")[1].split()) for line in cpuinfo.splitlines() if line.startswith("flags")), set())
    if not vendors or "GenuineIntel" in vendors:
        return None
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
        return 7
    return 5 if {"avx2", "fma"} <= flags else None


def cpu_variables() -> dict[str, str]:
    """The environment variables that make Paddle fast on this processor."""
    # processes that train together on this machine share its cores
    variables = {"OMP_NUM_THREADS": str(max(1, available_cores() // launched_here()))}
    try:
        path = mkl_cpu_type(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        path = None
    return variables if path is None else {**variables, "MKL_DEBUG_CPU_TYPE": str(path)}


def threads_told(otherwise: int) -> int:
    """The threads that ``OMP_NUM_THREADS`` tells of: the first number, where it lists one for each nested level.

    Args:
        otherwise: what is given where it is not set, or no number OpenMP would take.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else otherwise


def prepare_cpu() -> CpuSettings:
    """Set the environment for Paddle; what the user has set already is left alone.

    Call it before Paddle (and NumPy, whose threads read the same variable) is imported.
    """
    variables = cpu_variables()
    for name, value in variables.items():
        os.environ.setdefault(name, value)
    # a warning Paddle prints at every start where the compiler cache is missing; it builds nothing here
    os.environ.setdefault("GLOG_minloglevel", "2")
    path = variables.get("MKL_DEBUG_CPU_TYPE")
    in_time = "paddle" not in sys.modules
    return CpuSettings(threads_told(int(variables["OMP_NUM_THREADS"])), None if path is None else int(path), in_time)
