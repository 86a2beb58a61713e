from __future__ import annotations

import json
import os
import pickle
import pickletools
import subprocess
import sys
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.core.errors import TemperError
from temper.distill import weights
from temper.distill.remote_weights import require_sha256
from temper.distill.weights import load_weights, save_weights


class Evil:
    """Runs a command when it is unpickled the ordinary way."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_safetensors_round_trip_is_the_same_bytes(tmp_path):
    weights = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.ones((), np.int64)}
    save_weights(tmp_path / "one.safetensors", weights)
    save_weights(tmp_path / "two.safetensors", dict(reversed(weights.items())))
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    loaded = load_weights(tmp_path / "one.safetensors")
    assert np.array_equal(loaded["b"], weights["b"]) and loaded["a"] == 1


def test_paddles_own_weight_file(tmp_path):
    paddle = pytest.importorskip("paddle", reason="writes the file with Paddle itself")
    layer = paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 3), paddle.nn.BatchNorm2D(4))
    paddle.save(layer.state_dict(), str(tmp_path / "layer.pdparams"))
    loaded = load_weights(tmp_path / "layer.pdparams")
    assert {n: v.shape for n, v in loaded.items()} == {n: tuple(v.shape) for n, v in layer.state_dict().items()}
    assert all(np.array_equal(loaded[n], v.numpy()) for n, v in layer.state_dict().items())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickles_of_every_protocol(tmp_path, protocol):
    value = OrderedDict(w=np.ones((2, 2), np.float32), named=("tensor_0", np.zeros(3, np.int64)), epoch=np.float64(3))
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(value, protocol=protocol))
    loaded = load_weights(tmp_path / "w.pdparams")
    assert sorted(loaded) == ["named", "w"] and loaded["w"].sum() == 4


def _text(value: str) -> bytes:
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def _number(value: int) -> bytes:
    return b"J" + value.to_bytes(4, "little", signed=True)


def _named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


@pytest.mark.parametrize("code", ["O8", "O", "V8", "U4", "M8[s]", "f4,O", "(2,)f4"])
def test_a_type_cannot_be_told_that_it_holds_no_objects(tmp_path: Path, code: str) -> None:
    """NumPy believes the flags of a pickled type; eight bytes of the file would then be taken for an address."""
    state = b"(" + _number(3) + _text("|") + b"NNN" + _number(-1) * 2 + _number(0) + b"t"
    dtype = _named("numpy", "dtype") + b"(" + _text(code) + b"\x89\x88tR" + state + b"b"
    scalar = _named("numpy.core.multiarray", "scalar") + b"(" + dtype + b"C\x08" + b"A" * 8 + b"tR"
    (tmp_path / "w.pdparams").write_bytes(b"\x80\x04}" + _text("w") + scalar + b"s.")
    with pytest.raises(TemperError, match="an array of something else than numbers"):
        load_weights(tmp_path / "w.pdparams")


@pytest.mark.parametrize("dtype", [">f4", "<i8", "|u1", "?", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back_as_they_were(tmp_path: Path, dtype: str, order: str) -> None:
    value = np.asarray(np.arange(6).reshape(2, 3).astype(dtype), order=order)
    for protocol in (2, 5):
        (tmp_path / "w.pdparams").write_bytes(pickle.dumps({"w": value}, protocol=protocol))
        loaded = load_weights(tmp_path / "w.pdparams")["w"]
        assert loaded.dtype == value.dtype and np.array_equal(loaded, value) and loaded.flags.writeable


@pytest.mark.parametrize("wrap", [lambda e: e, lambda e: {"w": e}, lambda e: [e, np.ones(2)]])
def test_malicious_pickle_does_not_run(tmp_path, wrap):
    marker = tmp_path / "ran"
    (tmp_path / "evil.pdparams").write_bytes(pickle.dumps(wrap(Evil(marker))))
    with pytest.raises(TemperError, match=r"asks to run '(posix|os)\.system'"):
        load_weights(tmp_path / "evil.pdparams")
    assert not marker.exists()


@pytest.mark.parametrize(
    "name",
    ["builtins.eval", "builtins.getattr", "numpy.load", "numpy.f2py.compile", "operator.attrgetter", "os.system"],
)
def test_nothing_but_arrays_can_be_named(tmp_path, name):
    module, _, attribute = name.rpartition(".")
    (tmp_path / "evil.pdparams").write_bytes(f"c{module}\n{attribute}\n.".encode())
    with pytest.raises(TemperError, match="asks to run"):
        load_weights(tmp_path / "evil.pdparams")


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, 10**6), byte=st.integers(0, 255), cut=st.integers(0, 10**6))
def test_mutated_files_give_a_sentence_or_weights(tmp_path_factory, position, byte, cut):
    folder = tmp_path_factory.mktemp("mutated")
    whole = bytearray(pickle.dumps({"w": np.ones((4, 4), np.float32)}))
    whole[position % len(whole)] = byte
    path = folder / "w.pdparams"
    path.write_bytes(bytes(whole[: 1 + cut % len(whole)]))
    try:
        weights = load_weights(path)
    except TemperError:
        return
    assert all(isinstance(v, np.ndarray) for v in weights.values())


def test_a_device_is_not_read_until_memory_is_full(tmp_path):
    for ending in ("pdparams", "safetensors"):
        link = tmp_path / f"w.{ending}"
        link.symlink_to("/dev/zero")
        with pytest.raises(TemperError, match=f"w.{ending} are no file. Give a .safetensors or .pdparams file"):
            load_weights(link)
        with pytest.raises(TemperError, match=f"w.{ending} cannot be read: it is no regular file"):
            require_sha256(link, "0" * 64)


def test_a_file_longer_than_any_detector_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "MAX_BYTES", 99)
    (tmp_path / "w.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(TemperError, match="w.safetensors has more than 99 bytes"):
        load_weights(tmp_path / "w.safetensors")


def test_other_endings_and_missing_files(tmp_path):
    with pytest.raises(TemperError, match="cannot be read: No such file"):
        load_weights(tmp_path / "none.pdparams")
    (tmp_path / "w.bin").write_bytes(b"x")
    with pytest.raises(TemperError, match="neither .safetensors nor .pdparams"):
        load_weights(tmp_path / "w.bin")
    (tmp_path / "w.safetensors").write_bytes(b"x" * 40)
    with pytest.raises(TemperError, match="damaged or not safetensors"):
        load_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3"])
def test_sound_weights_of_a_type_that_is_not_read_are_not_called_damaged(tmp_path: Path, kind: str) -> None:
    size = 4 if kind == "BF16" else 2
    header = json.dumps({"w": {"dtype": kind, "shape": [2], "data_offsets": [0, size]}}).encode()
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))
    with pytest.raises(TemperError, match=f"hold numbers of the type {kind}, which is not read. Save them as F32"):
        load_weights(tmp_path / "w.safetensors")


def test_a_file_cannot_change_its_reader(tmp_path: Path) -> None:
    for module, name in (("_codecs", "encode"), ("numpy", "dtype"), ("numpy.core.multiarray", "_reconstruct")):
        (tmp_path / "w.pdparams").write_bytes(b"\x80\x04" + _named(module, name) + b"}X\x01\x00\x00\x00aK\x01sb.")
        with pytest.raises(TemperError, match="a change of its reader"):
            load_weights(tmp_path / "w.pdparams")


def _within(bytes_of_memory: int, path: Path) -> str:
    """What a process that may take so much more memory says of a weight file."""
    script = f"""
