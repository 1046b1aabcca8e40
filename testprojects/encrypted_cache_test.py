"""What was encrypted is taken from a cache of ours in the next run without pantsd."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from built_enclave import TOOLCHAIN, built_enclave, image_key_file, small_enclave
from leaks import found_below, image_key_forms
from pants_runner import PantsRunner, pants_runner

TAKEN = "was taken from the cache of what was encrypted"
PROGRAM = b"#!/bin/sh\necho app\n"


@pytest.fixture
def pants(tmp_path: Path) -> Iterator[PantsRunner]:
    with pants_runner(
        tmp_path / "pants", parts=(TOOLCHAIN,), options=("--no-pantsd", "-ldebug")
    ) as runner:
        yield runner


def entries(pants: PantsRunner) -> dict[Path, os.stat_result]:
    folder = pants.top / "home/.cache/pants-occlum/encrypted"
    return {path: path.lstat() for path in folder.glob("**/*")} if folder.is_dir() else {}


def test_encrypted_once(pants: PantsRunner, tmp_path: Path) -> None:
    key = image_key_file(tmp_path / "key")
    other = image_key_file(tmp_path / "other key", "-".join(["0f"] * 16))
    address = small_enclave(pants, "encrypted", encrypt=True)

    def package(store: str, file: Path, *options: str) -> int:
        """How often a run with a store took something from the cache."""
        env = {"PANTS_LOCAL_STORE_DIR": str(pants.top / store)}
        run = pants.run(f"--occlum-image-key-file={file}", *options, "package", address, env=env)
        return run.expect(0).stderr.count(TAKEN)

    assert package("off", key, "--no-occlum-encrypted-cache") == 0
    assert entries(pants) == {}

    assert package("store", key) == 0
    kept = entries(pants)
    modes = {(stat.S_ISDIR(one.st_mode), stat.S_IMODE(one.st_mode)) for one in kept.values()}
    assert modes == {(True, 0o700), (False, 0o600)}
    first = built_enclave(pants, address).listing()

    assert package("store", key) == 1
    assert package("another store", key) == 1
    assert entries(pants).keys() == kept.keys()
    assert built_enclave(pants, address).listing() == first
    assert package("another store", other) == 0
    assert len(entries(pants)) == 2 * len(kept)

    for path in kept:
        if path.is_file() and path.name != "index.json":
            path.write_bytes(b"damaged")
    assert package("a third store", key) == 0
    assert built_enclave(pants, address).listing() == first

    folder = pants.top / "home/.cache"
    assert found_below(folder, {"the image": PROGRAM, **image_key_forms(key)}) == []
    # What CI systems keep and share are these.
    assert not [
        path
        for path in (pants.top / "named_caches/occlum_encrypted").iterdir()
        if not path.is_symlink()
    ]
