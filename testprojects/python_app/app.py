"""Serves one request, with parts of the standard library that need libraries of the machine."""

from __future__ import annotations

import ctypes
import json
import sqlite3
import ssl
from http.server import BaseHTTPRequestHandler, HTTPServer

import _fnv


def facts() -> dict[str, object]:
    libc = ctypes.CDLL(None)
    return {
        "abs": libc.abs(-7),
        "fnv1a": _fnv.fnv1a(b"occlum"),
        "sqlite": sqlite3.connect(":memory:").execute("SELECT 6 * 7").fetchone()[0],
        "ssl": ssl.OPENSSL_VERSION.split()[0],
    }


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(facts()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)
        server.handle_request()


if __name__ == "__main__":
    main()
