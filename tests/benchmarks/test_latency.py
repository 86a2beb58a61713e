from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from temper.benchmarks.candidate import Candidate, Entrant, open_candidates
from temper.benchmarks.latency import driver_of, measure_latency, require_driver, require_query_size
from temper.benchmarks.latency_rows import SCENARIOS, LatencyRow
from temper.benchmarks.measurement import BenchmarkSettings, FootprintRow, LineSettings
from temper.benchmarks.scenarios import loadgen
from temper.benchmarks.worker_process import WorkerProcess
from temper.core.errors import MissingDependencyError, TemperError, UsageError
from temper.core.events import Event
from temper.core.files import sha256_file
from temper.detection.dataset import DataSet

QUICK = BenchmarkSettings(
    min_seconds=0.1, min_samples=20, max_seconds=60, rounds=2, warmup_seconds=0.5, driver="temper"
)
#: On a processor nothing is copied to a device and back.
STAGES = {"decode", "preprocess", "compute", "postprocess", "end_to_end"}


@pytest.fixture
def entrants(bundles: dict[str, Path], data: DataSet) -> list[Entrant]:
    return open_candidates(
        [Candidate(bundles["teacher"], "fp32", threads=1), Candidate(bundles["student"], "fp32", batch=3, threads=1)],
        data,
    )


def pictures(data: DataSet) -> list[Path]:
    return [data.image_path(sample) for sample in data.samples]


def load_fields(bundle: Path, data: DataSet, **changes: object) -> dict[str, object]:
    fields: dict[str, object] = {
        "bundle": str(bundle),
        "manifest_sha256": sha256_file(bundle / "manifest.json"),
        "variant": "fp32",
        "runtime": "onnxruntime",
        "batch": 1,
        "threads": 1,
        "pictures": [str(path) for path in pictures(data)],
    }
    return {**fields, **changes}


def test_every_stage_of_every_candidate_is_measured(entrants: Sequence[Entrant], data: DataSet) -> None:
    events: list[Event] = []
    rows, costs, outside = measure_latency(entrants, pictures(data), QUICK, events.append)
    assert [row.subject for row in rows] == [cost.subject for cost in costs] == [e.subject for e in entrants]
    for row, cost in zip(rows, costs, strict=True):
        assert set(row.stages) == set(row.samples_ms) == STAGES
        assert (row.scenario, row.driver) == ("single-stream", "temper")
        assert row.complete
        assert len(row.round_p50_ms) == 2
        assert row.stages["end_to_end"].n == len(row.samples_ms["compute"]) >= 20
        assert sum(one.samples for one in row.rounds) == row.stages["end_to_end"].n
        parts = sum(row.stages[stage].mean_ms for stage in STAGES - {"end_to_end"})
        whole = row.stages["end_to_end"].mean_ms
        assert 0.5 * whole <= parts <= whole
        # a round lasts as long as its calls, and what little lies between them
        assert 0.9 * 1000 * row.batch / whole <= row.images_per_second.value <= 1000 * row.batch / whole
        assert row.starts == len(cost.load_starts_ms) == len(cost.first_call_starts_ms) == 2
        assert row.threads_at_work is None or row.threads_at_work >= 1
        assert 0 <= row.outside_share <= 1
        assert min(cost.load_starts_ms) <= cost.load_ms <= max(cost.load_starts_ms)
        assert cost.first_call_ms > 0
        assert cost.peak_memory_mib is not None
        assert cost.idle_memory_mib is not None
        assert cost.peak_memory_mib >= cost.idle_memory_mib > 0
    assert rows[1].batch == 3
    assert 0 <= outside.other_share <= 1
    assert [e.data["done"] for e in events] == list(range(1, 9))
    assert {e.data["total"] for e in events} == {8}


def test_the_time_box_closes_and_is_told(entrants: Sequence[Entrant], data: DataSet) -> None:
    settings = replace(QUICK, min_samples=10**6, max_seconds=0.2, warmup_seconds=0.1)
    (row,), _, _ = measure_latency(entrants[:1], pictures(data), settings, lambda event: None)
    assert not row.complete
    assert row.stages["end_to_end"].n > 0


