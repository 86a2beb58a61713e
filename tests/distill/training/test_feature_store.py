from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from temper.core.errors import TemperError
from temper.distill.training import feature_store
from temper.distill.training.feature_store import FeatureLayout, FeatureStore, bytes_missing, store_folder

LAYOUT = FeatureLayout(((2, 3, 4), (2, 2, 2)), entries=6)
KEY = {"teacher": "a", "flips": [0, 1]}


def entries(first: int, count: int) -> np.ndarray:
    return np.stack([np.full(LAYOUT.values, number + 0.5, np.float16) for number in range(first, first + count)])


def read(store: FeatureStore, entry: int) -> np.ndarray | None:
    into = np.empty(LAYOUT.values, np.float16)
    return into if store.read(entry, into) else None


def test_layout_counts_bytes_and_cuts_levels():
    assert LAYOUT.values == 2 * 3 * 4 + 2 * 2 * 2 and LAYOUT.entry_bytes == 64
    assert LAYOUT.total_bytes == 6 * (64 + 8)
    levels = LAYOUT.levels(np.arange(2 * LAYOUT.values).reshape(2, -1))
    assert [level.shape for level in levels] == [(2, 2, 3, 4), (2, 2, 2, 2)]
    assert levels[1][0].reshape(-1).tolist() == list(range(24, 32))


def test_what_was_written_comes_back_in_another_process_too(tmp_path):
    store = FeatureStore(tmp_path / "place", KEY, LAYOUT)
    assert not store.has(0, 1) and read(store, 0) is None
    store.write(2, entries(2, 2))
    assert store.has(2, 2) and not store.has(1, 2) and not store.has(2, 3)
    store.close()
    again = FeatureStore(tmp_path / "place", KEY, LAYOUT)
    assert np.array_equal(read(again, 3), entries(3, 1)[0]) and read(again, 4) is None


def test_disk_space_is_taken_at_once(tmp_path):
    large = FeatureLayout(((64, 32, 32),), entries=8)
    store = FeatureStore(tmp_path, KEY, large)
    assert bytes_missing(store.folder, large) == 0
    assert bytes_missing(tmp_path / "nothing", large) == large.total_bytes


def test_another_key_is_another_folder(tmp_path):
    FeatureStore(tmp_path, KEY, LAYOUT).write(0, entries(0, 6))
    other = FeatureStore(tmp_path, {**KEY, "teacher": "b"}, LAYOUT)
    assert other.folder == store_folder(tmp_path, {**KEY, "teacher": "b"}) and not other.has(0, 1)


def test_a_folder_that_is_not_the_keys_is_emptied(tmp_path):
    store = FeatureStore(tmp_path, KEY, LAYOUT)
    store.write(0, entries(0, 6))
    about = store.folder / "about.json"
    about.write_text(about.read_text().replace('"a"', '"b"'))
    assert not FeatureStore(tmp_path, KEY, LAYOUT).has(0, 1)


@pytest.mark.parametrize("damage", ["flip", "cut", "check"])
def test_damage_is_noticed(tmp_path, damage):
    store = FeatureStore(tmp_path, KEY, LAYOUT)
    store.write(0, entries(0, 6))
    data, checks = store.folder / "features.f16", store.folder / "checks.u64"
    if damage == "flip":
        content = bytearray(data.read_bytes())
        content[5 * LAYOUT.entry_bytes + 7] ^= 4
        data.write_bytes(content)
    elif damage == "cut":
        os.truncate(data, data.stat().st_size - 1)
    else:
        content = bytearray(checks.read_bytes())
        content[5 * 8] ^= 1
        checks.write_bytes(content)
    assert read(store, 5) is None and np.array_equal(read(store, 4), entries(4, 1)[0])
    store.write(5, entries(5, 1))
    assert np.array_equal(read(store, 5), entries(5, 1)[0])


def test_an_entry_without_its_checksum_is_none(tmp_path):
    """What a process leaves that is killed between the two writes."""
    store = FeatureStore(tmp_path, KEY, LAYOUT)
    handle = os.open(store.folder / "features.f16", os.O_RDWR)
    os.pwrite(handle, entries(1, 1).tobytes(), LAYOUT.entry_bytes)
    os.close(handle)
    assert not store.has(1, 1) and read(store, 1) is None


def test_an_entry_of_zeros_is_an_entry(tmp_path):
    store = FeatureStore(tmp_path, KEY, LAYOUT)
    store.write(0, np.zeros((1, LAYOUT.values), np.float16))
    assert store.has(0, 1) and not read(store, 0).any()


_WRITER = """
import sys
from pathlib import Path
import numpy as np
from temper.distill.training.feature_store import FeatureLayout, FeatureStore

layout = FeatureLayout(((64, 64, 16),), entries=64)
store = FeatureStore(Path(sys.argv[1]), {"teacher": "a"}, layout)
print("ready", flush=True)
while True:
    for entry in range(64):
        store.write(entry, np.full((1, layout.values), entry, np.float16))
    for entry in range(64):
        store.write(entry, np.full((1, layout.values), entry + 100, np.float16))
"""


def test_killed_while_it_writes_no_entry_is_half_of_one(tmp_path):
    layout = FeatureLayout(((64, 64, 16),), entries=64)
    for attempt in range(4):
        process = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.03 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        store = FeatureStore(tmp_path, {"teacher": "a"}, layout)
        into = np.empty(layout.values, np.float16)
        whole = [entry for entry in range(64) if store.read(entry, into) and len(set(into.tolist())) != 1]
        assert not whole


def _hold(place, ready, done):
    store = FeatureStore(place, KEY, LAYOUT)
    with store.reserved(0, 2, wait=True):
        ready.set()
        done.wait(30)


def test_two_processes_do_not_fill_the_same_entries(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, ready, done))
    other.start()
    assert ready.wait(60)
    store = FeatureStore(tmp_path, KEY, LAYOUT)
    with store.reserved(0, 2, wait=False) as ours:
        assert not ours
    with store.reserved(2, 2, wait=False) as ours:
        assert ours
    other.kill()
    other.join()
    with store.reserved(0, 2, wait=True) as ours:
        assert ours, "who is killed holds nothing any more"


def test_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(handle, offset, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_store.os, "posix_fallocate", full)
    with pytest.raises(TemperError, match="No space left on the disk while writing"):
        FeatureStore(tmp_path, KEY, LAYOUT)


def test_file_system_without_reservations_still_works(tmp_path, monkeypatch):
    def unsupported(handle, offset, size):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(feature_store.os, "posix_fallocate", unsupported)
    store = FeatureStore(tmp_path, KEY, LAYOUT)
    store.write(0, entries(0, 6))
    assert np.array_equal(read(store, 5), entries(5, 1)[0])
