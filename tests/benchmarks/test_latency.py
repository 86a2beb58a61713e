from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from temper.benchmarks.candidate import Candidate, Entrant, open_candidates
from temper.benchmarks.latency import WorkerProcess, measure_latency
from temper.benchmarks.measurement import STAGES, BenchmarkSettings
from temper.core.errors import TemperError
from temper.core.events import Event
from temper.detection.dataset import DataSet

QUICK = BenchmarkSettings(min_seconds=0.1, min_samples=20, max_seconds=5, rounds=2, warmup_seconds=0.5)


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
        assert set(row.stages) == set(row.samples_ms) == set(STAGES)
        assert row.complete
        assert len(row.round_p50_ms) == 2
        assert row.stages["end_to_end"].n == len(row.samples_ms["infer"]) >= 20
        parts = sum(row.stages[stage].mean_ms for stage in STAGES[:-1])
        whole = row.stages["end_to_end"].mean_ms
        assert 0.5 * whole <= parts <= whole
        assert row.images_per_second == pytest.approx(1000 * row.batch / whole)
        assert cost.first_call_ms > 0
        assert cost.peak_memory_mib is not None
        assert cost.idle_memory_mib is not None
        assert cost.peak_memory_mib >= cost.idle_memory_mib > 0
    assert rows[1].batch == 3
    assert 0 <= outside.other_share <= 1
    assert [e.data["done"] for e in events] == list(range(1, 9))
    assert {e.data["total"] for e in events} == {8}


def test_the_time_box_closes_and_is_told(entrants: Sequence[Entrant], data: DataSet) -> None:
    settings = BenchmarkSettings(min_seconds=0.1, min_samples=10**6, max_seconds=0.2, rounds=2, warmup_seconds=0.1)
    (row,), _, _ = measure_latency(entrants[:1], pictures(data), settings, lambda event: None)
    assert not row.complete
    assert row.stages["end_to_end"].n > 0


def test_what_the_user_can_mend_comes_back_as_such(bundles: dict[str, Path], data: DataSet) -> None:
    with (
        WorkerProcess("small fp32", 60) as worker,
        pytest.raises(TemperError, match="small fp32: There is no runtime 'onnxruntim'. Did you mean 'onnxruntime'"),
    ):
        worker.ask("load", **load_fields(bundles["student"], data, runtime="onnxruntim"))


def test_a_mistake_in_the_worker_is_no_user_error() -> None:
    with WorkerProcess("small", 60) as worker, pytest.raises(RuntimeError, match="measured before 'load'"):
        worker.ask("warm_up", seconds=0.1)


def test_a_killed_worker_is_told() -> None:
    with WorkerProcess("small", 60) as worker:
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(TemperError, match="measures small was killed, most likely because memory ran out"):
            worker.ask("warm_up", seconds=0.1)


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
        "from temper.benchmarks.latency import WorkerProcess\n"
        "with WorkerProcess('x', 60) as worker:\n"
        "    worker.ask('load', **json.loads(sys.argv[1]))\n"
        "    print(worker.pid, flush=True)\n"
        "    worker.ask('measure', 60, seconds=60, samples=1, limit_seconds=60)\n"
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
