"""What a benchmark measured, as Markdown for docs/performance.md or as JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Optional, Union

Cell = Optional[Union[str, float]]


@dataclass(frozen=True)
class Column:
    """A heading and how a number stands in the column, with its unit, such as "{:.2f} s"."""

    heading: str
    number: str = "{:,}"


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers, None for an empty cell; `name` is that of its place in the docs."""

    name: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def markdown(self) -> str:
        lines = [_line(column.heading for column in self.columns), "|---" * len(self.columns) + "|"]
        for row in self.rows:
            lines.append(_line(map(_text, row, self.columns)))
        return "\n".join(lines) + "\n"

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Table:
        """The inverse of what `report` prints of one table."""
        columns = tuple(Column(**one) for one in value["columns"])
        return cls(value["name"], columns, tuple(map(tuple, value["rows"])))


def _text(cell: Cell, column: Column) -> str:
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else column.number.format(cell)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def options(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options of every benchmark."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print JSON, not Markdown")
    parser.add_argument("--quick", action="store_true", help="small and few: to see that it runs")
    return parser


def report(tables: Sequence[Table], as_json: bool) -> None:
    if as_json:
        json.dump([asdict(table) for table in tables], sys.stdout, indent=1)
        print()
    else:
        print(*(table.markdown() for table in tables), sep="\n", end="")


def machine() -> Table:
    """What the figures were measured on."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cell = f"{len(os.sched_getaffinity(0))} CPUs ({names[0] if names else '?'}), {memory:.0f} GiB"
    load = f"{os.getloadavg()[0]:.1f}"
    columns = (Column("machine"), Column("kernel"), Column("load before"))
    return Table("machine", columns, ((cell, os.uname().release, load),))
