from __future__ import annotations

import os
import subprocess
import sys

import pytest
from temper.distill.cpu import available_cores, mkl_cpu_type, prepare_cpu, threads_told

AMD = "vendor_id : AuthenticAMD\nflags : fpu sse2 avx2 fma {more}\n"


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (AMD.format(more=""), 5),
        (AMD.format(more="avx512f avx512bw avx512dq avx512vl"), 7),
        ("vendor_id : AuthenticAMD\nflags : fpu sse2\n", None),
        ("vendor_id : GenuineIntel\nflags : avx2 fma\n", None),
        ("Features : asimd\n", None),  # an Arm board
        ("", None),
    ],
)
def test_path_of_the_math_library(cpuinfo, expected):
    assert mkl_cpu_type(cpuinfo) == expected


def test_cores_are_those_this_process_may_use():
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(("given", "expected"), [({}, None), ({"OMP_NUM_THREADS": "1"}, "1")])
def test_the_users_own_setting_is_left_alone(given, expected):
    code = (
        "from temper.distill.cpu import prepare_cpu; s = prepare_cpu(); import os; "
        "print(s.threads, os.environ['OMP_NUM_THREADS'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | given
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    threads, variable = printed.stdout.split()
    assert threads == variable == (expected or str(available_cores()))


@pytest.mark.parametrize(
    ("told", "expected"), [("4,2", 4), (" 3 ", 3), ("8", 8), ("", 5), ("many", 5), ("0", 5), ("-1", 5)]
)
def test_the_first_number_of_a_list_of_threads_counts(monkeypatch, told, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert threads_told(5) == expected
    assert prepare_cpu().threads > 0
    assert os.environ["OMP_NUM_THREADS"] == told
