"""Runs ./pants and measures it from outside: time, CPU, memory, and what its store grows by."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pants_runner import PantsRunner

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20


@dataclass(frozen=True)
class Run:
    """One run: seconds of time and of CPU, peaks of resident memory and growth in bytes.

    `client_cpu` and `client_rss` are those of ./pants, `pantsd_cpu` and `pantsd_rss` those of
    pantsd during the run; its processes count as its CPU, not as its memory. `pantsd_rss` is None
    when pantsd ended with the run. `store_bytes` is the growth of the local store on the disk,
    `restarted` whether pantsd, which ran before, is gone or another one afterwards.
    """

    seconds: float
    client_cpu: float
    pantsd_cpu: float
    client_rss: int
    pantsd_rss: int | None
    store_bytes: int
    restarted: bool

    @property
    def cpu(self) -> float:
        return self.client_cpu + self.pantsd_cpu


@dataclass(frozen=True)
class MeasuredPants:
    """A runner whose runs are measured."""

    runner: PantsRunner

    def run(self, *args: str) -> Run:
        """Run ./pants, which must succeed."""
        before = self._pantsd()
        cpu_before = 0.0
        if before is not None:
            cpu_before = _cpu_seconds(before)
            Path(f"/proc/{before}/clear_refs").write_text("5")  # proc(5): resets VmHWM
        store_before = self._store_bytes()
        start = time.perf_counter()
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                self.runner.command(*args),
                cwd=self.runner.build_root,
                env=self.runner.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1
            if process.returncode:
                output.seek(0)
                raise SystemExit(f"./pants {' '.join(args)} failed:\n{output.read()}")
        after = self._pantsd()
        pantsd_cpu = peak = None
        if after is not None:
            pantsd_cpu = _cpu_seconds(after) - (cpu_before if after == before else 0)
            peak = _peak_rss_bytes(after)
        return Run(
            seconds=seconds,
            client_cpu=usage.ru_utime + usage.ru_stime,
            pantsd_cpu=pantsd_cpu or 0.0,
            client_rss=usage.ru_maxrss * 1024,
            pantsd_rss=peak,
            store_bytes=self._store_bytes() - store_before,
            restarted=before is not None and after != before,
        )

    def _pantsd(self) -> int | None:
        """The process id of the pantsd that runs."""
        alive = [pid for pid in self.runner.pantsd_pids() if Path(f"/proc/{pid}/stat").exists()]
        return alive[0] if alive else None

    def _store_bytes(self) -> int:
        """What the local store takes on the disk: its databases are files with holes."""
        found = {}
        for folder, _, names in os.walk(self.runner.top / "store"):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    status = os.lstat(os.path.join(folder, name))
                    found[status.st_dev, status.st_ino] = status.st_blocks * 512
        return sum(found.values())


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process and of those of its children that have ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS_A_SECOND


def _peak_rss_bytes(pid: int) -> int | None:
    for line in _status(pid):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def _status(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8") as file:
        yield from file
