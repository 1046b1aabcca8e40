"""Whatever is in a tree: a secure file system of it verifies, and unpacks to the same."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Union

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from occlum_build.sefs.extract import unzip_image
from occlum_build.sefs.keys import UserKey
from occlum_build.sefs.verify import verify_image
from occlum_build.sefs.writer import zip_image

SLOW = [HealthCheck.too_slow]  # a machine may have other things to do

# Path -> mode of a directory; mode, content before a hole and size of the hole; target of a link.
Node = Union[int, "tuple[int, bytes, int]", str]
_NAMES = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0/"), min_size=1, max_size=60
).filter(lambda name: name not in (".", "..") and len(name.encode()) <= 255)
_MODES = st.integers(0, 0o777)
_SIZES = st.sampled_from([0, 1, 3071, 3072, 3073, 3072 + 4096, 3072 + 4097, 3072 + 96 * 4096 + 1])
_LEAVES = st.one_of(
    st.tuples(_MODES, st.binary(max_size=9), _SIZES),
    st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1,
            max_size=40),
)  # fmt: skip
_TREES = st.recursive(
    st.dictionaries(_NAMES, _LEAVES, max_size=4),
    lambda inner: st.dictionaries(_NAMES, _LEAVES | inner, max_size=4),
    max_leaves=12,
)
KEYS = st.none() | st.binary(min_size=16, max_size=16).map(UserKey)


@given(_TREES, KEYS, st.lists(_MODES, min_size=1, max_size=5))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=SLOW)
def test_zip_and_unzip(tree: Mapping[str, object], key: UserKey | None, modes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as top:
        source, image, out = (Path(top, name) for name in ("source", "image", "out"))
        made = list(make(source, tree, modes))
        zipped = zip_image(source, image, user_key=key)
        verified = verify_image(image, key, mac=zipped.mac)
        assert verified.report.errors == []
        assert verified.inodes == zipped.inodes == len(made) + 1
        assert unzip_image(image, out, key, mac=zipped.mac) == zipped.inodes
        assert dict(snapshot(out)) == dict(snapshot(source))
        for path in (*made, *(out / one.relative_to(source) for one in made)):
            if not path.is_symlink():
                path.chmod(0o700)  # so that they can be removed, also by another user than root


def make(folder: Path, tree: Mapping[str, object], modes: list[int]) -> Iterator[Path]:
    """Write a tree, its directories with the modes in turn; the paths of all but the top."""
    folder.mkdir()
    for name, node in tree.items():
        path = folder / name
        if isinstance(node, str):
            path.symlink_to(node)
        elif isinstance(node, tuple):
            mode, content, hole = node
            with open(path, "xb") as file:
                file.write(content)
                file.truncate(len(content) + hole)
            path.chmod(mode | 0o400)
        elif isinstance(node, Mapping):
            yield from make(path, node, modes[1:] + modes[:1])
        yield path
    folder.chmod(modes[0] | 0o700)


def snapshot(root: Path) -> Iterator[tuple[str, tuple[int, bytes]]]:
    """Mode, and content or target, of all below a directory."""
    for folder, names, files in os.walk(root):
        for name in names + files:
            path = Path(folder, name)
            found = path.lstat()
            content = b""
            if stat.S_ISLNK(found.st_mode):
                content = os.fsencode(os.readlink(path))
            elif stat.S_ISREG(found.st_mode):
                content = path.read_bytes()
            yield str(path.relative_to(root)), (found.st_mode, content)
