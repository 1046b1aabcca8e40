"""What the writer of an image needs: an image is also written without planning it anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from occlum_build.files.source import Identity
from occlum_build.image.entries import Entry


class Planned(Protocol):
    """The entries of a plan: an `ImagePlan`, or what stands for it."""

    @property
    def entries(self) -> Sequence[Entry]: ...


class Sources(Protocol):
    """Where the bytes are: `OsSources`, or what stands for them."""

    def os_path(self, path: str) -> str: ...

    def identity(self, path: str) -> Identity | None: ...

    def known_sha256(self, path: str) -> str: ...
