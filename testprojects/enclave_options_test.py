"""What the fields of an enclave and the options do: toolchain, configuration, keys, comparison."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from built_enclave import (
    ARCHIVE,
    KEY_TEXT,
    TOOLCHAIN,
    built_enclave,
    image_key_file,
    listing_of,
    occlum_build,
    openssl,
    package,
    signing_key_files,
    small_enclave,
    unpacked_toolchain,
)
from pants_runner import PantsRunner, pants_runner

RELEASE = {"metadata": {"debuggable": False}}
LIBRARIES = "build/lib/libocclum-"

# Builds as Occlum does, by other means: the command line of the library, in the instance.
OCCLUM = """\
#!/bin/sh -e
echo "$*" >>{record}
verb=$1
shift
PYTHONPATH={sources} {python} -B -m occlum_build.cli.main "$verb" --toolchain {root} "$@" 2>&1
{more}
"""


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    with pants_runner(tmp_path_factory.mktemp("pants"), parts=(TOOLCHAIN,)) as runner:
        yield runner


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a system that has the stand-ins in opt/occlum."""
    return unpacked_toolchain(tmp_path_factory.mktemp("system"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return signing_key_files(tmp_path_factory.mktemp("keys"))


def test_toolchain_of_an_archive_and_installed(pants: PantsRunner, system: Path) -> None:
    (pants.build_root / "tools").mkdir()
    shutil.copy(ARCHIVE, pants.build_root / "tools/occlum.tar.xz")
    roots = {"of_system": system, "of_occlum": system / "opt/occlum"}
    pants.write(
        "tools/BUILD",
        "".join(f'occlum_toolchain(name="{name}", root="{at}")\n' for name, at in roots.items())
        + 'file(name="file", source="occlum.tar.xz")\n'
        + 'occlum_toolchain(name="of_archive", archive=":file")\n',
    )
    names = (*roots, "of_archive")
    addresses = [small_enclave(pants, name, toolchain=f"//tools:{name}") for name in names]
    installed = small_enclave(pants, "installed", toolchain=None)

    package(pants, f"--occlum-toolchain-root={system}", *addresses, installed)

    one, *others = (built_enclave(pants, address).listing() for address in (*addresses, installed))
    assert all(other == one for other in others)
    libos = system / "opt/occlum/build/lib/libocclum-libos.so.0.31.0"
    libos.write_bytes(libos.read_bytes() + b"changed")
    package(pants, addresses[0])
    assert built_enclave(pants, addresses[0]).listing() != one


def test_modes_and_edmm(pants: PantsRunner) -> None:
    plain = small_enclave(pants, "hw")
    sim = small_enclave(pants, "sim", sgx_mode="SIM")
    hyper = small_enclave(pants, "hyper", sgx_mode="HYPER")
    edmm = small_enclave(pants, "edmm", edmm=True)

    result = package(pants, plain, sim, hyper, edmm)

    instance = built_enclave(pants, sim).instance
    assert (instance / ".sgx_mode").read_text() == "SIM\n"
    assert os.readlink(instance / f"{LIBRARIES}libos.so.0") == "libocclum-libos_sim.so.0.31.0"
    assert os.readlink(instance / f"{LIBRARIES}pal.so.0") == "libocclum-pal_sim.so.0.31.0"
    assert f"{hyper}: HYPER: the enclave is laid out without a marshal buffer" in result.stderr
    assert len({built_enclave(pants, one).mrenclave for one in (plain, sim, edmm)}) == 3
    assert built_enclave(pants, edmm).measurement["inputs"]["settings"]["edmm"] is True


def test_configuration(pants: PantsRunner) -> None:
    plain = _plain(pants)
    package(pants, plain)
    template = json.loads((built_enclave(pants, plain).instance / "Occlum.json").read_text())
    template["metadata"]["product_id"] = 3
    pants.write("enclaves/patched/Occlum.json", json.dumps(template))
    config = {"metadata": {"version_number": 7}, "feature": {"io_uring": None}}
    patched = small_enclave(pants, "patched", config_file="Occlum.json", config=config)

    package(pants, patched)

    enclave = built_enclave(pants, patched)
    written = json.loads((enclave.instance / "Occlum.json").read_text())
    assert written["metadata"] == {**template["metadata"], "version_number": 7}
    assert "io_uring" not in written["feature"]
    assert (enclave.measurement["isv_prod_id"], enclave.measurement["isv_svn"]) == (3, 7)


def test_one_file_for_machines_with_edmm_and_without(pants: PantsRunner) -> None:
    limits = {
        **{"user_space_size": "1MB", "user_space_max_size": "600MB"},
        **{"kernel_space_heap_size": "4MB", "kernel_space_heap_max_size": "40MB"},
        **{"kernel_space_stack_size": "1MB", "init_num_of_threads": 2, "max_num_of_threads": 64},
    }
    both = {"resource_limits": limits}
    without = small_enclave(pants, "without_edmm", config=both)
    with_edmm = small_enclave(pants, "with_edmm", config=both, edmm=True)

    for _ in range(2):  # also from the cache
        result = package(pants, without, with_edmm)
        assert "[WARN] enclaves/" not in result.stderr
        assert f"[INFO] {without}: " in result.stderr
        assert "init_num_of_threads: counts with EDMM only" in result.stderr
        assert f"[INFO] {with_edmm}: " in result.stderr
        assert "629145600 bytes count without EDMM only" in result.stderr


def test_what_is_ignored_in_a_configuration_can_be_a_warning(pants: PantsRunner) -> None:
    config = {"metadata": {"note": "ours"}}
    lenient = small_enclave(pants, "lenient", config=config, strict=False)
    plain = _plain(pants)

    result = package(pants, lenient, plain)

    assert f"[WARN] {lenient}: " in result.stderr
    assert "$.metadata.note: unknown key: it is ignored" in result.stderr
    strict = small_enclave(pants, "lenient", config=config)
    assert "$.metadata.note: unknown key" in pants.run("package", strict).expect(1).stderr


def test_initfs_and_init(pants: PantsRunner) -> None:
    init = pants.write("enclaves/init/my_init", "my own init\n")
    init.chmod(0o755)
    with_init = small_enclave(pants, "init", init="my_init")
    with_initfs = small_enclave(pants, "initfs", initfs="//app:image")

    package(pants, with_init, with_initfs, _plain(pants))

    plain = listing_of(built_enclave(pants, _plain(pants)).instance / "initfs")
    changed = listing_of(built_enclave(pants, with_init).instance / "initfs")
    assert changed.pop("bin/init") == ("-rwxr-xr-x", b"my own init\n")
    assert changed == {path: plain[path] for path in changed}
    own = built_enclave(pants, with_initfs)
    files = ["bin", "bin/app.sh", "dev", "etc", "etc/image_config.json", "host", "proc"]
    assert sorted(listing_of(own.instance / "initfs")) == files
    occlum_build(pants, "sefs", "unzip", own.instance / "build/initfs/__ROOT", pants.top / "out")
    assert sorted(listing_of(pants.top / "out")) == files


def test_signed_elsewhere(pants: PantsRunner, keys: tuple[Path, Path], tmp_path: Path) -> None:
    private, public = keys
    unsigned = small_enclave(pants, "unsigned", sign=False)
    package(pants, unsigned)
    enclave = built_enclave(pants, unsigned)
    build = enclave.instance / "build"
    assert (enclave.instance / ".__occlum_status").read_text() == "initialized\n"
    assert enclave.measurement["mrsigner"] is None
    assert not enclave.signed.exists() and not enclave.archive.exists()
    data, signature = build / "signing-data", tmp_path / "signature"
    assert data.stat().st_size == 256
    openssl("dgst", "-sha256", "-sign", private, "-out", signature, data)
    libos = ("--enclave", build / "lib/libocclum-libos.so", "--config", build / "Enclave.xml")
    parts = ("--unsigned", data, "--signature", signature, "--pubkey", public)
    occlum_build(pants, "catsig", *libos, *parts, "--out", tmp_path / "signed.so")

    by_file, by_command = small_enclave(pants, "by_file"), small_enclave(pants, "by_command")
    package(pants, f"--occlum-sign-key-file={private}", by_file)
    signer = f"--occlum-signer=openssl dgst -sha256 -sign {private}"
    package(pants, signer, f"--occlum-signer-public-key={public}", by_command)

    signed = (tmp_path / "signed.so").read_bytes()
    assert built_enclave(pants, by_file).signed.read_bytes() == signed
    assert built_enclave(pants, by_command).signed.read_bytes() == signed
    assert built_enclave(pants, by_file).mrenclave == enclave.mrenclave


def test_another_signing_key_is_seen(pants: PantsRunner, keys: tuple[Path, Path]) -> None:
    address = small_enclave(pants, "signer")
    package(pants, address)
    by_test_key = built_enclave(pants, address).measurement
    package(pants, f"--occlum-sign-key-file={keys[0]}", address)
    measured = built_enclave(pants, address).measurement
    assert measured["mrsigner"] != by_test_key["mrsigner"]
    assert measured["mrenclave"] == by_test_key["mrenclave"]


def test_encrypted(pants: PantsRunner, tmp_path: Path) -> None:
    address = small_enclave(pants, "encrypted", encrypt=True)
    key, other = image_key_file(tmp_path / "key"), tmp_path / "other"
    image_key_file(other, KEY_TEXT.replace("c0", "c1"))
    package(pants, f"--occlum-image-key-file={key}", address)
    enclave = built_enclave(pants, address)
    first, image = enclave.mrenclave, enclave.instance / "build/mount/__ROOT"
    occlum_build(pants, "sefs", "verify", image, "--key", key)
    assert b"echo app" not in b"".join(content for _, content in listing_of(image).values())
    config = json.loads((enclave.instance / "build/image_config.json").read_text())
    assert config == {"image_type": "encrypted"}

    key.write_bytes(other.read_bytes())
    package(pants, f"--occlum-image-key-file={key}", address)

    assert enclave.mrenclave != first
    occlum_build(pants, "sefs", "verify", image, "--key", other)


def test_built_in_key_is_warned_about(pants: PantsRunner, tmp_path: Path) -> None:
    address = small_enclave(pants, "built_in", encrypt=True, buildin_image_key=True)
    key = image_key_file(tmp_path / "key")

    result = package(pants, f"--occlum-image-key-file={key}", address)

    assert f"{address}: the image key is in initfs, which is not encrypted" in result.stderr
    enclave = built_enclave(pants, address)
    written = listing_of(enclave.instance / "initfs")["etc/image_key"]
    assert written == ("-rw-------", f"{KEY_TEXT}\n".encode())
    assert KEY_TEXT not in json.dumps(enclave.measurement) + result.stderr + result.stdout


def test_weak_release_is_warned_about(
    pants: PantsRunner, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    test_key, integrity = "signed with the toolchain's test key", "an integrity-only image"
    weak = small_enclave(pants, "weak", config=RELEASE)
    # Occlum's own init would find no key.
    strong = small_enclave(pants, "strong", config=RELEASE, encrypt=True, init="init")
    pants.write("enclaves/strong/init", "gets the key by attestation")

    result = package(pants, weak, _plain(pants))
    assert [line for line in result.stderr.splitlines() if test_key in line or integrity in line]
    assert f"{weak}: a release enclave is {test_key}" in result.stderr
    assert f"{weak}: a release enclave has {integrity}" in result.stderr
    assert f"{_plain(pants)}: a release" not in result.stderr

    key = image_key_file(tmp_path / "key")
    options = (f"--occlum-image-key-file={key}", f"--occlum-sign-key-file={keys[0]}")
    assert f"[WARN] {strong}" not in package(pants, *options, strong).stderr
    assert built_enclave(pants, strong).measurement["debuggable"] is False


def test_comparison_with_occlums_own_build(pants: PantsRunner, tmp_path: Path) -> None:
    root = unpacked_toolchain(tmp_path / "system")
    record, script = tmp_path / "record", root / "opt/occlum/build/bin/occlum"
    pants.write("own/BUILD", f'occlum_toolchain(name="own", root="{root}")\n')
    fields = {"toolchain": "//own", "builder": "occlum"}
    addresses = [
        small_enclave(pants, "compared", **fields),
        small_enclave(pants, "compared_edmm", edmm=True, initfs="//app:image", **fields),
    ]
    python = Path(os.environ["OCCLUM_VENV"], "bin/python")
    parts = {"record": record, "root": root, "python": python}
    sources = pants.build_root / "src/python"
    script.write_text(OCCLUM.format(**parts, sources=sources, more=""))
    script.chmod(0o755)

    package(pants, *addresses)

    assert sorted(record.read_text().splitlines()) == [
        "build --sgx-mode HW",
        "build --sgx-mode HW --enable-edmm Y",
    ]
    # The script is no input, so only another enclave has it run again.
    differing = small_enclave(pants, "differing", config=RELEASE, **fields)
    more = "tr 0-9a-f 1-9a-f0 <build/mount/.ROOT_MAC >mac && mv mac build/mount/.ROOT_MAC"
    script.write_text(OCCLUM.format(**parts, sources=sources, more=more))
    ours = built_enclave(pants, addresses[0]).measurement["image_mac"]
    theirs = ours.translate(str.maketrans("0123456789abcdef", "123456789abcdef0"))
    error = pants.run("package", differing).expect(1).stderr
    assert f"{differing} cannot be built, 1 error:" in error
    assert f"the MAC of the image is {theirs} by `occlum build`, and {ours} by ours" in error
    assert not built_enclave(pants, differing).folder.exists()


def _plain(pants: PantsRunner) -> str:
    return small_enclave(pants, "plain")
