"""Against a real HTTP server that fails in every way a receiver can."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import socket
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from outgoing import MemoryLog, defect, eventually, frame, gap, notice, running
from temper.core.errors import UsageError
from temper.deploy.publish.messages import Batch
from temper.deploy.publish.settings import Backoff, Secret, WebhookSettings
from temper.deploy.publish.webhook import WebhookSink


class Receiver(ThreadingHTTPServer):
    """Takes batches; ``answers`` says how the next requests end: a status, "hang" or "reset"; then 200."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: list[int | str] = []
        self.taken: list[dict[str, Any]] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.most_bytes = 1 << 30
        self.release = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/temper?token=hidden"


class Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((dict(self.headers), body))
        answer = self.server.answers.pop(0) if self.server.answers else 200
        if len(body) > self.server.most_bytes:
            answer = 413
        if answer == "hang":
            self.server.release.wait(20)
            self.close_connection = True
            return
        if answer == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        if answer == 200:
            self.server.taken.extend(json.loads(body)["messages"])
        self.send_response(int(answer))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server
        finally:
            server.release.set()
            server.shutdown()


def sink(receiver: Receiver, **changes: Any) -> WebhookSink:
    return WebhookSink(WebhookSettings(receiver.url, timeout_seconds=1.5, **changes), "mill-2")


def test_batches_are_signed_and_keep_to_their_schema(receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("steel\n")
    log = MemoryLog()
    log.add(frame(0), gap(1), defect(2), notice(3))
    with running(sink(receiver, secret=Secret(file=tmp_path / "key")), log):
        eventually(lambda: log.behind("webhook") == 0)
    ((headers, body),) = receiver.requests
    Batch.model_validate(json.loads(body))
    right = hmac.new(b"steel", headers["X-Temper-Timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-Temper-Signature"] == f"sha256={right}"
    assert headers["Content-Type"] == "application/json"


def test_nothing_is_lost_through_errors_resets_and_timeouts(receiver: Receiver) -> None:
    receiver.answers = [500, "reset", 200, 429, 408, "hang", 503, 200, "reset", 502]
    log = MemoryLog()
    log.add(*map(frame, range(200)))
    with running(sink(receiver, batch=30), log) as work:
        eventually(lambda: log.behind("webhook") == 0)
    assert [told["number"] for told in receiver.taken] == list(range(200))
    assert work.forwarder.progress.retried == 8
    assert work.longest_silence() < 1
    told = " ".join(work.warnings())
    assert "answers 500" in told and "does not answer within 1.5 s" in told and "cannot be reached" in told
    assert "hidden" not in told


@pytest.mark.parametrize("status", [400, 401, 404, 301])
def test_a_refusal_is_said_and_nothing_is_passed_over(receiver: Receiver, status: int) -> None:
    receiver.answers = [status] * 3
    log = MemoryLog()
    log.add(*map(frame, range(5)))
    with running(sink(receiver), log, Backoff(first=60, most=60, slow=0.2)) as work:
        eventually(lambda: log.behind("webhook") == 0)
    assert [told["number"] for told in receiver.taken] == list(range(5))
    (warning,) = work.warnings()
    assert f":frame:0 with {status}" in warning and "all after it wait" in warning


def test_a_receiver_that_takes_little_at_once_gets_little(receiver: Receiver) -> None:
    receiver.most_bytes = 4000
    log = MemoryLog()
    log.add(*map(frame, range(64)))
    with running(sink(receiver), log) as work:
        eventually(lambda: log.behind("webhook") == 0)
    assert [told["number"] for told in receiver.taken] == list(range(64))
    assert not work.warnings()


def test_a_receiver_may_ask_to_be_left_alone(receiver: Receiver) -> None:
    log = MemoryLog()
    receiver.shutdown()
    receiver.server_close()
    log.add(frame(0))
    with running(sink(receiver), log) as work:
        eventually(lambda: bool(work.warnings()))
    assert "cannot be reached" in work.warnings()[0]
    assert log.behind("webhook") == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "http://plant.example/temper?key=hidden",
            r"http://plant\.example/temper is beyond this machine and without TLS",
        ),
        ("ftp://plant.example", "no address of the web"),
        ("plant.example", "no address of the web"),
        ("http://127.0.0.1:99999999/", "no address of the web"),
    ],
)
def test_addresses_that_are_none_or_not_safe(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        WebhookSink(WebhookSettings(url), "mill-2")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://localhost/", "http://[::1]:8080/", "https://plant.example/"])
def test_addresses_that_are_safe(url: str) -> None:
    WebhookSink(WebhookSettings(url), "mill-2")
    WebhookSink(WebhookSettings("http://plant.example/", allow_http=True), "mill-2")


@pytest.mark.parametrize("password", ["12/s3cret", "a/s3cret", "s3cret@b", "[s3cret", "s3cret#", "s3cret?x"])
def test_a_password_in_the_address_is_never_told(password: str) -> None:
    settings = WebhookSettings(f"https://u:{password}@plant.example/temper?token=s3cret")
    try:
        target = WebhookSink(settings, "mill-2").target
    except UsageError as error:
        target = str(error)
        assert "no address of the web" in target
    assert "s3cret" not in target
