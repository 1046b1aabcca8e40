"""Neither the image key nor the signing key is in anything that ./pants leaves behind."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from built_enclave import (
    TOOLCHAIN,
    built_enclave,
    image_key_file,
    signing_key_files,
    small_enclave,
)
from leaks import found_below, image_key_forms
from pants_runner import PantsResult, PantsRunner, pants_runner


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    top = tmp_path_factory.mktemp("pants")
    options = (f"--local-execution-root-dir={top}/sandboxes", "--keep-sandboxes=always", "-ldebug")
    with pants_runner(top, parts=(TOOLCHAIN,), options=options) as runner:
        (top / "sandboxes").mkdir()
        yield runner


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The files of the image key and of the signing key, below no directory of Pants."""
    folder = tmp_path_factory.mktemp("keys")
    # A fresh key, as no text of the project may hold it.
    text = secrets.token_bytes(16).hex("-")
    return image_key_file(folder / "the-image-key", text), signing_key_files(folder)[0]


@pytest.fixture(scope="module")
def runs(pants: PantsRunner, keys: tuple[Path, Path]) -> tuple[PantsResult, PantsResult]:
    """A build with both keys, and one that fails after encrypting."""
    image_key, sign_key = keys
    options = (f"--occlum-image-key-file={image_key}", f"--occlum-sign-key-file={sign_key}")
    good = small_enclave(pants, "good", encrypt=True)
    bad = small_enclave(pants, "bad", encrypt=True, config={"metadata": {"product_id": -1}})
    return (
        pants.run(*options, "package", good).expect(0),
        pants.run(*options, "package", bad).expect(1),
    )


def test_search_finds_what_is_there(pants: PantsRunner, runs: tuple[PantsResult, ...]) -> None:
    signed = built_enclave(pants, "enclaves/good:enclave").signed.read_bytes()
    wanted = {"the image": b"#!/bin/sh\necho app\n", "the signed enclave": signed[-4000:]}
    store = found_below(pants.top / "store", wanted)
    assert {what for what, _ in store} == set(wanted)
    assert "the image" in {what for what, _ in found_below(pants.top / "sandboxes", wanted)}
    assert [link for link in (pants.top / "sandboxes").glob("*/.key") if link.is_symlink()]


def test_no_key_is_left_behind(
    pants: PantsRunner, keys: tuple[Path, Path], runs: tuple[PantsResult, ...]
) -> None:
    forms = {**image_key_forms(keys[0]), **_signing_key_forms(keys[1])}
    assert found_below(pants.top, forms) == []
    printed = "".join(run.stdout + run.stderr for run in runs).encode()
    assert [what for what, form in forms.items() if form in printed] == []


def test_no_path_of_a_key_is_in_a_cache(
    pants: PantsRunner, keys: tuple[Path, Path], runs: tuple[PantsResult, ...]
) -> None:
    paths = {path.name: str(path).encode() for path in keys}
    for folder in ("store", "sandboxes", "named_caches"):
        assert found_below(pants.top / folder, paths) == []
    # The links are all that leads to the key.
    links = [path for path in (pants.top / "named_caches").rglob("*") if path.is_symlink()]
    targets = {os.readlink(link): link.parent.name for link in links}
    assert targets[str(keys[0])] == "occlum_image_key"
    assert str(keys[1]) not in targets


def _signing_key_forms(path: Path) -> dict[str, bytes]:
    """Each line of the PEM text, and each secret number in both byte orders and in hex."""
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    numbers = key.private_numbers()
    forms = {
        f"line {n}": line for n, line in enumerate(path.read_bytes().split()) if len(line) > 60
    }
    assert len(forms) > 30
    for name, number in (("p", numbers.p), ("q", numbers.q), ("d", numbers.d)):
        size = (number.bit_length() + 7) // 8
        forms[f"{name}, hex"] = b"%x" % number
        forms[f"{name}, decimal"] = b"%d" % number
        forms[f"{name}, big-endian"] = number.to_bytes(size, "big")
        forms[f"{name}, little-endian"] = number.to_bytes(size, "little")
    return {f"signing key, {name}": form for name, form in forms.items()}
