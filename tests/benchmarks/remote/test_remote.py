"""The whole road over a real SSH server, and what is done again of it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from remote_place import Place, wait_until
from ssh_server import needs_sshd
from temper.benchmarks.measurement import read_rows
from temper.benchmarks.remote.far_folder import OURS
from temper.benchmarks.remote.fetch import read_record
from temper.bundle.loader import open_bundle
from temper.cli import main
from tiny_bundle import make_tiny_bundle

pytestmark = needs_sshd
#: Long enough to be caught in the middle, on a busy machine too.
LONG = ("--seconds", "2", "--time-box", "6")


@pytest.mark.slow
def test_measured_there_and_read_here(place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert place.remote(out) == 0
    told = capsys.readouterr().out
    assert "[127.0.0.1] the environment is made" in told
    assert "measured  " in told and "(measured)" in told
    folder = out / "127.0.0.1"
    assert {path.name for path in folder.iterdir()} == {"measurements.jsonl", "truth.json", "detections", "remote.json"}
    measured = read_rows(folder / "measurements.jsonl")
    with open_bundle(place.folder / "small.temper") as bundle:
        assert measured.benchmark.bundles[0].manifest_sha256 == bundle.manifest_sha256
    assert measured.benchmark.data == "data/val"
    assert measured.benchmark.image_folder.startswith(str(place.far)), "it was measured there"
    record = read_record(folder)
    assert record is not None and record.address == "127.0.0.1" and "measurements.jsonl" in record.sha256
    assert main(["bench", "report", str(folder)]) == 0
    assert (folder / "report.html").exists()
    # once more: nothing is done; elsewhere: only fetched; anew: the environment stands, and nothing is sent
    capsys.readouterr()
    assert place.remote(out) == 0
    assert "measured before" in capsys.readouterr().out
    assert place.remote(tmp_path / "elsewhere") == 0
    told = capsys.readouterr().out
    assert "the results are fetched" in told and "sending" not in told
    assert place.remote(out, "--again") == 0
    told = capsys.readouterr().out
    assert "measuring as process" in told and "sending" not in told and "environment is" not in told


def test_only_what_changed_is_sent_and_events_name_the_host(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = tmp_path / "hosts.yml"
    hosts.write_text(
        f"hosts:\n  - name: line-3\n    address: 127.0.0.1\n    user: root\n    port: {place.server.port}\n"
        f"    identity: {place.server.identity}\n    device: jetson-orin-nano-8gb\n    batches: [2]\n"
    )
    other = make_tiny_bundle(tmp_path, name="other", size=(96, 64))
    words = place.words(tmp_path / "out", "--hosts", hosts, "--bundle", other, "--json")
    words[2] = "line-3"
    assert main(words) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["event"] == "host" and events[-1]["state"] == "measured"
    assert {event["host"] for event in events} == {"line-3"}
    assert any(event["event"] == "step" and event["stage"] == "benchmark" for event in events)
    sent = [event["message"] for event in events if event["event"] == "note" and "sending" in event["message"]]
    assert not sent or sent[0].startswith(("sending 2 of", "sending 13 of")), "the second bundle alone, but at first"
    folder = tmp_path / "out" / "line-3"
    assert {row.batch for row in read_rows(folder / "measurements.jsonl").latency} == {2}
    record = read_record(folder)
    assert record is not None and record.device == "jetson-orin-nano-8gb"


def when_it_measures(place: Place, before: set[Path], act: Callable[[], object]) -> threading.Thread:
    """Do something as soon as a new job has said something."""

    def wait() -> None:
        wait_until(lambda: bool(place.measuring(before)))
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.slow
@pytest.mark.parametrize("by", ["cable", "Ctrl-C"])
def test_a_connection_that_is_cut_does_not_end_the_benchmark(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str], by: str
) -> None:
    before = set(place.jobs())
    cut = place.server.cut if by == "cable" else lambda: os.kill(os.getpid(), signal.SIGINT)
    thread = when_it_measures(place, before, cut)
    long = (*LONG, "--batch", "1" if by == "cable" else "2")
    code = place.remote(tmp_path / "out", *long)
    thread.join()
    told = capsys.readouterr()
    if by == "cable":
        assert code == 1 and "was lost while measuring" in told.out and "goes on without it" in told.out
    else:
        assert code == 130 and "the same command goes on from there" in told.err
    assert not (tmp_path / "out" / "127.0.0.1").exists()
    (job,) = set(place.jobs()) - before
    begun = (job / "job.json").read_text()
    assert place.remote(tmp_path / "out", *long) == 0
    again = capsys.readouterr().out
    assert "runs there" in again or "the results are fetched" in again
    assert (job / "job.json").read_text() == begun, "it was not begun a second time"


@pytest.mark.slow
def test_one_that_is_killed_says_so_and_is_begun_anew(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = (*LONG, "--batch", "3")
    before = set(place.jobs())

    def kill() -> None:
        (job,) = set(place.jobs()) - before
        for child in psutil.Process(json.loads((job / "job.json").read_text())["pid"]).children():
            os.kill(child.pid, signal.SIGKILL)

    thread = when_it_measures(place, before, kill)
    assert place.remote(tmp_path / "out", *long) == 1
    thread.join()
    told = capsys.readouterr().out
    assert "was killed by signal 9" in told and "The same command goes on" in told
    assert place.remote(tmp_path / "out", *long) == 0
    assert "did not come to its end; it is begun anew" in capsys.readouterr().out


def test_two_hosts_of_which_one_fails(place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = place.words(tmp_path / "out")
    words.insert(2, "root@127.0.0.1:1")
    assert main(words) == 1
    told = capsys.readouterr().out
    table = told[told.index("host ") :].splitlines()
    rows = {line.split()[0]: line.split()[1] for line in table[1:3]}
    assert rows == {"127.0.0.1": "FAILED", f"127.0.0.1-{place.server.port}": "measured"}
    assert "127.0.0.1: Nobody listens at 127.0.0.1, port 1." in told
    assert (tmp_path / "out" / f"127.0.0.1-{place.server.port}" / "measurements.jsonl").exists()


@pytest.mark.slow
def test_clean_takes_ours_away_and_nothing_else(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.far.mkdir(exist_ok=True)
    (place.far / OURS).touch()
    (place.far / "theirs.txt").touch()
    assert place.remote(tmp_path / "out", "--clean") == 0
    assert [path.name for path in place.far.iterdir()] == ["theirs.txt"]
    (place.far / "theirs.txt").unlink()
    assert (tmp_path / "out" / "127.0.0.1" / "measurements.jsonl").exists()
