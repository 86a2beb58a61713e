"""Whether a line is alive and ready, over HTTP: also of one that is held in its safe state. No library is needed."""

from __future__ import annotations

import errno
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ...core.errors import TemperError
from ...core.passwords import without_passwords
from .settings import MetricsSettings

REQUEST_SECONDS = 5.0


@dataclass(frozen=True)
class Answer:
    """To a request.

    Attributes:
        status: of HTTP.
        body: what is sent.
        content_type: of it.
    """

    status: int
    body: bytes
    content_type: str


def state_answer(word: str, reasons: Sequence[str], **more: object) -> Answer:
    """200 if something is so, otherwise 503 with the reasons.

    Args:
        word: what is asked for: alive, ready.
        reasons: why it is not, one sentence each; none if it is.
        more: further fields of the JSON.
    """
    told = {word: not reasons, "reasons": list(reasons), **more}
    return Answer(503 if reasons else 200, json.dumps(told).encode() + b"\n", "application/json")


class StatusServer:
    """Answers GET requests; use it as a context manager.

    Args:
        pages: what is asked at every request, by its path; by several threads.
        settings: where to listen.

    Raises:
        TemperError: if the port is taken, or the address is not of this machine.
    """

    def __init__(self, pages: Mapping[str, Callable[[], Answer]], settings: MetricsSettings) -> None:
        where = f"{settings.address}:{settings.port}"
        try:
            self._server = _Server((settings.address, settings.port), _handler(pages))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise TemperError(
                    f"The port of the metrics, {where}, is taken by another program. Stop it, or choose another port."
                ) from error
            raise TemperError(
                f"The metrics cannot be served on {where}: {error.strerror or error}. "
                "Give an address of this machine and a port that may be used."
            ) from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True)
        self._thread.start()

    def __enter__(self) -> StatusServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(REQUEST_SECONDS)


class HeldServer(StatusServer):
    """Says what is wrong with a line that is held: it is neither alive nor ready, and has no metrics.

    Args:
        reason: what is wrong, in sentences; passwords in it are not told.
        settings: where to listen.

    Raises:
        TemperError: as :class:`StatusServer`.
    """

    def __init__(self, reason: str, settings: MetricsSettings) -> None:
        told = without_passwords(" ".join(reason.split()))
        pages = {
            "/health": lambda: state_answer("alive", [told], state="held"),
            "/ready": lambda: state_answer("ready", [told], state="held"),
            "/metrics": lambda: Answer(503, told.encode() + b"\n", "text/plain; charset=utf-8"),
        }
        super().__init__(pages, settings)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # a second program on the same port is an error, not a share of the requests
    allow_reuse_port = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is none of ours to report."""


def _handler(pages: Mapping[str, Callable[[], Answer]]) -> type[BaseHTTPRequestHandler]:
    there = ", ".join(pages)

    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_SECONDS
        server_version, sys_version = "temper", ""

        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            answer = Answer(404, f"{there}\n".encode(), "text/plain; charset=utf-8") if page is None else page()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are not worth a line each."""

    return Handler
