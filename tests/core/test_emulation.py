from __future__ import annotations

import platform
from pathlib import Path

import pytest
from temper.core.emulation import is_emulated, judge_emulation

X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC
cpuid level\t: 16
flags\t\t: fpu vme sse2 avx2 fma hypervisor
bugs\t\t: sysret_ss_attrs
"""
ARM = """processor\t: 0
BogoMIPS\t: 62.50
Features\t: fp asimd evtstrm aes asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd42
"""
#: What the kernel writes, and what QEMU 7.2 makes up for a program of its own (seen under Debian 12).
REAL = (
    "4242 (python3 (a)) R 1 4242 4242 0 -1 4194304 1 0 0 0 5 1 0 0 20 0 1 0 1784405 19361792 2345 1844674407370955 1\n"
)
QEMU = (
    "17846 (python3.11) 0 15971 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1783904 0 0 0 0 0 365080610864 "
    "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "stat", "emulated"),
    [
        ("x86_64", X86, REAL, False),
        ("i686", X86, REAL, False),
        ("aarch64", ARM, REAL, False),
        ("armv7l", ARM, REAL, False),
        # another architecture's kernel
        ("aarch64", X86, REAL, True),
        ("x86_64", ARM, REAL, True),
        ("riscv64", X86, None, True),
        # QEMU from 8.1 on makes up a fitting cpuinfo too
        ("aarch64", ARM, QEMU, True),
        # /proc is not mounted: QEMU makes up some of it all the same
        ("aarch64", None, QEMU, True),
        ("aarch64", None, None, None),
        ("x86_64", None, REAL, False),
        ("x86_64", X86, None, False),
        ("x86_64", X86.replace("AuthenticAMD", "VirtualApple"), REAL, True),
        ("x86_64", X86.replace("AMD EPYC", "QEMU TCG CPU version 2.5+"), REAL, True),
        # unknown to us: no reason to doubt it
        ("s390x", "vendor_id       : IBM/S390\n", REAL, False),
        ("x86_64", "", "", False),
        ("x86_64", None, "garbage", None),
    ],
)
def test_what_the_system_tells_is_judged(
    machine: str, cpuinfo: str | None, stat: str | None, emulated: bool | None
) -> None:
    assert judge_emulation(machine, cpuinfo, stat) is emulated


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_this_process_is_judged_by_the_same_files() -> None:
    cpuinfo, stat = (Path(path).read_text() for path in ("/proc/cpuinfo", "/proc/self/stat"))
    assert is_emulated() is judge_emulation(platform.machine(), cpuinfo, stat)
