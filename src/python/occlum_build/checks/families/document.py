"""The list of docs/runtime-families.md: `python -m occlum_build.checks.families.document`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from occlum_build.checks.families.model import Config, Family, Need
from occlum_build.checks.families.table import FAMILIES
from occlum_build.errors import NOTE


def document(families: Iterable[Family]) -> str:
    """A section in Markdown for each row of a table."""
    return "\n".join(line for family in families for line in _section(family))


def _section(family: Family) -> Iterator[str]:
    yield f"### `{family.code}`: {family.title}\n"
    yield f"* shown by {'an ELF file' if family.elf else 'a file'} {_shown(family)}"
    yield from map(_need, family.needs)
    yield from map(_config, family.configs)
    if family.checked:
        yield f"* needs {family.checked}"
    yield ""


def _shown(family: Family) -> str:
    conditions = [f"named `{family.files}`"]
    if family.at != ".*":
        conditions.append(f"at `{family.at}`")
    if family.linked:
        conditions.append(f"linked with `{family.linked}`")
    if family.not_linked:
        conditions.append(f"and not with `{family.not_linked}`")
    return ", ".join(conditions)


def _need(need: Need) -> str:
    verb = "can use (a note)" if need.severity == NOTE else "needs"
    return f"* {verb} {need.what}, one of {_codes(need.one_of)}: {need.add}"


def _config(config: Config) -> str:
    where = f", below {_codes(config.beside)}" if config.beside else ""
    return f"* needs what {_codes(config.paths)} names by `{config.names}`{where}: {config.add}"


def _codes(texts: Iterable[str]) -> str:
    return ", ".join(f"`{text}`" for text in texts)


if __name__ == "__main__":
    sys.stdout.write(document(FAMILIES))
