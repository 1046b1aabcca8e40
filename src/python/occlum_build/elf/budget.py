"""What all searches of a run may cost: a few small files can name, or hold, very much."""

from __future__ import annotations

from dataclasses import dataclass

from occlum_build.errors import TooMuch
from occlum_build.shown import quoted

MAX_ABSENT = 500_000  # places without a library that serves, looked at in a run,
MAX_ABSENT_EACH = 1_000  # so many more for each program,
MAX_ABSENT_EVER = 5_000_000  # and never more than these
MAX_TOLD = 100_000  # places that are kept to be told
MAX_NEEDS = 2_000_000  # libraries by name, of each program again; 5,000 files have 300,000
MAX_PLACES = 100_000_000  # directories for each of them, also those that are known
MAX_DIRS = 1_000_000  # that are remembered
MAX_VERSIONS = 50_000_000  # that objects need and libraries define, of each program again
MAX_MEMBERS, MAX_UNPACKED, MAX_NAMES = 4_000_000, 16 << 30, 512 << 20  # of all archives; bytes

_SO_MANY_DIRS = "are there so many directories in an RPATH or a RUNPATH?"
_ALONE = "`autodep: false` leaves the libraries of a file to you"


@dataclass
class Budget:
    """Counts for all programs of a run, whichever linker closes them."""

    programs: int = 0
    in_vain: int = 0
    told: int = 0
    needs: int = 0
    places: int = 0
    dirs: int = 0
    versions: int = 0

    def need(self, needer: str) -> None:
        """Count a library that a file needs. Raises TooMuch `libraries`, as all that count."""
        self.needs += 1
        if self.needs > MAX_NEEDS:
            what = f"programs need more than {MAX_NEEDS:,} libraries, each counted for each"
            raise _too_much(f"{what}, the last for {quoted(needer)}", "are there so many programs?")

    def look(self, places: int, name: str) -> None:
        """Count the directories that a library is looked for in."""
        self.places += places
        if self.places > MAX_PLACES:
            raise _too_much(
                f"libraries would be looked for at more than {MAX_PLACES:,} places, the last is "
                f"{quoted(name)}",
                _SO_MANY_DIRS,
            )

    def remember(self, directory: str) -> None:
        """Count a directory that was not looked for before."""
        self.dirs += 1
        if self.dirs > MAX_DIRS:
            raise _too_much(
                f"libraries would be looked for in more than {MAX_DIRS:,} directories, the last "
                f"is {quoted(directory)}",
                _SO_MANY_DIRS,
            )

    def compare(self, versions: int, library: str) -> None:
        """Count versions of a library."""
        self.versions += versions
        if self.versions > MAX_VERSIONS:
            raise _too_much(
                f"more than {MAX_VERSIONS:,} versions of libraries would be compared, the last "
                f"of {quoted(library)}",
                "are there so many programs, or versions?",
            )

    def looked_in_vain(self, path: str) -> None:
        """Count a place that has no library which serves."""
        self.in_vain += 1
        if self.in_vain <= MAX_ABSENT:
            return
        most = min(MAX_ABSENT + MAX_ABSENT_EACH * self.programs, MAX_ABSENT_EVER)
        if self.in_vain > most:
            raise _too_much(
                f"libraries would be looked for in vain at more than {most:,} places, the last is "
                f"{quoted(path)}",
                _SO_MANY_DIRS,
            )

    def may_tell(self, places: int) -> int:
        """How many of these places may still be told."""
        return min(places, MAX_TOLD - self.told)


@dataclass
class Unpacking:
    """Counts for all archives of a run; `path` is the one that is read."""

    path: str = ""
    members: int = 0
    size: int = 0
    names: int = 0

    def add(self, *, members: int = 0, size: int = 0, names: int = 0) -> None:
        """Count members of an archive, bytes unpacked, and bytes of names in its ELF files.

        Raises TooMuch `archive`.
        """
        self.members += members
        self.size += size
        self.names += names
        if self.members > MAX_MEMBERS:
            self._end(f"{MAX_MEMBERS:,} members")
        if self.size > MAX_UNPACKED:
            self._end(f"{MAX_UNPACKED:,} bytes of ELF files and archives in them")
        if self.names > MAX_NAMES:
            self._end(f"{MAX_NAMES:,} bytes of names in their ELF files")

    def _end(self, what: str) -> None:
        raise TooMuch(
            "archive",
            f"the zip archives of the image have more than {what}, the last is {quoted(self.path)}",
            hint="is one made to grow? leave it out, or unpack what the image needs",
        )


def _too_much(message: str, hint: str) -> TooMuch:
    return TooMuch("libraries", message, hint=f"{hint} {_ALONE}")
