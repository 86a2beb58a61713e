from __future__ import annotations

import time
from collections import namedtuple
from dataclasses import replace

import pytest
from temper.benchmarks import machine
from temper.benchmarks.machine import EMULATED, LoadWatch, OutsideLoad, machine_state, machine_warnings, usable_cores
from temper.benchmarks.measurement import MachineState
from temper.core.errors import TemperError


@pytest.fixture(scope="module")
def quiet() -> MachineState:
    state = machine_state(sample_seconds=0)
    calm = replace(state, emulated=False, governor="performance", other_cpu_share=0.0)
    return replace(calm, cpu_quota_cores=None, usable_cores=4)


def test_state_tells_what_matters() -> None:
    state = machine_state(sample_seconds=0.05)
    assert state.usable_cores == usable_cores() >= 1
    assert state.memory_mib > state.memory_available_mib > 0
    assert state.other_cpu_share is not None
    assert 0 <= state.other_cpu_share <= 1
    assert "numpy" in state.packages
    assert state.python.startswith("3.")


def test_a_quiet_machine_has_no_warnings(quiet: MachineState) -> None:
    assert machine_warnings(quiet, OutsideLoad(0.02, 0.0)) == []


@pytest.mark.parametrize(
    ("change", "outside", "words"),
    [
        ({"governor": "powersave"}, None, "cpupower frequency-set -g performance"),
        ({"other_cpu_share": 0.4}, None, "used 40% of the processors (1.6 of 4 cores) before"),
        ({}, OutsideLoad(0.5, 0.0), "used 50% of the processors (2.0 of 4 cores) while"),
        ({}, OutsideLoad(0.0, 0.05), "took 5% of the processor time"),
        ({"cpu_quota_cores": 1.5}, None, "may use 1.5 of 4 cores"),
    ],
)
def test_what_spoils_a_measurement_is_named(
    quiet: MachineState, change: dict[str, object], outside: OutsideLoad | None, words: str
) -> None:
    (warning,) = machine_warnings(replace(quiet, **change), outside)  # type: ignore[arg-type]
    assert words in warning
    assert warning.endswith(".")


@pytest.mark.parametrize("cores", [2, 16, 64])
def test_one_busy_core_is_said_however_many_there_are(quiet: MachineState, cores: int) -> None:
    many = replace(quiet, usable_cores=cores)
    (warning,) = machine_warnings(many, OutsideLoad(1 / cores, 0.0))
    assert f"(1.0 of {cores} cores) while" in warning
    (before,) = machine_warnings(replace(many, other_cpu_share=1 / cores))
    assert f"(1.0 of {cores} cores) before" in before


def test_only_the_cores_that_may_be_used_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen cores, of which two are ours and the others do nothing: ours are as busy as they are."""
    times = namedtuple("times", ("user", "system", "idle", "iowait", "steal", "guest", "guest_nice"))  # type: ignore[misc]
    spent = {core: [0.0, 0.0] for core in range(16)}

    def cpu_times(percpu: bool) -> list[tuple[float, ...]]:
        return [times(busy, 0.0, idle, 0.0, 0.0, 0.0, 0.0) for busy, idle in spent.values()]

    monkeypatch.setattr("psutil.cpu_times", cpu_times)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {4, 5})
    watch = LoadWatch()
    spent.update({core: [0.0, 10.0] for core in range(16)})
    spent[4] = [10.0, 0.0]
    assert watch.finish(own_seconds=0.0) == OutsideLoad(0.5, 0.0)
    assert watch.finish(own_seconds=10.0) == OutsideLoad(0.0, 0.0)


def test_an_emulated_machine_tells_nothing_of_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "is_emulated", lambda: True)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    state = machine_state(sample_seconds=0)
    assert (state.emulated, state.cpu_model, state.cpu_features) == (True, "emulated aarch64", ())
    assert (state.governor, state.frequency_mhz, state.virtual_machine) == (None, None, None)
    # how busy the host is does not matter where no duration is reported
    assert machine_warnings(replace(state, other_cpu_share=0.9), OutsideLoad(0.9, 0.9)) == [EMULATED]


def test_without_proc_a_sentence_says_what_to_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr(machine.Path, "exists", lambda self: str(self) != "/proc/meminfo")
    with pytest.raises(TemperError, match=r"^/proc is not mounted here.*'mount -t proc proc /proc'\.$"):
        machine_state(sample_seconds=0)


def test_own_work_is_not_somebody_elses() -> None:
    watch, started, cpu = LoadWatch(), time.monotonic(), time.process_time()
    while time.monotonic() - started < 0.3:
        sum(range(1000))
    own = time.process_time() - cpu
    counted, not_counted = watch.finish(own), watch.finish(0.0)
    assert 0 <= counted.other_share <= not_counted.other_share <= 1
    assert not_counted.other_share > 0
