from __future__ import annotations

import hashlib
import http.client
import http.server
import io
import pickle
import ssl
import threading
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from temper.core.errors import TemperError, UsageError
from temper.distill import remote_weights
from temper.distill.remote_weights import cache_folder, fetch_weights, known_sha256, local_weights
from temper.distill.weights import load_weights
from temper.distill.weights_address import check_address

CONTENT = pickle.dumps({"w": np.arange(50_000, dtype=np.float32)}, protocol=4)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """A server on this machine whose answers a test chooses."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.etag: str | None = '"one"'
        self.cut_after: int | None = None  # bytes, for the next answer alone
        self.status, self.location = 200, ""
        self.busy: list[int] = []  # what it answers first, each once
        self.length: int | None = None
        self.content_range: str | None = None  # another than the true one
        self.ranges: list[str | None] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.httpd.server_port}/zoo/model.pdparams"
        threading.Thread(target=self.httpd.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.ranges.append(wanted)
        if self.busy:
            handler.send_response(self.busy.pop(0))
            handler.end_headers()
            return
        if self.status != 200:
            handler.send_response(self.status)
            handler.send_header("Location", self.location)
            handler.end_headers()
            return
        start = 0
        if wanted and handler.headers.get("If-Range") == self.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(self.length or len(self.content) - start))
        if start:
            true = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
            handler.send_header("Content-Range", true if self.content_range is None else self.content_range)
        if self.etag:
            handler.send_header("ETag", self.etag)
        handler.end_headers()
        end = len(self.content) if self.cut_after is None else start + self.cut_after
        self.cut_after = None
        handler.wfile.write(self.content[start:end])


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("TEMPER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote_weights, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    server = Server()
    yield server
    server.httpd.shutdown()
    server.httpd.server_close()


def silent(message: str) -> None:
    pass


def test_fetched_once_and_kept(server: Server) -> None:
    told: list[str] = []
    path = fetch_weights(server.url, SHA256, told.append)
    assert path.read_bytes() == CONTENT and path.parent == cache_folder() and path.suffix == ".pdparams"
    assert load_weights(path)["w"].shape == (50_000,)
    assert told == [f"Fetching {server.url}"]
    assert known_sha256(server.url) == SHA256
    server.status = 500  # nobody is asked again
    assert fetch_weights(server.url, SHA256, told.append) == path and len(told) == 1
    assert len(server.ranges) == 1


def test_without_a_pin_the_first_content_counts(server: Server) -> None:
    told: list[str] = []
    path = fetch_weights(server.url, None, told.append)
    assert f"weights_sha256: {SHA256}" in told[-1]
    server.content = b"other"
    assert fetch_weights(server.url, None, silent).read_bytes() == CONTENT
    assert local_weights(server.url, SHA256, silent) == path


def test_another_content_than_pinned(server: Server) -> None:
    with pytest.raises(TemperError, match=f"its SHA-256 is {SHA256}, and weights_sha256 says {'0' * 64}"):
        fetch_weights(server.url, "0" * 64, silent)
    assert known_sha256(server.url) is None
    assert not [path for path in cache_folder().iterdir() if path.suffix != ".lock"], "nothing of it is kept"


def test_a_new_pin_fetches_anew(server: Server) -> None:
    fetch_weights(server.url, None, silent)
    server.content = pickle.dumps({"w": np.ones(3, np.float32)})
    pin = hashlib.sha256(server.content).hexdigest()
    assert fetch_weights(server.url, pin, silent).read_bytes() == server.content
    assert known_sha256(server.url) == pin


def test_goes_on_after_a_broken_connection(server: Server) -> None:
    server.cut_after = 70_000
    assert fetch_weights(server.url, SHA256, silent).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=70000-"]


def test_goes_on_in_another_process(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_weights, "_ATTEMPTS", 1)
    server.cut_after = 70_000
    with pytest.raises(TemperError, match=r"70,000 of 200,\d+ bytes.*the same command goes on from there"):
        fetch_weights(server.url, SHA256, silent)
    assert fetch_weights(server.url, SHA256, silent).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=70000-"]


def test_begins_anew_where_the_file_has_changed_since(server: Server) -> None:
    server.cut_after, server.content = 70_000, bytes(100_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote_weights, "_ATTEMPTS", 1)
        with pytest.raises(TemperError, match="cannot be fetched"):
            fetch_weights(server.url, SHA256, silent)
    server.content, server.etag = CONTENT, '"two"'
    assert fetch_weights(server.url, SHA256, silent).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "content_range",
    [
        f"bytes 60000-{len(CONTENT) - 1}/{len(CONTENT)}",
        f"bytes 70000-{len(CONTENT)}/{len(CONTENT) + 1}",
        "bytes 70000-69999/70000",
        f"bytes 70000-{len(CONTENT) - 1}/*",
        "",
    ],
)
def test_begins_anew_where_the_server_sends_another_part(server: Server, content_range: str) -> None:
    server.cut_after, server.content_range = 70_000, content_range
    assert fetch_weights(server.url, SHA256, silent).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=70000-", None]


def test_a_part_that_nobody_asked_for_is_no_file(server: Server) -> None:
    server.status = 206
    with pytest.raises(TemperError, match="the server answers 206 where the whole file was asked for"):
        fetch_weights(server.url, None, silent)


def test_begins_anew_where_the_version_does_not_promise_the_same_bytes(server: Server) -> None:
    server.etag, server.cut_after = 'W/"one"', 70_000
    assert fetch_weights(server.url, SHA256, silent).read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_begins_anew_where_the_server_names_no_version(server: Server) -> None:
    server.etag, server.cut_after = None, 70_000
    assert fetch_weights(server.url, SHA256, silent).read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPER_CACHE", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    taken = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    taken.server_close()
    url = f"http://127.0.0.1:{taken.server_port}/model.pdparams"
    with pytest.raises(TemperError, match="cannot be fetched: .*Connection refused.*give its path as weights"):
        fetch_weights(url, SHA256, silent)


@pytest.mark.parametrize(("status", "asked"), [(403, 1), (404, 1), (501, 1), (500, 4), (503, 4)])
def test_the_server_refuses(server: Server, status: int, asked: int) -> None:
    server.status = status
    with pytest.raises(TemperError, match=f"the server answers {status}"):
        fetch_weights(server.url, SHA256, silent)
    assert len(server.ranges) == asked


def test_a_server_that_is_busy_for_a_moment_is_asked_again(server: Server) -> None:
    server.cut_after = 70_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote_weights, "_ATTEMPTS", 1)
        with pytest.raises(TemperError, match="the same command goes on from there"):
            fetch_weights(server.url, SHA256, silent)
    server.busy = [503, 429, 502]
    assert fetch_weights(server.url, SHA256, silent).read_bytes() == CONTENT
    assert server.ranges[1:] == ["bytes=70000-"] * 4, "what had come is kept over the busy answers"


@pytest.mark.parametrize(
    "error",
    [
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC]"),  # 1 is also the number of "not permitted"
    ],
)
def test_goes_on_after_encryption_that_broke(server: Server, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    read, broken = http.client.HTTPResponse.read, []

    def breaks_once(response: http.client.HTTPResponse, amount: int | None = None) -> bytes:
        if not broken:
            broken.append(read(response, 70_000))
            return broken[0]
        if len(broken) == 1:
            broken.append(b"")
            raise error
        return read(response, amount)

    monkeypatch.setattr(http.client.HTTPResponse, "read", breaks_once)
    assert fetch_weights(server.url, SHA256, silent).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=70000-"]


@pytest.mark.parametrize(
    ("reason", "asked"),
    [
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), 1),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), 4),
    ],
)
def test_a_server_that_is_not_trusted_is_not_asked_again(
    server: Server, monkeypatch: pytest.MonkeyPatch, reason: ssl.SSLError, asked: int
) -> None:
    class Opener:
        calls = 0

        def open(self, *_: object, **__: object) -> object:
            Opener.calls += 1
            raise urllib.error.URLError(reason)

    monkeypatch.setattr(remote_weights, "_opener", Opener)
    with pytest.raises(TemperError, match="cannot be fetched: .*(certificate verify failed|EOF occurred)"):
        fetch_weights(server.url, SHA256, silent)
    assert Opener.calls == asked


@pytest.mark.parametrize(
    "place", ["http://example.com/model.pdparams", "ftp://127.0.0.1/m.pdparams", "file:///etc/hosts"]
)
def test_sent_to_an_unsafe_place(server: Server, place: str) -> None:
    server.status, server.location = 302, place
    with pytest.raises(TemperError, match="which is not https|not allowed"):
        fetch_weights(server.url, SHA256, silent)


def test_far_too_much(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_weights, "MAX_BYTES", 100_000)
    with pytest.raises(TemperError, match="more than 100,000 bytes"):
        fetch_weights(server.url, SHA256, silent)


def test_a_page_instead_of_weights(server: Server) -> None:
    server.content = b"<html>Please log in</html>"
    with pytest.raises(TemperError, match="are no weights: perhaps a page that asks to log in"):
        fetch_weights(server.url, None, silent)
    assert known_sha256(server.url) is None


def test_the_cache_was_changed_behind_our_back(server: Server) -> None:
    path = fetch_weights(server.url, SHA256, silent)
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(TemperError, match="something has changed it"):
        fetch_weights(server.url, SHA256, silent)
    assert fetch_weights(server.url, SHA256, silent).read_bytes() == CONTENT


def test_two_at_a_time_fetch_once(server: Server) -> None:
    paths: list[Path] = []
    threads = [
        threading.Thread(target=lambda: paths.append(fetch_weights(server.url, SHA256, silent))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(paths)) == 1 and len(paths) == 4 and len(server.ranges) == 1


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://example.com/model.pdparams", "could be changed on its way"),
        ("ftp://example.com/model.pdparams", "begins with https://"),
        ("https:///model.pdparams", "begins with https://"),
        ("https://me:secret@example.com/model.pdparams", "password"),
        ("https://example.com/model.pdparams?signature=secret", r"goes without '\?' and '#'"),
        ("https://example.com/model.zip", r"end in \.pdparams or \.safetensors"),
        ("https://[half/model.pdparams", "is no address"),
        ("https://example.com:port/model.pdparams", "is no address"),
    ],
)
def test_addresses_that_are_refused(address: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_address(address)
    with pytest.raises(UsageError, match=message):
        fetch_weights(address, None, silent)


def test_a_pinned_file_on_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "w.pdparams"
    path.write_bytes(CONTENT)
    assert local_weights(str(path), SHA256, silent) == local_weights(str(path), None, silent) == path
    path.write_bytes(io.BytesIO(CONTENT).read(100))
    with pytest.raises(TemperError, match="is not the file that the recipe means"):
        local_weights(str(path), SHA256, silent)
    with pytest.raises(TemperError, match="cannot be read"):
        local_weights(str(tmp_path / "none.pdparams"), SHA256, silent)
