"""`schema`: the JSON Schemas of the files that are written by hand, and of those that are made."""

from __future__ import annotations

import argparse
import pkgutil
from typing import Any, NamedTuple

from occlum_build.cli.output import say, say_document


class Schema(NamedTuple):
    """One schema: where it is, the files that it is for, and whether these are written by hand."""

    package: str
    file: str
    what: str
    files: str


SCHEMAS = {
    "bom": Schema("bom", "bom.schema.json", "a BOM", "bom.yaml, *.bom.yaml"),
    "occlum-json": Schema(
        "sgx.config", "occlum_json.schema.json", "the configuration of an enclave", "Occlum.json"
    ),
    "manifest": Schema("image", "manifest.schema.json", "the entries of an image", "manifest.json"),
    "graph": Schema("image", "graph.schema.json", "what needs what in an image", "graph.json"),
    "measurement": Schema(
        "occlum", "measurement.schema.json", "what an enclave is", "measurement.json"
    ),
    "sysroot-lock": Schema(
        "sysroot", "lock.schema.json", "a line of the lock file of a sysroot", "lines of *.lock"
    ),
    "packages-lock": Schema(
        "packages", "lock.schema.json", "a line of the lock file of packages", "lines of *.lock"
    ),
    "record": Schema("trace", "record.schema.json", "a record of a run", "run --record FILE"),
    "trace": Schema("trace", "trace.schema.json", "what a run lacked", "trace --json"),
    "why": Schema("report", "why.schema.json", "why something is in an image", "why --json"),
    "diff": Schema("report", "diff.schema.json", "what differs in two images", "diff --json"),
    "size": Schema("report", "size.schema.json", "the sizes of an image", "size --json"),
    "init-pants": Schema(
        "switch", "init_pants.schema.json", "what init-pants wrote", "init-pants --json"
    ),
    "verified": Schema(
        "verify", "verified.schema.json", "what was found of an enclave", "verify --json"
    ),
}


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "schema",
        help="print a JSON Schema, for editors",
        description="Print the JSON Schema of a kind of file, or list the kinds (docs/editors.md).",
        allow_abbrev=False,
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", choices=sorted(SCHEMAS), help=", ".join(SCHEMAS)
    )
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> None:
    """Print one schema as it is, or a line for each: name, files, what they are."""
    if options.name is not None:
        say_document(read_schema(options.name))
        return
    for name, schema in SCHEMAS.items():
        say(f"{name:<14} {schema.files:<22} {schema.what}")


def read_schema(name: str) -> bytes:
    """The bytes of a schema."""
    schema = SCHEMAS[name]
    return pkgutil.get_data(f"occlum_build.{schema.package}", schema.file) or b""
