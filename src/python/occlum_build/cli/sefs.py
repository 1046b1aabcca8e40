"""`sefs`: make, unpack, list and verify images of the secure file system."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from occlum_build.cli.output import print_problems, say
from occlum_build.files.secret import keep_from, no_core_dumps
from occlum_build.sefs.extract import unzip_image
from occlum_build.sefs.fs_format import FileType
from occlum_build.sefs.keys import RandomKeys, UserKey, read_key_file
from occlum_build.sefs.manifest import read_manifest
from occlum_build.sefs.pf_format import format_mac, parse_mac
from occlum_build.sefs.reader import ImageEntry, ImageReader
from occlum_build.sefs.verify import verify_image
from occlum_build.sefs.writer import zip_image
from occlum_build.shown import escaped

_TYPE_LETTERS = {FileType.FILE: "-", FileType.DIR: "d", FileType.SYMLINK: "l"}


def add_parser(subparsers: Any) -> None:
    """Add the verb `sefs` and its sub-verbs."""
    parser = subparsers.add_parser("sefs", help="make and read images of the secure file system")
    verbs = parser.add_subparsers(dest="sefs_verb", metavar="VERB", required=True)
    _add_zip(verbs)
    unzip = verbs.add_parser("unzip", help="write the tree of an image to a new directory")
    unzip.add_argument("image", metavar="IMAGE", type=Path)
    unzip.add_argument("directory", metavar="DIR", type=Path)
    unzip.set_defaults(func=_unzip)
    ls = verbs.add_parser("ls", help="list the tree of an image")
    ls.add_argument("image", metavar="IMAGE", type=Path)
    ls.set_defaults(func=_ls)
    verify = verbs.add_parser("verify", help="check everything that can be checked of an image")
    verify.add_argument("image", metavar="IMAGE", type=Path)
    verify.set_defaults(func=_verify)
    for verb in (unzip, ls, verify):
        _add_key_options(verb)
        verb.add_argument("--mac", metavar="TEXT", help="what the MAC of the image must be")


def _add_zip(verbs: Any) -> None:
    parser = verbs.add_parser(
        "zip",
        help="make an image of a directory",
        description="Make an image of a directory and write the text of its MAC. Without --key it "
        "is integrity-only: a checksum against accidents, no protection from a forger.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path)
    parser.add_argument("image", metavar="IMAGE", type=Path, help="must not exist")
    parser.add_argument("mac_file", metavar="MAC_FILE", type=Path)
    parser.add_argument(
        "--manifest", metavar="FILE", type=Path, help="JSON manifest that modes are taken from"
    )
    _add_key_options(parser)
    parser.add_argument(
        "--random-keys", action="store_true", help="fresh node keys: a different image each time"
    )
    parser.set_defaults(func=_zip)


def _add_key_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", metavar="FILE", type=Path, help="key file: 16 hex pairs with '-'")
    parser.add_argument(
        "--insecure-key-file",
        action="store_true",
        help="accept a key file that group or others can read or write",
    )


def _user_key(args: argparse.Namespace) -> UserKey | None:
    if args.key is None:
        return None
    no_core_dumps()
    return read_key_file(args.key, allow_insecure=args.insecure_key_file)


def _mac(args: argparse.Namespace) -> bytes | None:
    return None if args.mac is None else parse_mac(args.mac)


def _zip(args: argparse.Namespace) -> int:
    keep_from([args.mac_file], args.key)
    manifest = None if args.manifest is None else read_manifest(args.manifest)
    result = zip_image(
        args.directory,
        args.image,
        args.mac_file,
        user_key=_user_key(args),
        modes=None if manifest is None else manifest.modes,
        salt=None if manifest is None else manifest.digest,
        keys=RandomKeys() if args.random_keys else None,
    )
    print_problems(result.warnings)
    return 0


def _unzip(args: argparse.Namespace) -> int:
    unzip_image(args.image, args.directory, _user_key(args), mac=_mac(args))
    return 0


def _ls(args: argparse.Namespace) -> int:
    with ImageReader(args.image, _user_key(args), mac=_mac(args)) as reader:
        for entry in reader.walk():
            say(_ls_line(reader, entry))
    return 0


def _ls_line(reader: ImageReader, entry: ImageEntry) -> str:
    inode = entry.inode
    letter = _TYPE_LETTERS[FileType(inode.type)]
    line = f"{letter} {inode.mode:04o} {inode.size:>12} /{escaped(entry.path)}"
    if inode.type == FileType.SYMLINK:
        line += f" -> {escaped(reader.link_target(entry.number, inode))}"
    return line


def _verify(args: argparse.Namespace) -> int:
    result = verify_image(args.image, _user_key(args), mac=_mac(args))
    result.report.raise_errors()
    say(f"{format_mac(result.mac)} {result.inodes} inodes, {result.content_bytes} bytes")
    return 0
