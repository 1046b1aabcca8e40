"""Makes the index of a .deb: `... packages.indexing DEB INDEX_JSON CONTROL MD5SUMS [plain]`.

It depends on the content of the .deb alone, so that it can be cached by it. CONTROL and MD5SUMS are
files with these control members, byte for byte. With `plain` /usr is not merged.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import posixpath
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from occlum_build.elf.archive import read_outcome
from occlum_build.elf.facts import Outcome, may_hold_elf, outcome_to_json
from occlum_build.files.bounds import shown_bytes
from occlum_build.files.compressed import BadArchive
from occlum_build.files.tar_reader import (
    DEVICE,
    FIFO,
    HARD_LINK,
    MAX_BYTES,
    MAX_NAME_BYTES,
    UNKNOWN,
    Member,
    entries_of,
)
from occlum_build.files.tar_reader import DIR as DIRECTORY
from occlum_build.files.tar_reader import FILE as FILE_MEMBER
from occlum_build.files.tar_reader import SYMLINK as SYMLINK_MEMBER
from occlum_build.files.trees import PATH_BYTES
from occlum_build.packages.deb import Deb, control_files, opened
from occlum_build.packages.index import DebIndex, Entry, write_index
from occlum_build.packages.md5sums import MD5SUMS, Md5Sums
from occlum_build.packages.paths import canonical, check_text, is_top, leads_to
from occlum_build.packages.scripts import SCRIPTS, read_scripts
from occlum_build.packages.stanzas import one_line, stanzas_of
from occlum_build.process.step import run_step
from occlum_build.shown import quoted, some
from occlum_build.sources.model import DIR, FILE, SYMLINK

_NEEDED = ("Package", "Version", "Architecture")
# Of the control file, what later steps ask for.
FIELDS = (
    *("Source", "Multi-Arch", "Essential", "Priority", "Section", "Installed-Size"),
    *("Pre-Depends", "Depends", "Recommends", "Provides", "Replaces", "Breaks", "Conflicts"),
)
MAX_FACTS_BYTES = 64 << 20  # as JSON; those of the largest known have 2 MB
_IN_MEMORY_BYTES = 32 << 20
# As dpkg takes them, which is more than Debian Policy, 5.6, allows.
_SHAPES = {
    "Package": re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*"),
    "Version": re.compile(r"[0-9A-Za-z.+~:-]+"),
    "Architecture": re.compile(r"[a-z0-9][a-z0-9-]*"),
}


class ReadDeb(NamedTuple):
    """What one .deb holds, and its control members for those who look for packages in an image.

    md5sums: computed where the package brings none.
    """

    holds: DebIndex
    control: bytes
    md5sums: bytes


def index_deb(path: Path, *, merged_usr: bool = True, name: str = "") -> DebIndex:
    """Read a .deb to its end; `name` is what errors call it. Raises OcclumError `deb-file`."""
    return read_deb(path, merged_usr=merged_usr, name=name).holds


def read_deb(path: Path, *, merged_usr: bool = True, name: str = "") -> ReadDeb:
    """As `index_deb`, with the control members."""
    with opened(path, name) as deb:
        control = control_files(deb, ["control", MD5SUMS, *SCRIPTS], large=MD5SUMS)
        fields = _fields(control.get("control"))
        sums = None if MD5SUMS in control else Md5Sums()
        data = _Data(merged_usr, sums)
        data.read(deb)
        scripts = read_scripts(control, merged_usr)
        index = DebIndex(
            package=fields["Package"],
            version=fields["Version"],
            architecture=fields["Architecture"],
            control={name: fields[name] for name in FIELDS if name in fields},
            entries=dict(sorted(data.entries.items())),
            facts=dict(sorted(data.facts.items())),
            alternatives=scripts.alternatives,
            diversions=scripts.diversions,
            told=(*data.told(), *scripts.told),
            merged_usr=merged_usr,
        )
        md5sums = sums.text() if sums is not None else control[MD5SUMS]
        return ReadDeb(index, control["control"], md5sums)


def stanza_of_deb(path: Path) -> dict[str, str]:
    """What a .deb says of itself, as an archive would. Raises OcclumError `deb-file`."""
    with opened(path) as deb:
        return dict(_fields(control_files(deb, ["control"]).get("control")))


def _fields(control: bytes | None) -> Mapping[str, str]:
    if control is None:
        raise BadArchive("it has no control file")
    stanza = next(stanzas_of(control, (*_NEEDED, *FIELDS)), {})
    for name in _NEEDED:
        value = stanza.get(name, "")
        if not _SHAPES[name].fullmatch(value):
            raise BadArchive(f"{name} in its control file is {quoted(value)}")
    for name, value in stanza.items():
        check_text(value, name)
    return {name: one_line(value) for name, value in stanza.items()}


class _Data:
    """The entries of a package's data, as they come."""

    def __init__(self, merged_usr: bool, sums: Md5Sums | None = None) -> None:
        self.entries: dict[str, Entry] = {}
        self.facts: dict[str, Outcome] = {}
        self._merged_usr, self._sums = merged_usr, sums
        self._left_out: list[str] = []
        self._to_themselves: list[str] = []
        self._bytes = self._facts_bytes = 0

    def read(self, deb: Deb) -> None:
        for member, chunks in entries_of(deb.data):
            path = canonical(member.name, self._merged_usr)
            if member.kind in (DEVICE, FIFO):
                self._left_out.append(path)
            elif self._merged_usr and is_top(member.name):
                self._check_top(member, path)
            else:
                self._add(path, self._entry(member, path, chunks), member.name)
        self._check_parents()

    def told(self) -> Iterator[str]:
        if self._left_out:
            yield f"no image holds devices and fifos: {some(sorted(self._left_out))} left out"

        lost = [path for path in self._to_themselves if path not in self.entries]
        if lost:
            yield f"links to themselves where /usr is merged: {some(sorted(lost))} left out"

    def _entry(self, member: Member, path: str, chunks: Iterator[bytes]) -> Entry:
        if member.kind == FILE_MEMBER:
            if self._sums is not None:
                chunks = self._sums.passed(member.name, chunks)
            return self._file(member, chunks)
        if member.kind == SYMLINK_MEMBER:
            target = member.link or ""
            check_text(target, path)
            if not target or len(target.encode()) > PATH_BYTES:
                raise BadArchive(f"the link {quoted(path)} in it leads nowhere")
            return Entry(SYMLINK, target=target)
        if member.kind == HARD_LINK:
            found = self.entries.get(canonical(member.link or "", self._merged_usr))
            if found is None or found.type == DIR:
                raise BadArchive(f"{quoted(path)} in it is a hard link to no file before it")
            if self._sums is not None:
                self._sums.same(member.name, member.link or "")
            return found
        if member.kind == UNKNOWN:
            raise BadArchive(f"{quoted(path)} in it is of no kind that a package may have")
        return Entry(DIR, member.mode)

    def _file(self, member: Member, chunks: Iterator[bytes]) -> Entry:
        self._bytes += member.size
        if self._bytes > MAX_BYTES:
            raise BadArchive(f"its files have more than {shown_bytes(MAX_BYTES)}")
        digest = hashlib.sha256()
        head = next(chunks, b"")
        digest.update(head)
        if not may_hold_elf(head):
            for chunk in chunks:
                digest.update(chunk)
            return Entry(FILE, member.mode, member.size, digest.hexdigest())
        with _room(member.size) as content:
            content.write(head)
            for chunk in chunks:
                digest.update(chunk)
                content.write(chunk)
            sha256 = digest.hexdigest()
            if sha256 not in self.facts and (outcome := read_outcome(content)) is not None:
                self._count_facts(outcome)
                self.facts[sha256] = outcome
        return Entry(FILE, member.mode, member.size, sha256)

    def _count_facts(self, outcome: Outcome) -> None:
        self._facts_bytes += len(json.dumps(outcome_to_json(outcome)))
        if self._facts_bytes > MAX_FACTS_BYTES:
            limit = shown_bytes(MAX_FACTS_BYTES)
            raise BadArchive(f"what its ELF files tell has more than {limit}")

    def _add(self, path: str, entry: Entry, name: str) -> None:
        """A path may come twice with one entry, or with a link to itself: /bin/x to /usr/bin/x."""
        if entry.type == SYMLINK and leads_to(name, entry.target, self._merged_usr) == path:
            self._to_themselves.append(path)
        elif self.entries.setdefault(path, entry) != entry:
            raise BadArchive(f"{quoted(path)} is in it twice, with different contents")

    def _check_top(self, member: Member, path: str) -> None:
        """/bin is a directory, or the link that a merged /usr has there."""
        is_link = member.kind == SYMLINK_MEMBER
        if is_link and leads_to(member.name, member.link or "", self._merged_usr) == path:
            return
        if member.kind != DIRECTORY:
            raise BadArchive(f"{quoted(member.name)} in it does not fit a merged /usr")

    def _check_parents(self) -> None:
        """All is in directories, also in such as have no entry of their own, which cost names."""
        missing: set[str] = set()
        name_bytes = 0
        for path in self.entries:
            parent = posixpath.dirname(path)
            while parent not in self.entries and parent not in missing and parent != "/":
                missing.add(parent)
                name_bytes += len(parent)
                parent = posixpath.dirname(parent)
            if name_bytes > MAX_NAME_BYTES:
                limit = shown_bytes(MAX_NAME_BYTES)
                raise BadArchive(f"directories above its files have names of more than {limit}")
            found = self.entries.get(parent)
            if path != "/" and found is not None and found.type != DIR:
                raise BadArchive(f"{quoted(path)} in it is below {parent}, which is no directory")


@contextlib.contextmanager
def _room(size: int) -> Iterator[BinaryIO]:
    with io.BytesIO() if size <= _IN_MEMORY_BYTES else tempfile.TemporaryFile() as file:
        yield file


def _step(deb: str, index: str, control: str, md5sums: str, plain: str = "") -> None:
    read = read_deb(Path(deb), merged_usr=plain != "plain")
    Path(index).write_bytes(write_index(read.holds))
    Path(control).write_bytes(read.control)
    Path(md5sums).write_bytes(read.md5sums)


if __name__ == "__main__":
    usage = "occlum_build.packages.indexing DEB INDEX_JSON CONTROL MD5SUMS [plain]"
    sys.exit(run_step(_step, sys.argv[1:], usage, optional=1))
