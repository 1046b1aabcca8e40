"""Remote execution for integration tests: BuildGrid on PostgreSQL, and workers of their own.

A worker runs in a mount namespace where the folders of whoever runs the tests are empty: the home
directory, the checkout, the environment of ./pants. It has its own link to an interpreter.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cache_server import CacheServer, buildgrid_venv, cache_server, free_port, options_of

CONFIG = Path("testprojects/remote_execution/buildgrid.yaml")
WORKER = Path("testprojects/remote_execution/worker.py")
NOBODY = 65534
START_SECONDS = 60


@dataclass(frozen=True)
class Worker:
    """A worker that runs; `folder` has its log and nothing of the test's."""

    process: subprocess.Popen[bytes]
    folder: Path

    def log(self, event: str) -> list[dict[str, Any]]:
        """What it has written: that it is `ready`, of actions that they are `leased` or `ran`."""
        log = self.folder / "log"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return [one for one in map(json.loads, lines) if one["event"] == event]

    def wait_until_ready(self) -> None:
        """Without workers a build would wait for ever."""
        end = time.monotonic() + START_SECONDS
        while not self.log("ready"):
            if self.process.poll() is not None or time.monotonic() > end:
                told = (self.folder / "output").read_text(errors="replace")
                raise AssertionError(f"the worker does not work:\n{told}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, with what it runs, as when its machine fails."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(frozen=True)
class ExecutionServer:
    """A server that leases actions to workers. `top` has a folder for each, and their caches."""

    server: CacheServer
    top: Path

    @property
    def base_path(self) -> Path:
        """The workers' named caches, with the link to their interpreter."""
        return self.top / "caches"

    @property
    def options(self) -> tuple[str, ...]:
        """The options of ./pants to run processes on the workers."""
        return self.options_with(self.base_path)

    def options_with(self, base_path: Path) -> tuple[str, ...]:
        """The same, with another place of the workers' named caches."""
        address = f"grpc://127.0.0.1:{self.server.port}"
        return (
            *options_of(self.server.port)[2:],
            "--remote-execution",
            f"--remote-execution-address={address}",
            f"--remote-execution-append-only-caches-base-path={base_path}",
            "--process-execution-remote-parallelism=8",
        )

    @contextlib.contextmanager
    def worker(
        self, name: str, *hidden: Path, links: Mapping[Path, Path] | None = None
    ) -> Iterator[Worker]:
        """A worker for which the folders `hidden`, and all of this user's, are empty.

        `links` are made in these, by their paths.
        """
        folder = self.top / name
        folder.mkdir()
        program = shutil.copy(WORKER, folder)
        python = buildgrid_venv() / "bin/python"
        command = (str(python), program, f"127.0.0.1:{self.server.port}", name, str(folder))
        kept = [buildgrid_venv(), _prefix(python), _prefix(interpreter()), self.top]
        with (
            (folder / "output").open("wb") as output,
            subprocess.Popen(
                _hiding([*hidden, *_own_folders()], kept, links or {}, command),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            ) as process,
        ):
            worker = Worker(process, folder)
            try:
                worker.wait_until_ready()
                yield worker
            finally:
                worker.kill()


@contextlib.contextmanager
def execution_server(top: Path) -> Iterator[ExecutionServer]:
    """A server without workers; skips the test where this machine lacks what it takes."""
    _skip_without_namespaces()
    with _database(top / "postgresql.log") as url:
        bgd = buildgrid_venv() / "bin/bgd"
        subprocess.run([bgd, "migrate", "apply", url], check=True, capture_output=True)
        with cache_server(top / "storage", CONFIG, {"SQL_URL": url}) as server:
            found = ExecutionServer(server, top / "workers")
            link = found.base_path / "occlum_python/python"
            link.parent.mkdir(parents=True)
            link.symlink_to(interpreter())
            yield found


@contextlib.contextmanager
def _database(log: Path) -> Iterator[str]:
    """The URL of a PostgreSQL with data of its own, which does not run as root."""
    programs = _postgresql()
    as_user: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory(prefix="occlum-postgresql-") as folder, log.open("wb") as out:
        if os.geteuid() == 0:
            as_user = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
            os.chown(folder, NOBODY, NOBODY)
        port = free_port()
        data = f"{folder}/data"
        own: dict[str, Any] = {"cwd": folder, "stdout": out, "stderr": out}
        init = ("--auth=trust", "--username=bgd", "--no-sync", "--encoding=UTF8", "--locale=C")
        subprocess.run([*as_user, programs / "initdb", *init, data], check=True, **own)
        settings = (f"port={port}", "listen_addresses=127.0.0.1", "fsync=off")
        sockets = ("-c", "unix_socket_directories=")
        options = [part for one in settings for part in ("-c", one)]
        with subprocess.Popen(
            [*as_user, programs / "postgres", "-D", data, *options, *sockets], **own
        ) as process:
            try:
                _wait_for(programs / "pg_isready", process, port)
                yield f"postgresql://bgd@127.0.0.1:{port}/postgres"
            finally:
                process.send_signal(signal.SIGINT)  # fast: it waits for nobody


def _postgresql() -> Path:
    """Where its programs are, which Debian does not have on PATH; skips the test without any."""
    on_path = shutil.which("postgres")
    places = [Path(on_path).resolve().parent] if on_path else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        if all((place / program).exists() for program in ("initdb", "pg_isready", "postgres")):
            return place
    pytest.skip("there is no PostgreSQL on this machine, which BuildGrid needs to run actions")


def _wait_for(ready: Path, process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if subprocess.run([ready, "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError("PostgreSQL does not serve")


def interpreter() -> Path:
    """What ./pants and its processes run with."""
    return Path(os.environ["OCCLUM_VENV"], "bin/python").resolve()


def _prefix(python: Path) -> Path:
    return python.resolve().parents[1]


def _own_folders() -> list[Path]:
    """What this user has that a worker of another machine would not have."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    return [home, Path.cwd(), Path(os.environ["OCCLUM_VENV"])]


def _hiding(
    hidden: Sequence[Path],
    kept: Sequence[Path],
    links: Mapping[Path, Path],
    command: Sequence[str],
) -> list[str]:
    """A command in a mount namespace where folders are empty, but for what is kept of them."""
    script = ["set -e", "mount -t tmpfs tmpfs /mnt", "stage=/mnt"]
    for number, path in enumerate(kept):
        script.append(f'mkdir -p "$stage/{number}"')
        script.append(f'mount --bind {_quoted(path)} "$stage/{number}"')
    for path in hidden:
        script.append(f"[ ! -d {_quoted(path)} ] || mount -t tmpfs tmpfs {_quoted(path)}")
    for number, path in enumerate(kept):
        if path != Path("/usr"):
            script.append(f"mkdir -p {_quoted(path)}")
            script.append(f'mount --bind "$stage/{number}" {_quoted(path)}')
    for link, leads_to in links.items():
        script.append(f"mkdir -p {_quoted(link.parent)}; ln -s {_quoted(leads_to)} {_quoted(link)}")
    return [*_namespace(), "sh", "-c", "\n".join([*script, 'exec "$@"']), "sh", *command]


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _namespace() -> list[str]:
    return ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]


def _skip_without_namespaces() -> None:
    probe = subprocess.run(
        _hiding([Path("/mnt")], [], {}, ["true"]), capture_output=True, text=True
    )
    if probe.returncode:
        pytest.skip(f"no mount namespaces on this machine: {probe.stderr.strip()}")
