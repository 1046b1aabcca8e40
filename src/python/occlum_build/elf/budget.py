"""What all searches of a run may cost: a few small programs can name very many places."""

from __future__ import annotations

from dataclasses import dataclass

from occlum_build.errors import TooMuch
from occlum_build.shown import quoted

MAX_ABSENT = 500_000  # places where there is no library, looked at in a run,
MAX_ABSENT_EACH = 1_000  # so many more for each program,
MAX_ABSENT_EVER = 5_000_000  # and never more than these
MAX_TOLD = 100_000  # places that are kept to be told


@dataclass
class Budget:
    """Counts for all programs of a run, whichever linker closes them."""

    programs: int = 0
    absent: int = 0
    told: int = 0

    def looked_in_vain(self, path: str) -> None:
        """Count a place that has no library. Raises TooMuch `libraries` when there are too many."""
        self.absent += 1
        if self.absent <= MAX_ABSENT:
            return
        most = min(MAX_ABSENT + MAX_ABSENT_EACH * self.programs, MAX_ABSENT_EVER)
        if self.absent > most:
            raise TooMuch(
                "libraries",
                f"libraries would be looked for in vain at more than {most:,} places, the last is "
                f"{quoted(path)}",
                hint="are there so many directories in an RPATH or a RUNPATH? "
                "`autodep: false` leaves the libraries of a file to you",
            )

    def may_tell(self, places: int) -> int:
        """How many of these places may still be told."""
        return min(places, MAX_TOLD - self.told)
