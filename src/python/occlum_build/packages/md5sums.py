"""The MD5 sums of a package's files, as its control member `md5sums` has them (deb-md5sums(5))."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

MD5SUMS = "md5sums"


class Md5Sums:
    """Those of a package that brings none: dpkg computes them too when it installs one."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def passed(self, name: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The chunks of the file of a name in a package, as they come."""
        digest = hashlib.md5(usedforsecurity=False)  # what the format has
        for chunk in chunks:
            digest.update(chunk)
            yield chunk
        self._found[_plain(name)] = digest.hexdigest()

    def same(self, name: str, other: str) -> None:
        """A name is a hard link to the file of another one before it, if to a file."""
        if _plain(other) in self._found:
            self._found[_plain(name)] = self._found[_plain(other)]

    def text(self) -> bytes:
        """The control member; a name with a line break cannot be in it."""
        lines = [f"{self._found[name]}  {name}\n" for name in sorted(self._found)]
        return "".join(one for one in lines if one.count("\n") == 1).encode()


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))
