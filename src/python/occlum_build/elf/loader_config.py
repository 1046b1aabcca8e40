"""Occlum's `occlum_elf_loader.config`: which loader an image uses, and where it finds libraries."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import Callable, NamedTuple

from occlum_build.errors import OcclumError, Place
from occlum_build.shown import quoted

CONFIG_PATH = "/opt/occlum/etc/template/occlum_elf_loader.config"
MAX_LOADERS = 1_000
MAX_DIRS = 1_000  # of one loader
_DCAP_AND_RATLS = "/opt/occlum/toolchains/grpc_ratls/{0}:/opt/occlum/toolchains/dcap_lib/{0}"
DEFAULT_LINES = (
    "/opt/occlum/glibc/lib/ld-linux-x86-64.so.2 "
    "/opt/occlum/glibc/lib:/usr/lib/x86_64-linux-gnu:/lib/x86_64-linux-gnu:/lib64:/lib:"
    "/usr/local/lib:" + _DCAP_AND_RATLS.format("glibc"),
    "/lib/ld-musl-x86_64.so.1 "
    "/opt/occlum/toolchains/gcc/x86_64-linux-musl/lib:" + _DCAP_AND_RATLS.format("musl"),
)


class LoaderEntry(NamedTuple):
    """A loader, and the library directories it searches as if by LD_LIBRARY_PATH; normal paths.

    A library found in one of them lies next to the loader in the image, see `image_dir`.
    """

    loader: str
    dirs: tuple[str, ...]

    @property
    def image_dir(self) -> str:
        """The directory of the image that takes the libraries."""
        return posixpath.dirname(self.loader)


@dataclass(frozen=True)
class LoaderConfig:
    """The lines of the file, in their order; without any, every program brings its own loader.

    `is_default` where there is no file, and the entries are Occlum's own whose loaders exist.
    """

    entries: tuple[LoaderEntry, ...] = ()
    is_default: bool = field(default=False, compare=False)

    def for_interpreter(self, interpreter: str) -> LoaderEntry | None:
        """The first loader of the same base name: that of the config wins over the program's."""
        wanted = posixpath.basename(interpreter)
        for entry in self.entries:
            if posixpath.basename(entry.loader) == wanted:
                return entry
        return None


def parse_loader_config(text: str, file: str) -> LoaderConfig:
    """Parse the file's text: a line has a loader and a list of directories, parted by `:`.

    Any white space parts the two; further columns are ignored, as by copy_bom. Empty lines and
    those that start with `#` are skipped. Raises OcclumError "bom-invalid" with the file and line
    of the first line that has one column or a path that is not absolute.
    """
    entries: list[LoaderEntry] = []
    for number, line in enumerate((line.strip() for line in text.splitlines()), start=1):
        if line and line[0] != "#":
            place = Place(file, number)
            if len(entries) == MAX_LOADERS:
                message = f"the loader config has more than {MAX_LOADERS:,} loaders"
                raise OcclumError("bom-invalid", message, place=place)
            entries.append(_parse_line(line, place))
    return LoaderConfig(tuple(entries))


def default_config(exists: Callable[[str], bool]) -> LoaderConfig:
    """Occlum's own lines, for when there is no file: those whose loader exists in the sysroot."""
    parsed = parse_loader_config("\n".join(DEFAULT_LINES), CONFIG_PATH)
    entries = tuple(entry for entry in parsed.entries if exists(entry.loader))
    return LoaderConfig(entries, is_default=True)


def _parse_line(line: str, place: Place) -> LoaderEntry:
    columns = line.split()
    if len(columns) < 2:
        raise OcclumError(
            "bom-invalid",
            "a line of the loader config has 2 columns, not 1",
            place=place,
            hint="write: LOADER_PATH LIBRARY_DIR:LIBRARY_DIR...",
        )
    loader, dirs = columns[0], [one for one in columns[1].split(":") if one]
    if len(dirs) > MAX_DIRS:
        message = f"a line of the loader config has more than {MAX_DIRS:,} library directories"
        raise OcclumError("bom-invalid", message, place=place)
    for path in (loader, *dirs):
        if not path.startswith("/"):
            raise OcclumError(
                "bom-invalid", f"the path {quoted(path)} is not absolute", place=place
            )
    return LoaderEntry(_normal(loader), tuple(_normal(one) for one in dirs))


def _normal(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/")
