"""Speaks with a language server over its standard streams, as an editor does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Json = Any


class LanguageServer:
    """A running server; `settings` are what it gets when it asks for its configuration."""

    def __init__(self, command: Sequence[str], folder: Path, settings: Mapping[str, Json]) -> None:
        self.settings = settings
        self.diagnostics: dict[str, list[Json]] = {}
        self._number = 0
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        capabilities = {
            "workspace": {"configuration": True, "didChangeConfiguration": {}},
            "textDocument": {
                "completion": {"completionItem": {"snippetSupport": True}},
                "publishDiagnostics": {},
            },
        }
        self.ask(
            "initialize",
            {
                "processId": None,
                "rootUri": folder.as_uri(),
                "capabilities": capabilities,
                "initializationOptions": {"handledSchemaProtocols": ["file"]},
            },
        )
        self._send({"method": "initialized", "params": {}})
        self._send({"method": "workspace/didChangeConfiguration", "params": {"settings": settings}})

    def __enter__(self) -> LanguageServer:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def open(self, path: Path, language: str) -> list[Json]:
        """What the server finds wrong with a file that was not opened before."""
        document = {
            "uri": path.as_uri(),
            "languageId": language,
            "version": 1,
            "text": path.read_text(),
        }
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        while path.as_uri() not in self.diagnostics:
            self._take(self._receive())
        return self.diagnostics[path.as_uri()]

    def completions(self, path: Path, line: int, column: int) -> list[str]:
        """The labels that are offered at a place; both numbers count from 0."""
        at = {
            "textDocument": {"uri": path.as_uri()},
            "position": {"line": line, "character": column},
        }
        found = self.ask("textDocument/completion", at)
        return [item["label"] for item in (found["items"] if isinstance(found, dict) else found)]

    def ask(self, method: str, params: Json) -> Json:
        """The result of a request."""
        self._number += 1
        self._send({"id": self._number, "method": method, "params": params})
        while True:
            message = self._receive()
            if message.get("id") == self._number and "method" not in message:
                if "error" in message:
                    raise RuntimeError(message["error"])
                return message["result"]
            self._take(message)

    def _take(self, message: Json) -> None:
        """Keep what is wrong with a file, and answer what is asked."""
        if message.get("method") == "textDocument/publishDiagnostics":
            self.diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif message.get("method") == "workspace/configuration":
            asked = [item.get("section", "") for item in message["params"]["items"]]
            result = [self.settings.get(section) for section in asked]
            self._send({"id": message["id"], "result": result})
        elif "id" in message and "method" in message:
            self._send({"id": message["id"], "result": None})

    def _send(self, message: Json) -> None:
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        stream = self._process.stdin
        assert stream is not None
        stream.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        stream.flush()

    def _receive(self) -> Json:
        stream = self._process.stdout
        assert stream is not None
        size = 0
        for line in iter(stream.readline, b"\r\n"):
            if not line:
                raise EOFError("the language server has ended")
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                size = int(value)
        return json.loads(stream.read(size))
