"""A remote cache server, BuildGrid, for integration tests."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

CONFIG = Path("testprojects/remote_cache/buildgrid.yaml")
LOCK = Path("3rdparty/python/buildgrid.txt")
START_SECONDS = 60


@dataclass(frozen=True)
class CacheServer:
    """A running server; its blobs lie in files below `storage`."""

    process: subprocess.Popen[bytes]
    port: int
    storage: Path

    @property
    def options(self) -> tuple[str, ...]:
        """The options of ./pants to read and write this cache."""
        return options_of(self.port)

    def blobs(self) -> dict[str, Path]:
        """SHA-256 in hex, as the server was told -> the file of the blob."""
        files = sorted(self.storage.glob("cas/objects/??/*"))
        return {path.parent.name + path.name: path for path in files}

    @contextlib.contextmanager
    def damaged(self) -> Iterator[None]:
        """Every blob's last bit is turned round, until the block ends."""
        files = list(self.blobs().values())
        _turn_last_bits(files)
        try:
            yield
        finally:
            _turn_last_bits(files)

    def kill(self) -> None:
        """End the server at once, as when its machine fails."""
        self.process.kill()
        self.process.wait()


def options_of(port: int) -> tuple[str, ...]:
    """The options of ./pants to read and write the cache at a port of this machine."""
    return (
        "--remote-cache-read",
        "--remote-cache-write",
        f"--remote-store-address=grpc://127.0.0.1:{port}",
        # A test machine is slow; and what is written must be there when ./pants has ended.
        "--remote-cache-rpc-timeout-millis=20000",
        "--session-end-tasks-timeout=60",
    )


def _turn_last_bits(files: Iterable[Path]) -> None:
    for path in files:
        content = path.read_bytes()
        if content:
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@contextlib.contextmanager
def cache_server(
    storage: Path, config: Path = CONFIG, env: Mapping[str, str] | None = None
) -> Iterator[CacheServer]:
    """A server on a free port of this machine; skips the test where there is no CPython 3.13.

    `env` is what the configuration takes from its environment besides port and storage.
    """
    bgd = buildgrid_venv() / "bin/bgd"
    port = free_port()
    log = storage.with_suffix(".log")
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [bgd, "server", "start", config],
            env={
                **os.environ,
                "CACHE_PORT": str(port),
                "CACHE_STORAGE": str(storage),
                **(env or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            _wait_until_it_serves(process, port, log)
            yield CacheServer(process, port, storage)
        finally:
            process.kill()


def buildgrid_venv() -> Path:
    """The environment that BUILDGRID_VENV names, or one of the lock file, installed only once."""
    named = os.environ.get("BUILDGRID_VENV")
    if named:
        return Path(named)
    python = _newest_python()
    key = hashlib.sha256(LOCK.read_bytes() + str(python).encode()).hexdigest()[:16]
    venv = _cache_dir() / f"buildgrid-{key}"
    complete = venv / "complete"
    venv.parent.mkdir(parents=True, exist_ok=True)
    with venv.with_suffix(".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            subprocess.run([python, "-m", "venv", "--clear", venv], check=True)
            install = ("install", "--quiet", "--require-hashes", "--only-binary", ":all:")
            subprocess.run([venv / "bin/python", "-m", "pip", *install, "-r", LOCK], check=True)
            complete.touch()
    return venv


def _cache_dir() -> Path:
    """Where the server's environment is kept: a test's own sandbox is gone after it."""
    given = os.environ.get("OCCLUM_TEST_CACHE")
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    return Path(given) if given else home / ".cache/occlum-build-tests"


def _newest_python() -> Path:
    """A CPython 3.13 that works: one on PATH may be a shim of pyenv that only fails."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    on_path = shutil.which("python3.13")
    found = sorted(pyenv.glob("versions/3.13*/bin/python3.13"))
    for python in [*([Path(on_path)] if on_path else []), *found]:
        if subprocess.run([python, "-c", "import venv"], capture_output=True).returncode == 0:
            return python
    import pytest  # benchmarks, which have none, run this too

    pytest.skip("there is no python3.13 on this machine, which BuildGrid needs")


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def _wait_until_it_serves(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(f"the remote cache server does not serve:\n{log.read_text()}")
