"""Is this process run by the processor it was built for, or by a program that pretends to be one?"""

from __future__ import annotations

import platform
from pathlib import Path

#: Keys of ``/proc/cpuinfo`` that the kernels of one architecture alone write.
_OWN_KEYS = {"x86": frozenset({"flags", "cpuid level", "bugs"}), "arm": frozenset({"cpu implementer", "cpu part"})}
#: Fields of ``/proc/self/stat`` after the program's name, counted from 0 (proc(5) numbers them 23 and 24).
_VIRTUAL_SIZE, _RESIDENT_SIZE = 20, 21


def is_emulated() -> bool | None:
    """Whether the processor of this process is emulated; None where the system does not tell.

    What such a process computes is right, and how long it takes says nothing of the processor it was built for.
    """
    return judge_emulation(platform.machine(), _read("/proc/cpuinfo"), _read("/proc/self/stat"))


def judge_emulation(machine: str, cpuinfo: str | None, stat: str | None) -> bool | None:
    """The same of what was read.

    Args:
        machine: as the process is told, as of :func:`platform.machine`.
        cpuinfo: ``/proc/cpuinfo``: of the host's kernel, unless the emulator makes one up, as QEMU does from 8.1 on.
        stat: ``/proc/self/stat``: QEMU's user mode makes it up, even where ``/proc`` is not mounted, and leaves out
            the memory, which every real process has.
    """
    fields = stat.rpartition(")")[2].split() if stat else []
    known = len(fields) > _RESIDENT_SIZE
    if known and fields[_VIRTUAL_SIZE] == fields[_RESIDENT_SIZE] == "0":
        return True
    if cpuinfo is None:
        return False if known else None
    told: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        told.setdefault(key.strip().lower(), value.strip())
    kernels = [name for name, keys in _OWN_KEYS.items() if keys & told.keys()]
    if kernels and _family(machine) not in kernels:
        return True
    # Rosetta on Apple's processors, and QEMU's own processor where it emulates a whole machine
    return told.get("vendor_id") == "VirtualApple" or told.get("model name", "").startswith("QEMU TCG CPU")


def _family(machine: str) -> str:
    name = machine.lower()
    if name in ("x86_64", "amd64") or (name.startswith("i") and name.endswith("86")):
        return "x86"
    return "arm" if name.startswith(("aarch64", "arm")) else name


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
