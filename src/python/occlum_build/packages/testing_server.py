"""A mirror on loopback for tests: a directory by HTTP, which can be made to refuse and to lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import SSLContext
from threading import Event, Thread
from typing import NamedTuple
from urllib.parse import unquote


class Answer(NamedTuple):
    """What a server says: length -1 for what the body has; stays: seconds before it closes."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    length: int = -1
    stays: float = 0


class MirrorServer:
    """url: of its root. asked: the paths that were asked for, in order. answers: by path.

    headers: of the last request.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[str] = []
        self.answers: dict[str, Answer] = {}
        self.otherwise: Callable[[str], Answer] = self._file
        self.url = ""
        self.headers: dict[str, str] = {}
        self._released = Event()

    def release(self) -> None:
        """Let go of whoever is kept waiting."""
        self._released.set()

    def stay(self, seconds: float) -> None:
        self._released.wait(seconds)

    def _file(self, path: str) -> Answer:
        file = self.root / unquote(path).lstrip("/")
        return Answer(body=file.read_bytes()) if file.is_file() else Answer(404, b"no such file")

    def answer(self, path: str) -> Answer:
        self.asked.append(path)
        return self.answers[path] if path in self.answers else self.otherwise(path)


@contextmanager
def served(root: Path, context: SSLContext | None = None) -> Iterator[MirrorServer]:
    """Serve a directory while the block runs; by HTTPS where there is a context."""
    mirror = MirrorServer(root)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mirror.headers = dict(self.headers)
            answer = mirror.answer(self.path)
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            length = len(answer.body) if answer.length < 0 else answer.length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(answer.body)
            if answer.stays:
                self.wfile.flush()
                mirror.stay(answer.stays)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    mirror.url = f"http{'s' if context else ''}://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield mirror
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def nobody_listens() -> str:
    """A URL that refuses connections."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    port = server.server_address[1]
    server.server_close()
    return f"http://127.0.0.1:{port}"
