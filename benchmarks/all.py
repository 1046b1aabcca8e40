"""Runs all benchmarks, one after the other, and writes their tables into docs/performance.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tables import Table, machine, options

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs/performance.md"
BENCHMARKS = (
    *("copy_bom", "closure", "insight", "report_page", "sefs_speed", "sefs_shares"),
    *("sign_speed", "cold_run", "pants_package", "packages_root"),
)


def run(name: str, *args: str) -> list[Table]:
    """The tables of one benchmark."""
    start = time.monotonic()
    script = str(ROOT / f"benchmarks/{name}.py")
    done = subprocess.run(
        [sys.executable, script, "--json", *args], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    return [Table.from_json(one) for one in json.loads(done.stdout)]


def with_table(text: str, table: Table) -> str:
    """The text with the table between the comments that name it.

    Raises SystemExit where the text has no such comments.
    """
    start, end = f"<!-- table: {table.name} -->\n", "<!-- end of table -->"
    pattern = re.compile(f"({re.escape(start)}).*?({re.escape(end)})", re.DOTALL)
    found, count = pattern.subn(lambda at: f"{at[1]}{table.markdown()}{at[2]}", text)
    if count != 1:
        raise SystemExit(f"{DOCS} has {count} places for the table {table.name}, not one")
    return found


def write(tables: list[Table], *, to_docs: bool) -> None:
    """Print tables, and write them at once, as what comes later may fail after many minutes."""
    text = DOCS.read_text(encoding="utf-8")
    for table in tables:
        text = with_table(text, table)
        print(table.markdown(), flush=True)
    if to_docs:
        new = DOCS.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        os.replace(new, DOCS)


def main() -> None:
    args = options(__doc__).parse_args()
    write([machine()], to_docs=not args.quick)
    for name in BENCHMARKS:
        tables = run(name, *(["--quick"] if args.quick else []))
        write(tables, to_docs=not args.quick)


if __name__ == "__main__":
    main()
