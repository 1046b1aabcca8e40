"""What tests of locks share."""

from __future__ import annotations

from threading import Thread
from typing import Callable

from occlum_build.errors import OcclumError


def in_another_thread(function: Callable[[], object]) -> list[OcclumError]:
    """The errors of a function that is called where nothing is locked yet."""
    errors: list[OcclumError] = []

    def call() -> None:
        try:
            function()
        except OcclumError as error:
            errors.append(error)

    thread = Thread(target=call)
    thread.start()
    thread.join()
    return errors
