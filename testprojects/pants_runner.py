"""Runs the real ./pants on a copy of this project, for integration tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# The parts of this project that an inner run always needs; //:project has the same.
PROJECT_PARTS = (
    *("pants", "pants.toml", "3rdparty/python/launcher.txt", "3rdparty/python/pex.txt"),
    *("src/python", "rules"),
)
# Most tests need no other: Pants starts in half the time without its Python backend.
OURS = ("pants_occlum",)


@dataclass(frozen=True)
class PantsResult:
    """The end of one run of ./pants."""

    exit_code: int
    stdout: str
    stderr: str

    def expect(self, exit_code: int) -> PantsResult:
        """This result, if it has that exit code; what was printed is in the error if not."""
        if self.exit_code != exit_code:
            raise AssertionError(
                f"./pants ended with {self.exit_code}, not {exit_code}\n"
                f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"
            )
        return self


@dataclass(frozen=True)
class PantsRunner:
    """A build root of its own, with its own caches, home directory and pantsd, all below `top`.

    `wrapper` is a command that ./pants and its arguments are given to.
    """

    top: Path
    options: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    wrapper: tuple[str, ...] = ()

    @property
    def build_root(self) -> Path:
        return self.top / "root"

    @property
    def dist(self) -> Path:
        return self.build_root / "dist"

    def run(self, *args: str, env: Mapping[str, str] | None = None) -> PantsResult:
        """Run ./pants with these arguments; `env` adds to the runner's environment."""
        done = subprocess.run(
            self.command(*args),
            cwd=self.build_root,
            env={**self.environment(), **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        return PantsResult(done.returncode, done.stdout, done.stderr)

    def command(self, *args: str) -> list[str]:
        """How ./pants is started with these arguments, in the build root."""
        return [*self.wrapper, "./pants", *self.options, *args]

    def write(self, path: str, text: str) -> Path:
        """Write a text file at a path relative to the build root, with its parents.

        It is put in place whole: of a file that is emptied and then written pantsd is told twice,
        and what it is told in the middle of a run makes nodes run again.
        """
        file, written = self.build_root / path, self.top / "written"
        file.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(text, encoding="utf-8")
        if file.exists():
            shutil.copymode(file, written)
        os.replace(written, file)
        return file

    def stop_pantsd(self) -> None:
        """End the pantsd of this build root, if one runs."""
        for pid in self.pantsd_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def pantsd_pids(self) -> list[int]:
        """The process ids of the pantsd of this build root: none or one."""
        files = sorted(self.build_root.glob(".pids/*/pantsd/pid"))
        return [int(file.read_text()) for file in files]

    def environment(self) -> dict[str, str]:
        """The environment that ./pants is started in."""
        return {
            "HOME": str(self.top / "home"),
            "LANG": "C.UTF-8",
            "OCCLUM_VENV": os.environ["OCCLUM_VENV"],
            "PANTS_CONCURRENT": "false",
            "PANTS_DYNAMIC_UI": "false",
            "PANTS_LOCAL_STORE_DIR": str(self.top / "store"),
            "PANTS_NAMED_CACHES_DIR": str(self.top / "named_caches"),
            "PANTS_PANTSRC": "false",
            "PATH": os.environ["PATH"],
            **self.env,
        }


@contextlib.contextmanager
def pants_runner(
    top: Path,
    *,
    parts: Sequence[str] = (),
    backends: Sequence[str] | None = OURS,
    options: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    wrapper: Sequence[str] = (),
) -> Iterator[PantsRunner]:
    """A runner on a fresh copy of this project in the empty directory `top`.

    `backends` are those that Pants loads, of which OURS reads no BUILD file of the copied sources;
    None: those of this project.

    `parts` are further paths to copy, such as "testprojects/hello"; the test needs a dependency
    on a files() target of each. Paths are relative to the working directory, which is the root of
    the project under Pants, too. `options` are given to each run, as are `env` and `wrapper`.
    """
    env = dict(env or {})
    if backends is not None:
        # pants.toml has sections of backends that are not loaded.
        env = {"PANTS_BACKEND_PACKAGES": str(list(backends)), "PANTS_VERIFY_CONFIG": "false", **env}
    runner = PantsRunner(top, tuple(options), env, tuple(wrapper))
    (top / "home").mkdir(parents=True)
    for part in (*PROJECT_PARTS, *parts):
        copy = runner.build_root / part
        copy.parent.mkdir(parents=True, exist_ok=True)
        if Path(part).is_dir():
            of_python = backends is not None and part in PROJECT_PARTS
            ignored = shutil.ignore_patterns("BUILD") if of_python else None
            shutil.copytree(part, copy, symlinks=True, ignore=ignored)
        else:
            shutil.copy2(part, copy)
    with _guard(runner):
        try:
            yield runner
        finally:
            runner.stop_pantsd()


# Reads to the end of the pipe that a dead test leaves. A pantsd that was just being started has
# its pid file later, on a busy machine by many seconds.
_GUARD = """
cat
seconds=60
while [ $((seconds -= 1)) -gt 0 ]; do
    for pid_file in .pids/*/pantsd/pid; do
        [ -r "$pid_file" ] && kill "$(cat "$pid_file")" 2>/dev/null && exit
    done
    sleep 1
done
"""


@contextlib.contextmanager
def _guard(runner: PantsRunner) -> Iterator[None]:
    """End the runner's pantsd when this process is killed, as Pants kills a test that it retries.

    Such a test comes to no `finally`, and pantsd would stay for good with some 350 MB.
    """
    with subprocess.Popen(
        ["sh", "-c", _GUARD], cwd=runner.build_root, stdin=subprocess.PIPE, start_new_session=True
    ) as guard:
        try:
            yield
        finally:
            guard.kill()
