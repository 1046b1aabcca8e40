"""A registry of images, docker-registry, for integration tests: plain HTTP, with a password."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from system_tools import tool

USER, PASSWORD = "user", "secret"
# bcrypt of the password.
_HASH = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
_CONFIG = """\
version: 0.1
log: {{level: info, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{top}/data"}}}}
http: {{addr: "127.0.0.1:0", secret: none}}
auth: {{htpasswd: {{realm: test, path: "{top}/htpasswd"}}}}
"""
_LISTENING = re.compile(r"listening on (127\.0\.0\.1:[0-9]+)")


@dataclass(frozen=True)
class ImageRegistry:
    """A running registry; `name` is its host and port."""

    name: str
    auth_file: Path


@contextlib.contextmanager
def image_registry(top: Path) -> Iterator[ImageRegistry]:
    """A registry that keeps its files in the directory `top`; skips the test where there is none.

    `auth_file` of the registry is for REGISTRY_AUTH_FILE: without it nothing is allowed.
    """
    registry = tool("docker-registry")
    config, log = top / "config.yml", top / "log"
    config.write_text(_CONFIG.format(top=top))
    (top / "htpasswd").write_text(f"{USER}:{_HASH}\n")
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [registry, "serve", config], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as process,
    ):
        try:
            name = _name_when_it_serves(process, log)
            auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            auth_file = top / "auth.json"
            auth_file.write_text(json.dumps({"auths": {name: {"auth": auth}}}))
            yield ImageRegistry(name, auth_file)
        finally:
            process.kill()


def _name_when_it_serves(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < end:
        found = _LISTENING.search(log.read_text())
        if found:
            return found[1]
        time.sleep(0.02)
    raise AssertionError(f"docker-registry does not serve:\n{log.read_text()}")
