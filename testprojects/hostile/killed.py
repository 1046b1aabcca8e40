"""A command that is hit at each of its system calls, and what it may leave then."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable

from hostile.injected import KILL, Call, Injector, Ran
from occlum_build.files.prefix import PREFIX
from occlum_build.files.stages import JOURNAL, is_temporary

KEY = "c0-ff-ee-00-11-22-33-44-55-66-77-88-99-aa-bb-cd\n"
Record = Callable[[str, object], None]
Seen = dict[str, tuple[int, bytes]]
# Of these only the length tells, as each run makes another one.
RANDOM = "image-key"


def seen(folder: Path) -> Seen:
    """Mode, and content or target, of all below a directory."""
    found: Seen = {}
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                mode = entry.stat(follow_symlinks=False).st_mode
                path = entry.path[len(str(folder)) + 1 :]
                content = b""
                if stat.S_ISREG(mode):
                    content = Path(entry.path).read_bytes()
                elif stat.S_ISLNK(mode):
                    content = os.fsencode(os.readlink(entry.path))
                else:
                    pending.append(Path(entry.path))
                if path.endswith(RANDOM) and len(content) == len(KEY):
                    content = b"a key"
                found[path] = (mode, content)
    return found


def contents(found: Seen) -> dict[str, bytes]:
    """Without modes, which not every copy keeps."""
    return {path: content for path, (_, content) in found.items()}


def left_over(found: Seen) -> list[str]:
    return [path for path in found if any(map(is_temporary, path.split("/")))]


def without_left_over(found: Seen) -> Seen:
    left = set(left_over(found))
    return {path: one for path, one in found.items() if path not in left}


@dataclass
class Scene:
    """A directory `work` that a command changes from `old` to `new`, and others that may follow."""

    injector: Injector
    work: Path
    call: Call
    old: Seen = field(default_factory=dict)
    new: Seen = field(default_factory=dict)
    # Commands that fail, or change nothing, but complete what a killed run had decided.
    others: tuple[Call, ...] = ()
    # Each file is a result of its own, of which some may be there.
    grows: bool = False
    hits: int = 0
    copies_told: int = 0

    def start(self) -> None:
        """Keep the state as the old one, run the command once, and see what it makes."""
        self.old = seen(self.work)
        shutil.copytree(self.work, self._kept, symlinks=True)
        self.new = self._after_success()
        assert self.new != self.old and not left_over(self.new)
        self.reset()

    @property
    def _kept(self) -> Path:
        return self.work.with_name(f"{self.work.name}.kept")

    def reset(self) -> None:
        if seen(self.work) != self.old:
            shutil.rmtree(self.work)
            shutil.copytree(self._kept, self.work, symlinks=True)

    def _after_success(self) -> Seen:
        ran = self.injector.run(self.call)
        assert ran.code == 0, ran
        return seen(self.work)

    def check_next(self, ran: Ran) -> None:
        """The next run cleans up, of this command or, as that is quicker, one that fails."""
        if not self.others or not self.hits % 10:
            self.check_success(ran)
        else:
            self.check_other(ran, self.others[-1])

    def check_other(self, ran: Ran, call: Call) -> None:
        """Another command leaves the old or the new, whatever it does itself."""
        followed = self.injector.run(call)
        found = seen(self.work)
        assert not followed.has_traceback, f"{ran}\n{followed}"
        assert found in (self.old, self.new), f"{ran}\n{followed}\n{self.differences(found)}"

    def check_success(self, ran: Ran) -> None:
        """This command makes the new, or says that it is there."""
        followed = self.injector.run(self.call)
        found = seen(self.work)
        assert found == self.new, f"{ran}\n{followed}\n{self.differences(found)}"
        is_told = "exists already" in followed.err or "instance already" in followed.err
        assert followed.code == 0 or is_told, f"{ran}\n{followed}"

    def differences(self, found: Seen) -> str:
        return "\n".join(
            f"not as {name}: {sorted(p for p in {*found, *state} if found.get(p) != state.get(p))}"
            for name, state in (("before", self.old), ("after", self.new))
        )

    def kill_at_each_change(self) -> None:
        for ran in self.injector.each(self.call, KILL, self.reset):
            self.hits += 1
            stages = (one.parent for one in self.work.rglob(f"{PREFIX}*/{JOURNAL}"))
            if any(str(one).count(PREFIX) == 1 for one in stages):  # else only the stage changes
                self.check_copy(ran)
                self.check_moved(ran)
            if list(self.work.glob(f"{PREFIX}*/{JOURNAL}")):
                self.check_each_follower(ran)
            self.check_next(ran)

    def check_copy(self, ran: Ran) -> None:
        """A run in a copy completes that or tells what it is, and nothing happens elsewhere."""
        copy, before = self.work.with_name("a copy"), seen(self.work)
        call = self.others[-1] if self.others else self.call
        for options in ("-a", "-r"):
            subprocess.run(["cp", options, self.work, copy], check=True)
            self.hits += 1
            followed = self.injector.run(replace(call, cwd=copy))
            assert seen(self.work) == before, f"{ran}\n{followed}"
            assert not followed.has_traceback, f"{ran}\n{followed}"
            is_told = "this is a copy of a directory in the middle of a change" in followed.err
            if is_told:
                self.copies_told += 1
                assert options == "-r" and len(followed.err.splitlines()) == 2, f"{ran}\n{followed}"
            else:
                found = contents(seen(copy))
                assert found in (contents(self.old), contents(self.new)), f"{ran}\n{followed}"
            shutil.rmtree(copy)

    def check_moved(self, ran: Ran) -> None:
        """It is completed where it was moved to."""
        moved = self.work.with_name("moved")
        self.work.rename(moved)
        self.hits += 1
        followed = self.injector.run(replace(self.call, cwd=moved))
        assert seen(moved) == self.new, f"{ran}\n{followed}"
        shutil.rmtree(moved)
        shutil.copytree(self._kept, self.work, symlinks=True)
        self.injector.run(self.call, at=ran.calls, error=KILL, only_changes=True)

    def check_each_follower(self, ran: Ran) -> None:
        """Of a change that was decided any of them completes it."""
        self.check_success(ran)
        for call in self.others:
            self.reset()
            killed = self.injector.run(self.call, at=ran.calls, error=KILL, only_changes=True)
            self.hits += 1
            self.check_other(killed, call)
            assert seen(self.work) == self.new, killed

    def fail_at_each_call(self, *, with_reads: bool) -> None:
        for number, only_changes in ((errno.EIO, not with_reads), (errno.ENOSPC, True)):
            for ran in self.injector.each(self.call, number, self.reset, only_changes=only_changes):
                self.hits += 1
                self.check_failed(ran)

    def fill_the_disk_at_each_call(self) -> None:
        for ran in self.injector.each(self.call, errno.ENOSPC, self.reset, lasting=True):
            self.hits += 1
            self.check_failed(ran)

    def check_failed(self, ran: Ran) -> None:
        """Old with one error, or new without; what could not be removed the next run removes.

        No message has a name that was there for a moment only.
        """
        found = seen(self.work)
        assert PREFIX not in ran.out + ran.err, ran
        assert not ran.has_traceback, ran
        if ran.code == 0:
            assert without_left_over(found) == self.new, f"{ran}\n{self.differences(found)}"
        else:
            assert self._is_old(without_left_over(found)), f"{ran}\n{self.differences(found)}"
            errors = [line for line in ran.err.splitlines() if line.startswith("error: ")]
            assert len(errors) == 1, ran
        if left_over(found):
            self.check_next(ran)

    def _is_old(self, found: Seen) -> bool:
        if self.grows:
            return {**found, **self.old}.items() <= {**self.new, **self.old}.items()
        return found == self.old

    def hit_all(self, record_property: Record, *, with_reads: bool = True) -> None:
        """Without reads, which are those of another test: only what changes files."""
        self.start()
        self.kill_at_each_change()
        self.fail_at_each_call(with_reads=with_reads)
        self.fill_the_disk_at_each_call()
        assert self.hits > 50
        record_property("runs killed or failed", self.hits)
