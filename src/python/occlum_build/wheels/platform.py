"""The interpreter and the C library that wheels are chosen for: tags, and values of markers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from packaging.tags import Tag, compatible_tags, cpython_tags

from occlum_build.errors import OcclumError
from occlum_build.shown import quoted

_PYTHON = re.compile(r"3\.([0-9]{1,3})(\.[0-9]{1,3})?")
_GLIBC = re.compile(r"2\.([0-9]{1,3})")
_MACHINE = "x86_64"
_OLDEST_GLIBC = 5  # of manylinux1
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@dataclass(frozen=True)
class Platform:
    """CPython of a version, `3.11` or `3.11.2`, on x86-64 Linux with a glibc such as `2.31`.

    Raises OcclumError `wheels-platform` for what is neither.
    """

    python: str
    glibc: str

    def __post_init__(self) -> None:
        if not _PYTHON.fullmatch(self.python):
            message = f"{quoted(self.python)} is no version of CPython"
            hint = 'the version of the interpreter in the image, such as "3.11"'
            raise OcclumError("wheels-platform", message, hint=hint)
        found = _GLIBC.fullmatch(self.glibc)
        if not found or int(found[1]) < _OLDEST_GLIBC:
            message = f"{quoted(self.glibc)} is no version of glibc, or one before 2.5"
            hint = 'the version of the glibc in the image, such as "2.31"'
            raise OcclumError("wheels-platform", message, hint=hint)

    @property
    def feature(self) -> str:
        """The version without its last part: `3.11`."""
        return ".".join(self.python.split(".")[:2])

    @property
    def pythons(self) -> tuple[str, ...]:
        """Versions in full that it may be: where the last part is not given, from first to last."""
        if self.python != self.feature:
            return (self.python,)
        return (f"{self.python}.0", f"{self.python}.999")

    @cached_property
    def rank(self) -> dict[Tag, int]:
        """The tags that fit, each with its rank, as pip has them: 0 is the best."""
        version = (3, int(self.feature[2:]))
        interpreter = f"cp{version[0]}{version[1]}"
        platforms = list(self._platforms())
        tags = [
            *cpython_tags(version, [interpreter], platforms),
            *compatible_tags(version, interpreter, platforms),
        ]
        return {tag: number for number, tag in reversed(list(enumerate(tags)))}

    def _platforms(self) -> Iterator[str]:
        for minor in range(int(self.glibc[2:]), _OLDEST_GLIBC - 1, -1):
            yield f"manylinux_2_{minor}_{_MACHINE}"
            if minor in _OLD_NAMES:
                yield f"{_OLD_NAMES[minor]}_{_MACHINE}"
        yield f"linux_{_MACHINE}"

    @property
    def markers(self) -> dict[str, str]:
        """The values of environment markers (PEP 508)."""
        full = self.pythons[0]
        return {
            "extra": "",
            "implementation_name": "cpython",
            "implementation_version": full,
            "os_name": "posix",
            "platform_machine": _MACHINE,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": full,
            "python_version": self.feature,
            "sys_platform": "linux",
        }

    def __str__(self) -> str:
        return f"CPython {self.python} and glibc {self.glibc} on {_MACHINE}"