import resource
from pathlib import Path
from temper.core.errors import TemperError
from temper.distill.weights import load_weights
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + {bytes_of_memory},) * 2)
try:
    print(load_weights(Path({str(path)!r})))
except TemperError as error:
    print(error)
"""
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


_CONTENT = b"B" + (1 << 20).to_bytes(4, "little") + bytes(1 << 20)
_TYPE = _named("numpy", "dtype") + b"(" + _text("f4") + b"tR"
_COPIED = _named("numpy._core.numeric", "_frombuffer") + b"(h\x01h\x02(" + _number(1 << 18) + b"t" + _text("C") + b"tR"


@pytest.mark.parametrize(
    ("content", "said"),
    {
        "memo": (b"\x80\x02}r" + (250_000_000).to_bytes(4, "little") + b".", "hold no parameters"),
        "length": (b"\x80\x05\x96" + (1 << 31).to_bytes(8, "little") + b".", "damaged or not a Paddle weight file"),
        "frame": (b"\x80\x04\x95" + (1 << 31).to_bytes(8, "little") + b"}.", "in the middle of a frame"),
        "instructions": (b"\x80\x02" + b"}0" * 600_000 + b".", "more than 1,000,000 instructions"),
        "copies": (b"\x80\x02" + _CONTENT + b"q\x01" + _TYPE + b"q\x02" + _COPIED * 2000 + b".", "more copies of its"),
        "keys": (b"\x80\x02}(Nt" + b"q\x01h\x01\x86" * 200 + b"Ns.", "a dictionary by something else"),
        "told": (
            b"\x80\x02(Nt" + b"q\x01h\x01\x86" * 60 + b"q\x01" + _named("numpy.core.multiarray", "_reconstruct") + b"("
            + _named("numpy", "ndarray") + b"h\x01NtR.",
            "an array out of nothing",
        ),
        "dictionary": (
            b"\x80\x02}(" + b"".join(_text(str(n)) + b"N" for n in range(9)) + b"uq\x01"
            + _named("collections", "OrderedDict") + b"(h\x01tR.",
            "a copy of a dictionary",
        ),
        "twice": (b"\x80\x02N2.", "the instruction DUP"),
    }.values(),
    ids=["memo", "length", "frame", "instructions", "copies", "keys", "told", "dictionary", "twice"],
)  # fmt: skip
def test_a_small_file_takes_little_memory_and_time(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "w.pdparams"
    path.write_bytes(content)
    assert said in _within(256 << 20, path)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_row_of_instructions_takes_more_than_the_file_accounts_for(tmp_path_factory, data) -> None:
    """Any instructions with any numbers: at most what the dearest of them leaves behind, some kilobytes each."""
    codes = st.sampled_from([code.code.encode("latin1") for code in pickletools.opcodes])
    lengths = [bytes(8), b"\xff" * 8, (1 << 33).to_bytes(8, "little"), b"\xf0\xff\xff\x0f", b"\x01", b"9\n"]
    huge = st.sampled_from(lengths)
    rows = data.draw(st.lists(st.one_of(codes, huge, st.binary(max_size=4)), max_size=30))
    path = tmp_path_factory.mktemp("rows") / "w.pdparams"
    path.write_bytes(b"\x80\x02" + b"".join(rows) + b".")
    tracemalloc.start()
    try:
        load_weights(path)
    except TemperError:
        pass
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most < 2 << 20
