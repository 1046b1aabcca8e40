"""A machine that is as unlike this one as it can be made here."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pants_runner import PantsRunner, pants_runner

NOBODY = 65534
# Another user may not enter where the interpreter and this test's files lie, so it keeps one
# capability of root's: to enter every directory. pex asks access(2), which does not heed it.
AS_NOBODY = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
)
# No tool of a distribution is needed, and none that unpacks files.
LACKING = (
    *("apt", "ar", "bzip2", "curl", "deb", "dpkg", "gpg", "gunzip", "gzip", "sq", "tar", "unxz"),
    *("unzstd", "wget", "xz", "zstd"),
)


@contextlib.contextmanager
def another_machine(
    top: Path, write: Callable[[PantsRunner], object] | None = None, *, parts: Sequence[str] = ()
) -> Iterator[PantsRunner]:
    """Another checkout of another user, without the tools of a distribution and without pantsd.

    `write` adds to the project, which then is that user's.
    """
    as_user = AS_NOBODY if os.geteuid() == 0 else ()
    top.mkdir(parents=True)
    env = {"LANG": "tr_TR.UTF-8", "TZ": "Asia/Tokyo", "PATH": str(_path(top / "bin"))}
    wrapper = (*as_user, "sh", "-c", 'umask "$0" && exec "$@"', "077")
    place = top / "of another user"
    with pants_runner(
        place, parts=parts, options=("--no-pantsd",), env=env, wrapper=wrapper
    ) as runner:
        if write is not None:
            write(runner)
        if as_user:
            for path in [place, *place.rglob("*")]:
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        yield runner


def _path(directory: Path) -> Path:
    """A directory of links to the programs of this machine, but for some."""
    directory.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            link = directory / program.name
            if not program.name.startswith(LACKING) and not link.is_symlink():
                link.symlink_to(program)
    assert shutil.which("dpkg", path=str(directory)) is None
    return directory