@pytest.mark.parametrize("driver", ["temper", "loadgen"])
def test_every_scenario_has_a_row_of_its_own(entrants: Sequence[Entrant], data: DataSet, driver: str) -> None:
    if driver == "loadgen" and loadgen.loadgen_version() is None:
        pytest.skip("LoadGen is not installed")
    line = LineSettings(frame_rate_hz=200.0, deadline_ms=1000.0, queue=50)
    settings = replace(QUICK, scenarios=SCENARIOS, driver=driver, line=line, query_pictures=4)
    rows, costs, _ = measure_latency(entrants[1:], pictures(data), settings, lambda event: None)
    assert [row.scenario for row in rows] == list(SCENARIOS)
    assert [row.driver for row in rows] == [driver] * 3 + ["temper"]
    assert len(costs) == 1, "loaded once, whatever is done with it"
    single, multi, offline, on_line = rows
    for row in rows:
        assert set(row.stages) == STAGES
        assert {len(values) for values in row.samples_ms.values()} == {sum(one.samples for one in row.rounds)}
        assert row.complete
    assert all(one.images == 3 * one.samples for one in single.rounds)
    assert all(one.images == 4 * one.samples for one in multi.rounds), "a query of 4 in calls of 3 and 1"
    assert all(one.images == 3 * one.samples for one in offline.rounds)
    kept = on_line.punctuality
    assert kept is not None
    assert kept.frames == sum(one.images for one in on_line.rounds) + kept.dropped
    assert kept.late == sum(value > 1000 for value in on_line.samples_ms["end_to_end"])
    assert kept.miss_share.value == (kept.late + kept.dropped) / kept.frames
    assert kept.miss_share.low is not None
    assert kept.miss_share.high is not None
    assert kept.miss_share.low <= kept.miss_share.value < kept.miss_share.high


def test_a_line_too_fast_for_the_candidate_is_missed(entrants: Sequence[Entrant], data: DataSet) -> None:
    line = LineSettings(frame_rate_hz=50_000.0, deadline_ms=0.02, queue=2)
    settings = replace(QUICK, scenarios=("line",), line=line, min_samples=2000)
    (row,), _, _ = measure_latency(entrants[:1], pictures(data), settings, lambda event: None)
    kept = row.punctuality
    assert kept is not None
    assert kept.frames == 5000, "0.1 s of them"
    assert kept.late + kept.dropped == kept.frames
    assert kept.miss_share.value == 1
    assert row.stages["end_to_end"].p50_ms is None
    assert "dropped and never ended" in row.stages["end_to_end"].invalid["p50_ms"]
    assert np.median(row.samples_ms["compute"]) > 0


