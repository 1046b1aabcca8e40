"""What the kernel opens when it executes a file, which no system call tells."""

from __future__ import annotations

from collections.abc import Iterator

from occlum_build.checks.root import Root
from occlum_build.errors import OcclumError
from occlum_build.sources.model import Sources, regular_file


def interpreters(image: Root, root: Sources | None, path: str) -> Iterator[str]:
    """The loader of a program of an image, or what the `#!` line of a script of either names."""
    try:
        facts, script = image.facts(path), image.script(path)
        real = regular_file(root, path) if root is not None and not image.kind(path) else None
        if real is not None and root is not None:  # its loader the closure brings
            script = root.script(real)
    except OcclumError:  # it can be executed, and not read
        return
    if facts is not None and facts.interpreter:
        yield facts.interpreter
    words = script.line.split() if script is not None else []
    if words and words[0].startswith("/"):
        yield words[0]
