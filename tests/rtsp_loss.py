"""An RTSP server seen through a bad network: RTP packets go missing on the way, over TCP so that it is known which."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def lossy(server_port: int, drop: Callable[[int], bool]) -> Iterator[int]:
    """The port of a proxy on loopback.

    Args:
        server_port: of the real server.
        drop: is asked of each RTP packet of the picture by its number, from 0.
    """
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    server = socket.create_connection(("127.0.0.1", server_port))
                    connections.extend((client, server))
                    ours, theirs = f"127.0.0.1:{port}/".encode(), f"127.0.0.1:{server_port}/".encode()
                    threading.Thread(target=_up, args=(client, server, ours, theirs), daemon=True).start()
                    threading.Thread(target=_down, args=(server, client, drop), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield port
        finally:
            for one in connections:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()


def _up(client: socket.socket, server: socket.socket, ours: bytes, theirs: bytes) -> None:
    with contextlib.suppress(OSError):
        while said := client.recv(65_536):
            server.sendall(said.replace(ours, theirs))
        server.shutdown(socket.SHUT_RDWR)


def _down(server: socket.socket, client: socket.socket, drop: Callable[[int], bool]) -> None:
    number = 0
    with contextlib.suppress(OSError, EOFError):
        while True:
            head = _read(server, 1)
            if head == b"$":  # RFC 2326, 10.12: channel and length, then the packet
                head += _read(server, 3)
                packet = _read(server, int.from_bytes(head[2:], "big"))
                if head[1] == 0:
                    number += 1
                    if drop(number - 1):
                        continue
                client.sendall(head + packet)
                continue
            while not head.endswith(b"\r\n\r\n"):
                head += _read(server, 1)
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            client.sendall(head + (_read(server, int(length[1])) if length else b""))
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)


def _read(source: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        if not (more := source.recv(count - len(got))):
            raise EOFError
        got += more
    return got