def test_what_was_measured_before_a_worker_died_is_handed_over(
    entrants: Sequence[Entrant], data: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[tuple[Sequence[LatencyRow], Sequence[FootprintRow]]] = []
    ask, turns = WorkerProcess.ask, []

    def dies_in_the_third_turn(worker: WorkerProcess, command: str, *args: object, **fields: object) -> object:
        if command == "measure":
            turns.append(worker)
            if len(turns) == 3:
                os.kill(worker.pid, signal.SIGKILL)
        return ask(worker, command, *args, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(WorkerProcess, "ask", dies_in_the_third_turn)
    same_batch = [replace(one, candidate=replace(one.candidate, batch=1)) for one in entrants]
    with pytest.raises(TemperError, match="was killed"):
        measure_latency(same_batch, pictures(data), QUICK, lambda event: None, lambda *rows: kept.append(rows))
    latency, footprint = kept[-1]
    assert [len(row.rounds) for row in latency] == [1, 1]
    assert [row.complete for row in latency] == [False, False]
    assert len(footprint) == 2


def test_who_drives(monkeypatch: pytest.MonkeyPatch) -> None:
    auto = replace(QUICK, driver="auto")
    monkeypatch.setattr("temper.benchmarks.latency.loadgen_version", lambda: "6.0")
    assert [driver_of(scenario, auto) for scenario in SCENARIOS] == ["loadgen", "loadgen", "loadgen", "temper"]
    assert driver_of("offline", QUICK) == "temper"
    monkeypatch.setattr("temper.benchmarks.latency.loadgen_version", lambda: None)
    assert {driver_of(scenario, auto) for scenario in SCENARIOS} == {"temper"}
    with pytest.raises(MissingDependencyError, match="pip install 'mlcommons-loadgen'.*--driver temper"):
        require_driver(replace(QUICK, driver="loadgen"))
    with pytest.raises(UsageError, match="--frame-rate"):
        require_driver(replace(QUICK, scenarios=("line",)))


def test_a_call_larger_than_its_query(entrants: Sequence[Entrant]) -> None:
    with pytest.raises(UsageError, match=r"call of 3 pictures.*query of 2.*--query-pictures 3"):
        require_query_size(entrants[1], replace(QUICK, scenarios=("multi-stream",), query_pictures=2))
    require_query_size(entrants[1], QUICK)


def test_what_the_user_can_mend_comes_back_as_such(bundles: dict[str, Path], data: DataSet) -> None:
    with (
        WorkerProcess("small fp32", 60) as worker,
        pytest.raises(TemperError, match="small fp32: There is no runtime 'onnxruntim'. Did you mean 'onnxruntime'"),
    ):
        worker.ask("load", **load_fields(bundles["student"], data, runtime="onnxruntim"))


def test_a_bundle_that_was_replaced_is_not_measured(bundles: dict[str, Path], data: DataSet) -> None:
    with (
        WorkerProcess("small fp32", 60) as worker,
        pytest.raises(TemperError, match="was replaced while it was measured"),
    ):
        worker.ask("load", **load_fields(bundles["student"], data, manifest_sha256="0" * 64))


def test_a_mistake_in_the_worker_is_no_user_error() -> None:
    with WorkerProcess("small", 60) as worker, pytest.raises(RuntimeError, match="measured before 'load'"):
        worker.ask("warm_up", seconds=0.1, sizes=[1])


def test_a_killed_worker_is_told() -> None:
    with WorkerProcess("small", 60) as worker:
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(TemperError, match="measures small was killed, most likely because memory ran out"):
            worker.ask("warm_up", seconds=0.1, sizes=[1])


def test_a_silent_worker_is_given_up_and_ended() -> None:
    with WorkerProcess("small", 0.5) as worker:
        child = psutil.Process(worker.pid)
        child.suspend()
        with pytest.raises(TemperError, match="small gave no answer within 0 s"):
            worker.ask("finish")
        child.resume()
    assert not child.is_running()


def test_a_worker_ends_with_its_parent(bundles: dict[str, Path], data: DataSet) -> None:
    """Also when the parent is killed in the middle of a measurement and can say nothing any more."""
    program = (
        "import json, sys\n"
        "from temper.benchmarks.worker_process import WorkerProcess\n"
        "with WorkerProcess('x', 60) as worker:\n"
        "    worker.ask('load', **json.loads(sys.argv[1]))\n"
        "    print(worker.pid, flush=True)\n"
        "    load = dict(scenario='single-stream', batch=1, pictures=6, seconds=60, samples=1)\n"
        "    load |= dict(limit_seconds=60, expected_ms=1)\n"
        "    worker.ask('measure', 60, load=load, driver='temper')\n"
    )
    fields = json.dumps(load_fields(bundles["student"], data))
    parent = subprocess.Popen([sys.executable, "-c", program, fields], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    time.sleep(0.2)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs([child], timeout=10)
    assert not alive


def test_libraries_that_print_do_not_disturb_the_answers(bundles: dict[str, Path], data: DataSet) -> None:
    program = (
        "import os\n"
        "from temper.benchmarks import worker\n"
        "class Loud(worker.Session):\n"
        "    def finish(self, command):\n"
        "        os.write(1, b'a library speaks\\n')\n"
        "        print('and Python, too')\n"
        "        return super().finish(command)\n"
        "worker.Session = Loud\n"
        "worker.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=b'{"command": "finish"}\n', capture_output=True, check=True, timeout=60
    )
    assert json.loads(done.stdout)["kind"] == "finished"
    assert b"a library speaks" in done.stderr


def test_the_worker_ends_when_nobody_speaks_any_more() -> None:
    done = subprocess.run([sys.executable, "-m", "temper.benchmarks.worker"], input=b"", check=True, timeout=60)
    assert done.returncode == 0


def test_every_turn_has_a_process_of_its_own(
    entrants: Sequence[Entrant], data: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batch sizes take turns, too, and nobody else has a process meanwhile."""
    began: list[tuple[int, str, int]] = []
    ask = WorkerProcess.ask

    def noted(worker: WorkerProcess, command: str, *args: object, **fields: object) -> dict[str, object]:
        if command == "load":
            others = [one for one in psutil.Process().children() if one.pid != worker.pid]
            alive = [one for one in others if one.status() != psutil.STATUS_ZOMBIE]
            began.append((worker.pid, Path(str(fields["bundle"])).stem, len(alive)))
        return ask(worker, command, *args, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(WorkerProcess, "ask", noted)
    measure_latency(entrants, pictures(data), replace(QUICK, rounds=3), lambda event: None)
    names = [entrant.bundle.path.stem for entrant in entrants]
    assert [name for _, name, _ in began] == [*names, *names[::-1], *names]
    assert len({pid for pid, _, _ in began}) == 6
    assert {others for _, _, others in began} == {0}
