"""The command `occlum`: what is ours, and what is handed to an installed Occlum."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from occlum_build.cli import main as main_module
from occlum_build.cli.occlum_command import main
from occlum_build.occlum.testing import SOURCES, load_maker
from occlum_build.version import VERSION

SHOW = '#!/bin/sh\necho "$0" "$#" "$@"\necho "in $PWD with $SECRET"\nexit 7\n'
AECS_LIBRARIES = ("libz.so.1", "libdl.so.2", "libssl.so.1.1", "libcrypto.so.1.1")
NSS = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2")


@pytest.fixture
def occlum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Occlum's directory in a system of stand-ins; the working directory is beside it."""
    for name in ("SGX_MODE", "ENABLE_EDMM", "SOURCE_DATE_EPOCH", "OCCLUM_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    directory: Path = load_maker().make_toolchain(tmp_path / "system", glibc=True)
    monkeypatch.setenv("OCCLUM_TOOLCHAIN", str(directory))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return directory


@pytest.fixture
def inst(occlum: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    assert main(["new", "inst"]) == 0
    monkeypatch.chdir("inst")
    return Path.cwd()


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def _run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as another program may take its place."""
    return subprocess.run(
        [sys.executable, "-m", "occlum_build.cli.occlum_command", *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCES), **env},
        capture_output=True,
        text=True,
    )


def test_from_new_to_package(occlum: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "inst"]) == 0
    assert main(["new", "inst"]) == 1
    os.chdir("inst")
    assert main(["status"]) == 0
    assert main(["package"]) == 1
    assert main(["build", "--sgx-mode", "SIM", "--sign-tool", "/none", "--enable-edmm", "Y"]) == 0
    assert capsys.readouterr().out.endswith("Built the Occlum image and enclave successfully\n")
    assert main(["build", "-f"]) == 0
    capsys.readouterr()
    for what in ("mrenclave", "mrsigner"):
        assert main(["print", what]) == 0
        assert len(capsys.readouterr().out) == 65
    assert main(["status"]) == 0
    assert capsys.readouterr().out == "built\n"


def test_package_takes_a_path_and_replaces(inst: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (inst / "image/dev").rmdir()
    assert main(["build"]) == 0
    told = capsys.readouterr().err
    assert "the image lacks directories for it: /dev (devfs)" in told
    for arguments, archive in (
        (["--debug"], "inst.tar.gz"),
        (["one.tar.gz", "--debug"], "one.tar.gz"),
        (["--debug", "../two"], "../two.tar.gz"),
        (["--debug", f"{inst.parent}/two.tar.gz"], "../two.tar.gz"),
    ):
        assert main(["package", *arguments]) == 0
        out, err = capsys.readouterr()
        assert "is generated successfully" in out
        assert err == told
        with tarfile.open(inst / archive) as packed:
            top = Path(archive).name[: -len(".tar.gz")]
            assert {name.split("/")[0] for name in packed.getnames()} == {top}
    assert main(["package", "--debug", "x/.."]) == 1
    assert main(["package", "inst"]) == 1  # debuggable


def test_init_keeps_what_the_directory_has(occlum: Path) -> None:
    Path("image/bin").mkdir(parents=True)
    Path("image/bin/mine").write_text("mine")
    assert main(["init"]) == 0
    assert Path("image/bin/mine").read_text() == "mine" and Path("image/ext2").is_dir()
    assert main(["init"]) == 1


def test_image_key_is_made_again_and_taken_with_any_mode(
    inst: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gen-image-key", "../image_key"]) == 0
    first = Path("../image_key").read_text()
    assert main(["gen-image-key", "../image_key"]) == 0
    assert Path("../image_key").read_text() != first
    Path("../image_key").chmod(0o644)
    assert main(["build", "--image-key", "../image_key", "--buildin-image-key"]) == 0
    assert "warning: ../image_key is open to group or others (mode 644)" in capsys.readouterr().err
    assert main(["build", "--image-key", "../none"]) == 1


@pytest.mark.parametrize("verb", ["run", "start", "exec", "stop", "mount", "gdb", "other"])
def test_what_needs_the_runtime_is_handed_on(occlum: Path, verb: str) -> None:
    script = _program(occlum / "build/bin/occlum", SHOW)
    # Our own is the first in PATH, and in Occlum's place on another machine.
    done = _run(verb, "--config-id", "a b", "", "-x", PATH=os.environ["PATH"], SECRET="s")
    assert done.returncode == 7, done.stderr
    assert done.stdout == f"{script} 5 {verb} --config-id a b  -x\nin {os.getcwd()} with s\n"


def test_without_a_runtime_one_sentence(occlum: Path) -> None:
    done = _run("run", "/bin/app")
    assert done.returncode == 1 and done.stdout == ""
    place = f"{occlum}/build/bin/occlum nor /opt/occlum/build/bin/occlum"
    assert done.stderr.startswith(
        "error: `occlum run` needs Occlum's runtime, and none is installed"
    )
    assert place in done.stderr and "OCCLUM_TOOLCHAIN" in done.stderr
    assert done.stderr.count("error: ") == 1
    unknown = _run("buidl")
    assert unknown.returncode == 1
    assert "no sub-command 'buidl'" in unknown.stderr and "known are new, init" in unknown.stderr


@pytest.mark.parametrize("text", [SHOW, "no program\n"])
def test_a_runtime_that_cannot_be_run(occlum: Path, text: str) -> None:
    script = _program(occlum / "build/bin/occlum", text)
    if text == SHOW:
        script.chmod(0o644)
    done = _run("run")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith(f"error: {script} cannot be run: ")


def test_handed_on_with_closed_output(occlum: Path) -> None:
    _program(occlum / "build/bin/occlum", "#!/bin/sh\nexit 5\n")
    command = f'exec "{sys.executable}" -m occlum_build.cli.occlum_command run >&- 2>&-'
    done = subprocess.run(["sh", "-c", command], env={**os.environ, "PYTHONPATH": str(SOURCES)})
    assert done.returncode == 5


def test_it_never_hands_on_to_itself(occlum: Path) -> None:
    text = f"#!{sys.executable}\nfrom occlum_build.cli.occlum_command import main\nmain()\n"
    _program(occlum / "build/bin/occlum", text)
    done = _run("run", "/bin/app")
    assert done.returncode == 1 and "needs Occlum's runtime" in done.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["new"], ["print"], ["print", "x"], ["build", "--unknown"], ["new", ""]]
)
def test_wrong_usage_ends_with_1(
    inst: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(arguments)
    except SystemExit as usage:
        code = usage.code if isinstance(usage.code, int) else -1
    assert code == 1 and "error: " in capsys.readouterr().err


def test_version_and_the_verb_of_our_own_command(
    occlum: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for call, arguments in ((main, ["--version"]), (main_module.main, ["occlum", "--version"])):
        with pytest.raises(SystemExit) as caught:
            call(arguments)
        assert caught.value.code == 0
        assert capsys.readouterr().out == f"occlum 0.31 (occlum-build {VERSION})\n"
    assert main_module.main(["occlum", "new", "inst"]) == 0
    assert main_module.main(["occlum", "run"]) == 1


# --init-ra


def _files(root: Path, *paths: str) -> None:
    for path in paths:
        _program(root / path, f"stand-in for {Path(path).name}\n")


def _ratls(occlum: Path) -> None:
    chains = "opt/occlum/toolchains"
    _files(
        occlum.parents[1],
        "etc/ssl/certs/ca-certificates.crt",
        *(
            f"{chains}/grpc_ratls/musl/lib{name}.so"
            for name in ("grpc_ratls_client", "hw_grpc_proto")
        ),
        f"{chains}/dcap_lib/musl/libocclum_dcap.so.0.1.0",
        f"{chains}/gcc/x86_64-linux-musl/lib/libcjson.so.1",
        "opt/occlum/build/bin/init_grpc_ratls",
        "opt/occlum/etc/template/init_grpc_ratls.json",
    )


def _aecs(occlum: Path) -> None:
    _files(
        occlum.parents[1],
        *(f"usr/lib/x86_64-linux-gnu/{name}" for name in AECS_LIBRARIES),
        *(f"opt/occlum/glibc/lib/{name}" for name in NSS),
        *(f"opt/occlum/toolchains/aecs_client/{name}" for name in ("client.so", "libssl.so.1.1")),
        "opt/occlum/build/bin/init_aecs",
        "opt/occlum/etc/template/init_aecs.json",
    )


def _names(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}


def test_initfs_with_grpc_ratls(occlum: Path) -> None:
    _ratls(occlum)
    assert main(["new", "inst", "--init-ra", "grpc_ratls"]) == 0
    initfs = Path("inst/initfs")
    assert (initfs / "bin/init").read_text() == "stand-in for init_grpc_ratls\n"
    assert Path("inst/init_ra_conf.json").read_text() == "stand-in for init_grpc_ratls.json\n"
    libraries = {"libgrpc_ratls_client.so", "libhw_grpc_proto.so", "libcjson.so.1"}
    assert libraries < {path.name for path in (initfs / "lib").iterdir()}
    assert (initfs / "etc/ssl/certs/ca-certificates.crt").exists()
    assert not (initfs / "etc/hosts").exists()  # as with Occlum
    assert main_module.main(["new", "ours", "--init-ra", "grpc_ratls"]) == 0
    assert _names(Path("ours/initfs")) == _names(initfs)


def test_initfs_with_aecs(occlum: Path) -> None:
    _aecs(occlum)
    assert main(["new", "inst", "--init-ra", "aecs"]) == 0
    initfs = Path("inst/initfs")
    glibc = initfs / "opt/occlum/glibc/lib"
    assert {*AECS_LIBRARIES, *NSS, "client.so", "libc.so.6"} < {one.name for one in glibc.iterdir()}
    assert (glibc / "libssl.so.1.1").read_text() == "stand-in for libssl.so.1.1\n"
    assert (initfs / "lib64/ld-linux-x86-64.so.2").is_file()
    assert (initfs / "etc/kubetee").is_dir() and not any((initfs / "lib").iterdir())
    assert stat.S_IMODE((initfs / "bin/init").stat().st_mode) == 0o755
    os.chdir("inst")
    assert main(["build"]) == 0  # with init_ra_conf.json


def test_initfs_for_attestation_that_the_toolchain_does_not_have(
    occlum: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "inst", "--init-ra", "aecs"]) == 1
    told = capsys.readouterr().err
    assert told.count("error: ") == 1 and not Path("inst").exists()
    assert f"--init-ra aecs: {occlum}/build/bin/init_aecs does not exist" in told
    assert "put your own init into initfs/ and init_ra_conf.json beside it" in told
    _aecs(occlum)
    (occlum.parents[1] / "usr/lib/x86_64-linux-gnu/libz.so.1").unlink()
    assert main(["new", "inst", "--init-ra", "aecs"]) == 1
    assert "libz.so.1 does not exist" in capsys.readouterr().err


# ext2


def _mount_ext2(inst: Path) -> None:
    config = json.loads((inst / "Occlum.json").read_text())
    options = {"disk_size": "6GB"}
    config["mount"].append({"target": "/ext2", "type": "ext2", "source": "x", "options": options})
    (inst / "Occlum.json").write_text(json.dumps(config))


_MKE2FS_LIBRARIES = ("ext2fs.so.2", "com_err.so.2", "blkid.so.1", "uuid.so.1", "e2p.so.2")


def _install_mke2fs(occlum: Path) -> None:
    libraries = (f"usr/lib/x86_64-linux-gnu/lib{name}" for name in _MKE2FS_LIBRARIES)
    _files(occlum.parents[1], "usr/sbin/mke2fs", *libraries)


def test_ext2_brings_mke2fs_into_the_image(
    occlum: Path, inst: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _install_mke2fs(occlum)
    assert main(["build"]) == 0 and not (inst / "image/sbin/mke2fs").exists()
    _mount_ext2(inst)
    assert main(["build"]) == 0
    assert "mke2fs, is not in the image" not in capsys.readouterr().err
    assert (inst / "image/sbin/mke2fs").read_text() == "stand-in for mke2fs\n"
    libraries = {path.name for path in (inst / "image/opt/occlum/glibc/lib").iterdir()}
    assert {f"lib{name}" for name in _MKE2FS_LIBRARIES} < libraries
    (inst / "image/sbin/mke2fs").write_text("of a BOM")
    assert main(["build"]) == 0
    assert (inst / "image/sbin/mke2fs").read_text() == "of a BOM"


@pytest.mark.parametrize("target", ["usr/sbin", "/usr/sbin", "../../usr/sbin"])
def test_mke2fs_goes_where_links_lead_within_the_image(
    occlum: Path, inst: Path, tmp_path: Path, target: str
) -> None:
    _install_mke2fs(occlum)
    _mount_ext2(inst)
    (inst / "image/usr/sbin").mkdir(parents=True)
    (inst / "image/sbin").rmdir()
    (inst / "image/sbin").symlink_to(target)
    assert main(["build"]) == 0
    assert (inst / "image/usr/sbin/mke2fs").read_text() == "stand-in for mke2fs\n"
    assert (inst / "image/sbin").is_symlink()


@pytest.mark.parametrize("path", ["image", "image/sbin", "image/opt"])
def test_mke2fs_is_put_through_no_link_out_of_the_image(
    occlum: Path, inst: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    _install_mke2fs(occlum)
    _mount_ext2(inst)
    (inst / path).rename(tmp_path / "outside")
    (inst / path).symlink_to(tmp_path / "outside")
    before = sorted((tmp_path / "outside").rglob("*"))
    assert main(["build"]) == 1
    assert f"{path}: is a symlink, where a directory belongs" in capsys.readouterr().err
    assert sorted((tmp_path / "outside").rglob("*")) == before


def test_ext2_without_glibc_of_occlum(
    occlum: Path, inst: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _files(occlum.parents[1], "usr/sbin/mke2fs")
    (occlum / "glibc/lib/libm.so.6").unlink()
    _mount_ext2(inst)
    assert main(["build"]) == 1
    told = capsys.readouterr().err
    assert f"{occlum}/glibc/lib/libm.so.6 does not exist" in told
    assert "install e2fsprogs, or name mke2fs in a BOM" in told
