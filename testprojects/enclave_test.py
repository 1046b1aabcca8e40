"""Enclaves that ./pants builds: the instance, what is measured, and what is built again."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from built_enclave import (
    HELLO,
    PARTS,
    BuiltEnclave,
    built_enclave,
    image_key_file,
    listing_of,
    occlum_build,
    small_enclave,
    unpacked_toolchain,
)
from pants_runner import PantsRunner, pants_runner
from recorded_run import BACKENDS, run_recorded

SCRIPT = "testprojects/hello/hello.sh"
BOM = "testprojects/hello/bom.yaml"
CONFIGURE = f"Configure and measure {HELLO}"
ARCHIVE = f"Archive the instance of {HELLO}"
SEAL = f"Make the secure file system of {HELLO}"


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    top = tmp_path_factory.mktemp("pants")
    with pants_runner(top, parts=(*PARTS, "testprojects/redis", BACKENDS)) as runner:
        yield runner


@pytest.fixture
def hello(pants: PantsRunner) -> BuiltEnclave:
    """The enclave of hello as the project now stands."""
    run_recorded(pants, "package", HELLO)
    return built_enclave(pants, HELLO)


def test_layout(hello: BuiltEnclave) -> None:
    found = listing_of(hello.instance)
    outside = {path: mode for path, (mode, _) in found.items() if "/__ROOT/" not in path}
    libraries = ("libocclum-libos.so", "libocclum-pal.so")
    folders = ("bin", "initfs", "initfs/__ROOT", "lib", "mount", "mount/__ROOT")
    files = (
        *(".Occlum_sys.json", ".Occlum_sys.json.protected", "Enclave.xml", "image_config.json"),
        *("initfs/.ROOT_MAC", "mount/.ROOT_MAC"),
    )
    run = ("run", *(f"run/{fs}{sub}" for fs in ("initfs", "mount") for sub in ("", "/__ROOT")))
    musl = ("ld-musl-x86_64.so.1", "libc.so", "libgcc_s.so.1", "libgomp.so.1", "libstdc++.so.6")
    assert outside == {
        **dict.fromkeys((".__occlum_status", ".sgx_mode", "Occlum.json"), "-rw-r--r--"),
        **dict.fromkeys(("build", *run, *(f"build/{name}" for name in folders)), "drwxr-xr-x"),
        **{f"build/{name}": "-rw-r--r--" for name in files},
        **{f"build/lib/{name}.0.31.0": "-rwxr-xr-x" for name in libraries},
        **{f"build/lib/{name}{end}": "lrwxrwxrwx" for name in libraries for end in ("", ".0")},
        "build/lib/libocclum-libos.signed.so": "-rwxr-xr-x",
        **{
            f"build/bin/{name}": "lrwxrwxrwx"
            for name in ("occlum-run", "occlum_exec_client", "occlum_exec_server")
        },
        **{f"initfs{sub}": "drwxr-xr-x" for sub in ("", "/bin", "/dev", "/etc", "/lib", "/proc")},
        **{f"initfs/etc/{name}": "-rw-r--r--" for name in ("hosts", "image_config.json")},
        **{f"initfs/{name}": "-rwxr-xr-x" for name in ("bin/init", *(f"lib/{n}" for n in musl))},
    }
    assert found[".__occlum_status"][1] == b"built\n"
    assert found[".sgx_mode"][1] == b"HW\n"
    assert found["build/bin/occlum-run"][1] == b"/opt/occlum/build/bin/occlum-run"
    assert found["build/lib/libocclum-pal.so"][1] == b"libocclum-pal.so.0"
    assert found["build/lib/libocclum-pal.so.0"][1] == b"libocclum-pal.so.0.31.0"
    assert {path.name for path in hello.folder.iterdir()} == {
        *("graph.json", "image.digest", "manifest.json", "measurement.json"),
        *("occlum_instance", "occlum_instance.tar.gz"),
    }


def test_measurement_is_that_of_the_enclave(pants: PantsRunner, hello: BuiltEnclave) -> None:
    assert occlum_build(pants, "print", "mrenclave", hello.signed).strip() == hello.mrenclave
    mrsigner = occlum_build(pants, "print", "mrsigner", hello.signed).strip()
    assert mrsigner == hello.measurement["mrsigner"]
    stderr = run_recorded(pants, "package", HELLO).result.stderr
    assert f"{HELLO}: MRENCLAVE {hello.mrenclave}" in stderr
    for name in ("occlum_instance", "occlum_instance.tar.gz", "measurement.json", "manifest.json"):
        assert f"Wrote dist/testprojects.hello/enclave/{name}\n" in stderr
    debug = "this is a debug enclave: its memory can be read from outside, and it is signed with a "
    assert f"[INFO] {HELLO}: {debug}test key that everybody has" in stderr
    for name, mac in (("mount", "image_mac"), ("initfs", "initfs_mac")):
        folder = hello.instance / "build" / name
        text = (folder / ".ROOT_MAC").read_text()
        assert text == hello.measurement[mac]
        occlum_build(pants, "sefs", "verify", folder / "__ROOT", "--mac", text)


def test_redis(pants: PantsRunner) -> None:
    if not Path("/usr/bin/redis-server").exists():
        pytest.skip("there is no redis-server on this machine")
    address = "testprojects/redis:enclave"
    run_recorded(pants, "package", address)
    redis = built_enclave(pants, address)
    assert occlum_build(pants, "print", "mrenclave", redis.signed).strip() == redis.mrenclave
    mount = redis.instance / "build/mount"
    text = (mount / ".ROOT_MAC").read_text()
    occlum_build(pants, "sefs", "verify", mount / "__ROOT", "--mac", text)
    listed = occlum_build(pants, "sefs", "ls", mount / "__ROOT")
    assert "/bin/redis-server" in listed


def test_same_as_on_the_command_line(
    pants: PantsRunner, hello: BuiltEnclave, tmp_path: Path
) -> None:
    run_recorded(pants, "package", HELLO.replace("enclave", "image"))
    toolchain = ("--toolchain", unpacked_toolchain(tmp_path / "system"))
    instance = tmp_path / "instance"
    occlum_build(pants, "new", *toolchain, instance)
    shutil.rmtree(instance / "image")
    shutil.copytree(hello.folder.parent / "image/image", instance / "image", symlinks=True)
    occlum_build(pants, "build", *toolchain, cwd=instance)

    by_cli, by_pants = listing_of(instance), listing_of(hello.instance)
    compared = [path for path in by_pants if not path.startswith(("initfs", "Occlum.json"))]
    assert {path: by_cli.get(path) for path in compared} == {
        path: by_pants[path] for path in compared
    }
    assert json.loads(by_cli["measurement.json"][1]) == hello.measurement


def test_archive_holds_what_is_to_be_deployed(hello: BuiltEnclave) -> None:
    with tarfile.open(hello.archive) as archive:
        members = {member.name: member for member in archive}
        assert {(one.mtime, one.uid, one.uname) for one in members.values()} == {(0, 0, "")}
        for name in ("build/lib/libocclum-libos.signed.so", "build/mount/.ROOT_MAC", "Occlum.json"):
            packed = archive.extractfile(members[f"occlum_instance/{name}"])
            assert packed is not None
            assert packed.read() == (hello.instance / name).read_bytes()
    assert "occlum_instance/build/Enclave.xml" not in members
    assert {name.partition("/")[0] for name in members} == {"occlum_instance"}


def test_nothing_runs_when_nothing_changed(pants: PantsRunner, hello: BuiltEnclave) -> None:
    before = hello.listing()
    shutil.rmtree(hello.instance)

    run = run_recorded(pants, "package", HELLO)

    assert run.processes == ()
    assert hello.listing() == before


def test_a_comment_in_a_bom_runs_nothing(pants: PantsRunner, hello: BuiltEnclave) -> None:
    mrenclave, bom = hello.mrenclave, pants.build_root / BOM
    bom.write_text("# A comment.\n" + bom.read_text())

    assert run_recorded(pants, "package", HELLO).processes == ()
    assert hello.mrenclave == mrenclave


def test_an_edit_runs_what_depends_on_it(pants: PantsRunner, hello: BuiltEnclave) -> None:
    mrenclave = hello.mrenclave
    with (pants.build_root / SCRIPT).open("a") as script:
        script.write("echo Bye.\n")

    run = run_recorded(pants, "package", HELLO)

    assert [one for one in run.ran if "scan" not in one.lower()] == [SEAL, CONFIGURE, ARCHIVE]
    assert hello.mrenclave != mrenclave


def test_another_value_only_configures(pants: PantsRunner, hello: BuiltEnclave) -> None:
    before, mrenclave = listing_of(hello.instance), hello.mrenclave
    build = pants.build_root / "testprojects/hello/BUILD"
    text = build.read_text()
    value = 'config={"resource_limits": {"user_space_size": "8MB"}}'
    build.write_text(text.replace('name="enclave"', f'name="enclave", {value}'))

    run = run_recorded(pants, "package", HELLO)

    build.write_text(text)
    assert run.ran == [CONFIGURE, ARCHIVE]
    after = listing_of(hello.instance)
    changed = {path for path in after if after[path] != before[path]}
    libos = ("libocclum-libos.signed.so", "libocclum-libos.so.0.31.0")
    assert changed == {
        *("Occlum.json", "build/.Occlum_sys.json", "build/.Occlum_sys.json.protected"),
        *("build/Enclave.xml", *(f"build/lib/{name}" for name in libos)),
    }
    assert hello.mrenclave != mrenclave


def test_without_pantsd(pants: PantsRunner, hello: BuiltEnclave, tmp_path: Path) -> None:
    key = image_key_file(tmp_path / "key")
    encrypted = small_enclave(pants, "encrypted", encrypt=True)
    option = f"--occlum-image-key-file={key}"
    run_recorded(pants, option, "package", HELLO, encrypted)
    before = hello.listing(), built_enclave(pants, encrypted).listing()

    run = run_recorded(pants, "--no-pantsd", option, "package", HELLO, encrypted)

    assert run.ran == []
    assert (hello.listing(), built_enclave(pants, encrypted).listing()) == before

    off = (option, "--no-occlum-encrypted-cache")
    run = run_recorded(pants, "--no-pantsd", *off, "package", HELLO, encrypted)

    assert run.ran == [f"Make the secure file system of {encrypted}"]
    assert (hello.listing(), built_enclave(pants, encrypted).listing()) == before
