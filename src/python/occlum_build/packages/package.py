"""One version of a package, as a resolver sees it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

from occlum_build.packages.relations import Relation, groups_of

_PRIORITIES = ("required", "important", "standard", "optional", "extra")
_groups = functools.lru_cache(maxsize=1 << 16)(groups_of)


class Package(NamedTuple):
    """A version of a package, and where it is; archive and suite are "" for a file of the project.

    path: in the archive, or in the project. size in bytes. root_architecture: that of the root.
    """

    name: str
    version: str
    architecture: str
    archive: str
    suite: str
    path: str
    sha256: str
    size: int
    stanza: Mapping[str, str]
    root_architecture: str

    @property
    def rank(self) -> int:
        """Of its Priority; the lowest is the best."""
        priority = self.stanza.get("Priority", "").lower()
        return _PRIORITIES.index(priority) if priority in _PRIORITIES else len(_PRIORITIES)

    @property
    def provided(self) -> tuple[tuple[str, str], ...]:
        """Names and versions, "" for none, that it provides."""
        groups = self.groups("Provides")
        return tuple((one.name, one.version) for group in groups for one in group)

    def groups(self, field: str) -> tuple[tuple[Relation, ...], ...]:
        """The relations of a field. Raises OcclumError `package-relation`."""
        return _groups(self.stanza.get(field, ""), self.root_architecture)
