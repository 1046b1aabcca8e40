"""What ./pants says when an enclave cannot be built: one error, which names the place."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from built_enclave import (
    KEY_TEXT,
    TOOLCHAIN,
    built_enclave,
    image_key_file,
    package,
    small_enclave,
    unpacked_toolchain,
)
from pants_runner import PantsRunner, pants_runner

PAL = "opt/occlum/build/lib/libocclum-pal.so.0.31.0"


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    with pants_runner(tmp_path_factory.mktemp("pants"), parts=(TOOLCHAIN,)) as runner:
        yield runner


@pytest.fixture
def system(tmp_path: Path) -> Path:
    return unpacked_toolchain(tmp_path / "system")


def _error(pants: PantsRunner, *args: str) -> str:
    """The text of the one error that packaging ends with."""
    result = pants.run("package", *args).expect(1)
    assert "Traceback" not in result.stderr
    assert "1 Exception encountered:" in result.stderr
    return result.stderr.partition("1 Exception encountered:")[2]


def test_missing_file_of_a_toolchain(pants: PantsRunner, system: Path) -> None:
    (system / PAL).unlink()
    with tarfile.open(pants.build_root / "part.tar.xz", "w:xz") as archive:
        archive.add(system, ".")
    pants.write(
        "BUILD",
        'file(name="part", source="part.tar.xz")\n'
        'occlum_toolchain(name="archived", archive=":part")\n'
        f'occlum_toolchain(name="root", root="{system}")\n',
    )
    by_root = _error(pants, small_enclave(pants, "root", toolchain="//:root"))
    assert f"the toolchain has no pal: {system}/{PAL} does not exist" in by_root
    assert "enclaves/root:enclave cannot be built, 1 error:" in by_root
    by_archive = _error(pants, small_enclave(pants, "archived", toolchain="//:archived"))
    assert f"the toolchain has no pal: {PAL} in part.tar.xz does not exist" in by_archive


def test_no_toolchain(pants: PantsRunner, tmp_path: Path) -> None:
    address = small_enclave(pants, "nowhere", toolchain=None)
    (tmp_path / "opt").mkdir()
    for root, place in (
        (tmp_path / "none", "none"),
        (tmp_path, "include/occlum_version.h"),
        (tmp_path / "opt/occlum", "opt/occlum/include/occlum_version.h"),
    ):
        error = _error(pants, f"--occlum-toolchain-root={root}", address)
        assert f"the toolchain has no version-header: {tmp_path}/{place} does not exist" in error
        assert "an installed /opt/occlum or a copy of it" in error
    os.mkfifo(tmp_path / "fifo")
    error = _error(pants, f"--occlum-toolchain-root={tmp_path}/fifo", address)
    assert f"the toolchain has no version-header: {tmp_path}/fifo is not a directory" in error


def test_wrong_version(pants: PantsRunner, system: Path) -> None:
    pants.write("old/BUILD", f'occlum_toolchain(name="old", root="{system}", version="0.30.1")\n')
    error = _error(pants, small_enclave(pants, "old", toolchain="//old"))
    assert "the toolchain's version is 0.31.0, not 0.30.1" in error
    assert "the 'root' field in target old" in error


@pytest.mark.parametrize(
    ("name", "config", "expected"),
    [
        ("unknown", {"metadata": {"product_idd": 1}}, ("metadata.product_idd", "product_id")),
        ("top", {"metdata": {}}, ("`config`:1:2: $.metdata: unknown key", "mean 'metadata'?")),
        ("page", {"resource_limits": {"user_space_size": "1B"}}, ("user_space_size",)),
        ("entry", {"entry_points": ["bin"]}, ("entry_points[0]",)),
    ],
)
def test_mistake_in_the_configuration(
    pants: PantsRunner, name: str, config: object, expected: tuple[str, ...]
) -> None:
    error = _error(pants, small_enclave(pants, name, config=config))
    assert f"Configure and measure enclaves/{name}:enclave failed:" in error
    assert all(text in error for text in expected)


def test_what_the_libos_refuses(pants: PantsRunner, tmp_path: Path) -> None:
    nowhere = small_enclave(pants, "nowhere_to_enter", config={"entry_points": ["/nowhere"]})
    assert "$.entry_points: the image has no '/nowhere': nothing can be run" in _error(
        pants, nowhere
    )
    key = f"--occlum-image-key-file={image_key_file(tmp_path / 'key')}"
    address = small_enclave(pants, "warned", encrypt=True)
    pants.write(
        "bare/BUILD",
        f"""\
