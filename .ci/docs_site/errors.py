"""The reference of errors: what the sources raise, by subject and code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from docs_site.raised import GAP, Raised, raised
from docs_site.text import code, escaped, page
from occlum_build.checks.codes import CODES
from occlum_build.cli.main import EXIT_CODES, EXIT_FAILURE

# The rooms of the sources by what they are about; one that is not listed has its own name.
PARTS: Mapping[str, tuple[str, ...]] = {
    "BOM files and images": ("bom", "image", "elf", "sources"),
    "Checks of images": ("checks",),
    "Host files and lock files": ("sysroot", "process"),
    "Packages": ("packages",),
    "Wheels": ("wheels",),
    "Secure file systems and protected files": ("sefs",),
    "Signing and Occlum.json": ("sgx",),
    "Instances and toolchains": ("occlum", "enclave"),
    "Bundles and OCI images": ("oci",),
    "Running and tracing": ("run", "trace"),
    "Answers about images": ("report", "sbom"),
    "Verifying": ("verify",),
    "Writing BUILD files": ("switch",),
    "Files, keys and the command line": ("cli", "files"),
    "What Pants writes to dist": ("dist",),
}


def errors_page() -> str:
    """Every code of an error, by what it is about, with its messages."""
    intro = (
        "An error is told with a place, a message, and mostly a hint that says what to do. Each "
        "has a short code besides: it settles the exit code, and `allow` of a target takes that of "
        f"a check (docs/checks.md). In the messages below, `{GAP}` stands for what is filled in: "
        "search for a few words of yours. Messages that are put together of parts may be missing. "
        "Errors that are not about an image, as of Pants or pip, are in docs/troubleshooting.md."
    )
    found = raised()
    exits = "\n".join(f"| {code(name)} | {number} |" for name, number in EXIT_CODES.items())
    table = (
        "## Exit codes\n\nA command ends with that of its first error; a code that is not here has "
        f"{EXIT_FAILURE}.\n\n| code | exit code |\n|---|---|\n{exits}"
    )
    rooms = {room: part for part, rooms in PARTS.items() for room in rooms}
    by_part: dict[str, list[Raised]] = defaultdict(list)
    for one in found:
        by_part[rooms.get(one.room, one.room)].append(one)
    parts = [*PARTS, *sorted(by_part.keys() - PARTS.keys())]
    return page(
        "Errors", intro, table, *(_part(part, by_part[part]) for part in parts if part in by_part)
    )


def _part(part: str, found: list[Raised]) -> str:
    messages: dict[str, set[str]] = defaultdict(set)
    for one in found:
        messages[one.code].add(one.message)
    sections = [f"## {part}"]
    for name in sorted(messages):
        meaning = f"{escaped(CODES[name])}." if name in CODES else ""
        listed = "\n".join(f"* {escaped(text)}" for text in sorted(messages[name]) if text)
        sections += [f"### `{name}`", meaning[:1].upper() + meaning[1:], listed]
    return "\n\n".join(filter(None, sections))
