"""Pants with a damaged local store, hash memo, dist or index of it: the right result, or an error.

All is damaged in every way that comes to mind; each run ends in what an undamaged one has made, or
in a clear error that says what to do, with nothing damaged in dist, and after that in the right
result. How many were tried is recorded.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
import xxhash

from built_enclave import TOOLCHAIN, built_enclave, image_key_file, listing_of
from pants_runner import PantsResult, PantsRunner, pants_runner

Record = Callable[[str, object], None]
Listing = dict[str, tuple[str, bytes]]
# Files beyond 512 KiB are those that Pants keeps on their own.
BLOBS = {"blob": bytes(range(256)) * 4096, "other": bytes(reversed(range(256))) * 3000}
_APP = """\
occlum_files(name="files", target="/bin", files=["app.sh", "blob", "other"])
occlum_files(name="mounts", target="/", mkdirs=["dev", "etc", "host", "proc"])
files(name="sources", sources=["app.sh", "blob", "other"])
occlum_bom(name="bom", source="bom.yaml")
occlum_image(name="image", boms=[":files", ":mounts", ":bom"], formats=["dir", "tar"])
occlum_enclave(name="enclave", image=":image", toolchain="//testprojects/toolchain")
occlum_enclave(name="secret", image=":image", toolchain="//testprojects/toolchain", encrypt=True)
oci_image(name="oci", image=":image", formats=["layout", "archive"])
"""
TARGETS = ("app:image", "app:enclave", "app:secret", "app:oci")


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    top = tmp_path_factory.mktemp("pants")
    key = image_key_file(tmp_path_factory.mktemp("keys") / "key")
    sysroot = tmp_path_factory.mktemp("sysroot")
    (sysroot / "data").write_bytes(b"host" * 300_000)
    env = {"PANTS_OCCLUM_IMAGE_KEY_FILE": str(key), "PANTS_OCCLUM_SYSROOT": str(sysroot)}
    with pants_runner(top, parts=(TOOLCHAIN,), env=env) as runner:
        for name, content in BLOBS.items():
            runner.write(f"app/{name}", "").write_bytes(content)
        runner.write("app/app.sh", "#!/bin/sh\n")
        runner.write("app/bom.yaml", "targets:\n- {target: /data, copy: [{files: [/data]}]}\n")
        runner.write("app/BUILD", _APP)
        yield runner


@pytest.fixture(scope="module")
def right(pants: PantsRunner) -> Listing:
    """What is in dist after a run with nothing damaged."""
    pants.run("package", *TARGETS).expect(0)
    return listing_of(pants.dist)


def check(pants: PantsRunner, right: Listing) -> None:
    """Package, and expect what an undamaged run has made."""
    pants.run("package", *TARGETS).expect(0)
    assert differing(pants, right) == []


def differing(pants: PantsRunner, right: Listing) -> list[str]:
    found = listing_of(pants.dist) if pants.dist.exists() else {}
    return sorted(path for path in {*found, *right} if found.get(path) != right.get(path))


def wrong_files(pants: PantsRunner, right: Listing) -> list[str]:
    """The files of dist that are no right ones."""
    found = listing_of(pants.dist) if pants.dist.exists() else {}
    return [
        path
        for path, (mode, content) in found.items()
        if mode.startswith("-") and right.get(path, ("", b""))[1] != content
    ]


def clear_error(run: PantsResult) -> None:
    assert run.exit_code == 1
    assert "Traceback (most recent call last)" not in run.stderr


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    mode = file.stat().st_mode
    file.chmod(0o600)
    file.write_bytes(content)
    file.chmod(mode)


def test_damaged_files_of_the_local_store(
    pants: PantsRunner, right: Listing, record_property: Record
) -> None:
    """As the error says, the damaged files are removed, until the result is right."""
    store = pants.top / "store/immutable/files"
    damaged = list(store.glob("??/*"))
    assert len(damaged) > 5
    for file in damaged:
        flip(file)
    pants.stop_pantsd()
    shutil.rmtree(pants.dist)
    removed: set[Path] = set()
    for number in range(3 * len(damaged)):
        run = pants.run(*(["--no-pantsd"] if number else []), "package", *TARGETS)
        assert wrong_files(pants, right) == []
        if run.exit_code == 0:
            break
        clear_error(run)
        named = {store / one for one in re.findall(r"immutable/files/(\w\w/\w{64})", run.stderr)}
        there = {path for path in named if path.exists()}
        assert there, run.stderr
        assert there <= set(damaged)
        removed |= there
        for path in there:
            path.unlink()
    check(pants, right)
    for path in store.glob("??/*"):
        # An upload that Pants stopped leaves a file of another name.
        if path not in damaged and not path.name.endswith(".tmp"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    record_property("damaged files of the local store", len(damaged))
    record_property("damaged files of the local store that were named", len(removed))


def signed(document: Any) -> bytes:
    body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
    return xxhash.xxh3_64_hexdigest(body).encode() + b" " + body + b"\n"


def test_forged_lines_of_the_hash_memo(
    pants: PantsRunner, right: Listing, record_property: Record
) -> None:
    memo = pants.top / "named_caches/occlum_hashes/contents.rows"
    data = Path(pants.env["PANTS_OCCLUM_SYSROOT"], "data")
    found = data.stat()
    identity = [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
    path, sha256 = str(data), hashlib.sha256(data.read_bytes()).hexdigest()
    harmless: list[Any] = [
        *([path, []], [path, identity], [path, "text"], [path, {}], [[path], None], [path], path),
        *("{nope", "[" * 100_000, f'["{path}",' + "[" * 100_000),
        [path, [*identity, sha256, "true"]],
        [path, [*identity, [sha256], False]],
        [path, [*identity, sha256[1:], False]],
    ]
    memo.parent.mkdir(exist_ok=True)
    with memo.open("ab") as stream:
        stream.writelines(map(signed, harmless))
    pants.stop_pantsd()
    check(pants, right)
    others = ["0" * 64, hashlib.sha256(BLOBS["blob"]).hexdigest()]
    for other in others:
        with memo.open("ab") as stream:
            stream.write(signed([path, [*identity, other, False]]))
        pants.stop_pantsd()
        run = pants.run("package", *TARGETS)
        assert wrong_files(pants, right) == []
        if run.exit_code:
            clear_error(run)
            assert str(data) in run.stderr or "/data" in run.stderr
        check(pants, right)
    record_property("forged lines of the hash memo", len(harmless) + len(others))


def in_place(path: Path) -> None:
    """Another content of the same size, with the old times."""
    status = path.stat()
    path.chmod(0o600)
    flip(path)
    path.chmod(status.st_mode & 0o7777)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def directory(path: Path) -> None:
    path.unlink()
    (path / "d/d").mkdir(parents=True)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "in place": in_place,
    "mode": lambda path: path.chmod(0o4777),
    "private": lambda path: path.chmod(0),
    "directory": directory,
    "fifo": fifo,
    "link": link,
    "gone": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
}
FILES = (
    "app/image/image/bin/blob",
    "app/image/image/bin/app.sh",
    "app/image/image.tar",
    "app/image/image.digest",
    "app/image/manifest.json",
    "app/enclave/measurement.json",
    "app/enclave/manifest.json",
    "app/enclave/occlum_instance.tar.gz",
    "app/enclave/occlum_instance/Occlum.json",
    "app/secret/occlum_instance.tar.gz",
    "app/secret/occlum_instance/build/Enclave.xml",
    "app/oci/oci.digest",
    "app/oci/layout/index.json",
)


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_damaged_dist(
    pants: PantsRunner, right: Listing, damage: str, record_property: Record
) -> None:
    for name in FILES:
        DAMAGES[damage](pants.dist / name)
    check(pants, right)
    record_property("files of dist that were damaged", len(FILES))


def test_damaged_state_of_dist(pants: PantsRunner, right: Listing, record_property: Record) -> None:
    state = pants.build_root / ".pants.d/occlum/dist"
    tried = 0
    makers: list[Callable[[Path], object]] = [
        *(directory, fifo, link),
        lambda path: path.write_bytes(b"\xff" * 1000),
    ]
    for make in makers:
        pants.stop_pantsd()
        files = [path for path in state.iterdir() if path.suffix in (".rows", ".archive")]
        tried += len(files)
        for path in files:
            make(path)
        in_place(pants.dist / "app/image/image/bin/blob")
        in_place(pants.dist / "app/secret/occlum_instance.tar.gz")
        check(pants, right)
    record_property("files of the state of dist that were damaged", tried)


def test_file_where_a_directory_of_dist_belongs(pants: PantsRunner, right: Listing) -> None:
    folder = pants.dist / "app/enclave"
    shutil.rmtree(folder)
    folder.write_text("mine")
    run = pants.run("package", "app:enclave")
    clear_error(run)
    assert f"{folder}: cannot be written" in run.stderr
    assert folder.read_text() == "mine"
    folder.unlink()
    check(pants, right)
    assert built_enclave(pants, "app:enclave").folder == folder
