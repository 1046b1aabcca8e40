"""Plaintexts that have to be what was planned, compared as they are sealed."""

from __future__ import annotations

import hashlib
import os

from occlum_build.sefs.hostio import read_at


class OtherContentError(Exception):
    """A file has not the content that is wanted."""


class Compared:
    """A plaintext that is read in order, and hashed on the way."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.size = size
        self.hasher = hashlib.sha256()
        self._descriptor = descriptor

    def check_size(self, told: int) -> None:
        """Files of /proc say that they have 0 bytes."""
        try:
            is_longer = bool(os.pread(self._descriptor, 1, self.size))
        except OSError as error:
            raise OtherContentError from error
        if is_longer or told not in (0, self.size):
            raise OtherContentError

    def read_into(self, view: memoryview, offset: int) -> None:
        try:
            is_there = read_at(self._descriptor, view, offset)
        except OSError as error:
            raise OtherContentError from error
        if not is_there:
            raise OtherContentError
        self.hasher.update(view)
