"""Makes a server of this machine answer as slowly as one far away."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

CHUNK_BYTES = 1 << 16


@contextlib.contextmanager
def distant(port: int, delay_seconds: float) -> Iterator[int]:
    """A port that leads to `port`; whatever is answered there takes so much longer."""

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as server:
                asking = threading.Thread(target=_copy, args=(self.request, server, 0))
                asking.start()
                _copy(server, self.request, delay_seconds)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as relay:
        relay.daemon_threads = True
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        try:
            yield relay.server_address[1]
        finally:
            relay.shutdown()


def _copy(source: socket.socket, sink: socket.socket, delay_seconds: float) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            time.sleep(delay_seconds)
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