occlum_files(name="files", target="/bin", mkdirs=["x"])
occlum_image(name="image", boms=[":files"])
occlum_enclave(name="enclave", image=":image", toolchain="//{TOOLCHAIN}")
rune_bundle(name="bundle", enclave=":enclave", args=["/bin/x"])
rune_bundle(name="elsewhere", enclave=":enclave", args=["/usr/bin/x"])
""",
    )
    for _ in range(2):  # also from memory
        told = pants.run(key, "package", address, "bare:enclave").expect(0).stderr
        assert told.count(f"[WARN] {address}: the image is encrypted, and /bin/init") == 1
        assert told.count("[WARN] bare:enclave: the libOS fails at boot, as the image lacks") == 1
        assert "/proc (procfs), /dev (devfs), /host (hostfs of $.mount[1]), /etc (hosts" in told
    error = _error(pants, "bare:bundle")
    assert "the program /bin/x is a directory" in error
    assert "/usr/bin/x is below no entry point: /bin" in _error(pants, "bare:elsewhere")
    assert "[WARN] bare:enclave: the libOS" in pants.run("package", "bare:bundle").stderr


def test_broken_config_file(pants: PantsRunner) -> None:
    address = small_enclave(pants, "broken", config_file="Occlum.json")
    pants.write("enclaves/broken/Occlum.json", '{\n "metadata": }\n')
    assert "enclaves/broken/Occlum.json:2:14: " in _error(pants, address)


def test_expected_mrenclave(pants: PantsRunner) -> None:
    package(pants, small_enclave(pants, "expected"))
    enclave = built_enclave(pants, "enclaves/expected:enclave")
    good = enclave.mrenclave
    package(pants, small_enclave(pants, "expected", expected_mrenclave=good.upper()))
    before = enclave.listing()

    pants.write("app/app.sh", "#!/bin/sh\necho another\n")
    config = {"resource_limits": {"user_space_size": "8MB"}}
    fields = {"config": config, "expected_mrenclave": good}
    told = pants.run("package", small_enclave(pants, "expected", **fields)).expect(1).stderr
    before_it, _, error = told.partition("1 Exception encountered:")

    assert f", not {good} as expected\n" in error
    assert "MRENCLAVE" not in before_it, "told once, by the error"
    assert "since the last measurement.json, which has the expected MRENCLAVE:" in error
    assert "config $.resource_limits.user_space_size: 4MB -> 8MB" in error
    assert "image digest: sha256:" in error
    assert "image entry /bin/app.sh: file 0644 " in error
    assert enclave.listing() == before

    dist = pants.dist / "enclaves.expected/enclave"
    (dist / "measurement.json").write_text('{"schema": 1, "inputs": {}}')
    (dist / "manifest.json").write_text("[" * 100_000)
    error = _error(pants, "enclaves/expected:enclave")
    assert f", not {good} as expected\n" in error
    assert "not compared with: measurement.json: the document has no 'mrenclave'" in error
    assert "not compared with: manifest.json:1: nested more than 64 levels deep" in error


def test_files_of_a_toolchain_that_are_none_of_it(
    pants: PantsRunner, system: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.pem"
    secret.write_text("-----BEGIN PRIVATE KEY-----\nnobody's, who would have thought of it\n")
    init, loader, libc = (
        system / place
        for place in (
            "opt/occlum/build/bin/init",
            "lib/ld-musl-x86_64.so.1",
            "usr/local/occlum/x86_64-linux-musl/lib/libc.so",
        )
    )
    init.unlink()
    init.symlink_to(secret)
    loader.unlink()
    loader.symlink_to("/usr/local/occlum/x86_64-linux-musl/lib/libc.so")  # as Occlum's is
    libc.write_bytes(secret.read_bytes())
    (system / PAL).unlink()
    os.mkfifo(system / PAL)
    (system / "opt/occlum/etc/template/Occlum.json").write_text("[]")
    pants.write("odd/BUILD", f'occlum_toolchain(name="odd", root="{system}")\n')
    error = _error(pants, small_enclave(pants, "odd", toolchain="//odd"))
    assert f"{init} is a link to {secret}, and there is no such file in {system}" in error
    assert f"{loader}: the toolchain's ld-musl-x86_64.so.1 is not an ELF file" in error
    assert f"{libc}: the toolchain's libc.so is not an ELF file" in error
    assert f"{system}/{PAL}: is not a regular file" in error
    assert "Occlum.json: not an object of JSON" in error
    assert "cannot be built, 5 errors:" in error


def test_toolchain_file_that_moved(pants: PantsRunner, system: Path) -> None:
    pants.write("moved/BUILD", f'occlum_toolchain(name="moved", root="{system}")\n')
    package(pants, small_enclave(pants, "moved", toolchain="//moved"))
    good = built_enclave(pants, "enclaves/moved:enclave").mrenclave
    for path in (f"{PAL.replace('pal', 'libos')}", "opt/occlum/build/bin/init"):
        (system / path).write_bytes((system / path).read_bytes() + b"changed")
    fields = {"toolchain": "//moved", "expected_mrenclave": good}

    error = _error(pants, small_enclave(pants, "moved", **fields))

    assert "toolchain libos: sha256:" in error
    assert "initfs /bin/init: file 0755 " in error


def test_keys(pants: PantsRunner, tmp_path: Path) -> None:
    encrypted = small_enclave(pants, "encrypted", encrypt=True)
    key, option = image_key_file(tmp_path / "key"), "--occlum-image-key-file="
    error = _error(pants, encrypted)
    assert f"{encrypted} is to be encrypted, but there is no image key" in error
    assert f"{tmp_path}/none" in _error(pants, f"{option}{tmp_path}/none", encrypted)
    assert "must be an absolute path, not 'key'" in _error(pants, f"{option}key", encrypted)
    key.chmod(0o644)
    assert f"{key}: the key file is open to group" in _error(pants, f"{option}{key}", encrypted)
    image_key_file(key, KEY_TEXT[:-1])
    error = _error(pants, f"{option}{key}", encrypted)
    assert f"{key}: the key file must hold 16 hex pairs" in error
    assert KEY_TEXT[:-1] not in error


def test_signing_keys(pants: PantsRunner, tmp_path: Path) -> None:
    address, option = small_enclave(pants, "signed"), "--occlum-sign-key-file="
    (tmp_path / "bad.pem").write_text("no key\n")
    assert f"{tmp_path}/none.pem" in _error(pants, f"{option}{tmp_path}/none.pem", address)
    error = _error(pants, f"{option}{tmp_path}/bad.pem", address)
    assert f"{address} cannot be built, 1 error:" in error
    assert "no key" not in error.replace("there is no key", "")
    error = _error(pants, "--occlum-signer=false", address)
    assert "[occlum].signer needs [occlum].signer_public_key" in error


def test_no_key_at_all(pants: PantsRunner, system: Path) -> None:
    (system / "opt/occlum/etc/template/Enclave.pem").unlink()
    pants.write(
        "keyless/BUILD",
        f'occlum_toolchain(name="root", root="{system}")\n'
        'file(name="file", source="keyless.tar.xz")\n'
        'occlum_toolchain(name="archived", archive=":file")\n',
    )
    with tarfile.open(pants.build_root / "keyless/keyless.tar.xz", "w:xz") as archive:
        archive.add(system, ".")
    for name in ("root", "archived"):
        address = small_enclave(pants, f"keyless_{name}", toolchain=f"//keyless:{name}")
        assert "there is no key to sign with" in _error(pants, address)


def test_comparison_that_cannot_be(pants: PantsRunner, tmp_path: Path) -> None:
    archived = small_enclave(pants, "compared", builder="occlum")
    error = _error(pants, archived)
    assert "is an archive" in error and "give its toolchain a `root`" in error
    key = image_key_file(tmp_path / "key")
    encrypted = small_enclave(pants, "compared", builder="occlum", encrypt=True)
    error = _error(pants, f"--occlum-image-key-file={key}", encrypted)
    assert "Occlum encrypts with other keys in each run" in error
    pants.write("bare/BUILD", f'occlum_toolchain(name="bare", root="{tmp_path}/system")\n')
    unpacked_toolchain(tmp_path / "system")
    bare = small_enclave(pants, "compared", builder="occlum", toolchain="//bare")
    assert f"{tmp_path}/system/opt/occlum/build/bin/occlum" in _error(pants, bare)
