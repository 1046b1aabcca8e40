from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from cryptography.hazmat.primitives import serialization

from occlum_build.elf.interpreter import GLIBC_LOADER
from occlum_build.errors import OcclumError
from occlum_build.files import moves
from occlum_build.occlum import build as build_module
from occlum_build.occlum import instance
from occlum_build.occlum.build import build
from occlum_build.occlum.configure import Settings
from occlum_build.occlum.inputs import BuildRequest
from occlum_build.occlum.signing import DetachedSignature, KeyFile, SignerCommand
from occlum_build.occlum.testing import KEY_TEXT, TESTPROJECTS, changed, snapshot
from occlum_build.sefs.keys import read_key_file
from occlum_build.sefs.pf_format import format_mac, parse_mac
from occlum_build.sefs.protect import file_mac
from occlum_build.sefs.verify import verify_image
from occlum_build.sgx import keys
from occlum_build.sgx.elf_image import ElfImage
from occlum_build.sgx.measurement import has_valid_signature, read_sigstruct
from occlum_build.sgx.sign import prepare

MRSIGNER = hashlib.sha256(
    keys.modulus_of(
        keys.load_private_key((TESTPROJECTS / "vectors/sign/test_key.pem").read_bytes())
    ).to_bytes(384, "little")
).hexdigest()


def test_layout(build_request: BuildRequest) -> None:
    build(build_request)
    inst = build_request.instance
    entries = snapshot(inst)
    assert entries[".__occlum_status"][1] == b"built\n"
    assert entries[".sgx_mode"][1] == b"HW\n"
    built = sorted(
        path for path in entries if path.startswith(("build/", "run/")) and "/__ROOT/" not in path
    )
    assert built == [
        "build/.Occlum_sys.json",
        "build/.Occlum_sys.json.protected",
        "build/Enclave.xml",
        "build/bin",
        *(f"build/bin/{n}" for n in ("occlum-run", "occlum_exec_client", "occlum_exec_server")),
        "build/image_config.json",
        "build/initfs",
        "build/initfs/.ROOT_MAC",
        "build/initfs/__ROOT",
        "build/lib",
        "build/lib/libocclum-libos.signed.so",
        *(f"build/lib/libocclum-libos.so{end}" for end in ("", ".0", ".0.31.0")),
        *(f"build/lib/libocclum-pal.so{end}" for end in ("", ".0", ".0.31.0")),
        "build/mount",
        "build/mount/.ROOT_MAC",
        "build/mount/__ROOT",
        *("run/initfs", "run/initfs/__ROOT", "run/mount", "run/mount/__ROOT"),
    ]
    assert entries["build/image_config.json"][1] == b'{\n  "image_type": "integrity-only"\n}\n'
    assert entries["build/bin/occlum-run"][1] == b"/opt/occlum/build/bin/occlum-run"
    assert entries["build/lib/libocclum-pal.so"][1] == b"libocclum-pal.so.0"
    assert entries["build/lib/libocclum-pal.so.0"][1] == b"libocclum-pal.so.0.31.0"
    assert len(entries["build/mount/.ROOT_MAC"][1]) == 47
    assert not list(inst.glob(".occlum-build-*"))
    assert "etc/image_config.json" not in snapshot(inst / "initfs")


@pytest.mark.parametrize(("mode", "suffix"), [("SIM", "_sim"), ("HYPER", "_hyper")])
def test_layout_of_other_modes(build_request: BuildRequest, mode: str, suffix: str) -> None:
    built = build(replace(build_request, settings=Settings(sgx_mode=mode, edmm=True)))
    lib = build_request.instance / "build/lib"
    assert os.readlink(lib / "libocclum-libos.so.0") == f"libocclum-libos{suffix}.so.0.31.0"
    assert os.readlink(lib / "libocclum-pal.so.0") == f"libocclum-pal{suffix}.so.0.31.0"
    assert built.measurement["inputs"]["settings"]["edmm"] is False
    assert [w.code for w in built.warnings if w.code == "sgx-mode"] == ["sgx-mode"] * (
        mode == "HYPER"
    )


def test_the_signed_enclave(build_request: BuildRequest) -> None:
    built = build(build_request)
    build_dir = build_request.instance / "build"
    sigstruct = read_sigstruct((build_dir / "lib/libocclum-libos.signed.so").read_bytes())
    assert has_valid_signature(sigstruct) and sigstruct.mrsigner.hex() == MRSIGNER
    assert sigstruct.date == "19700101"
    patched = (build_dir / "lib/libocclum-libos.so").read_bytes()
    unsigned = prepare(patched, (build_dir / "Enclave.xml").read_bytes())
    assert sigstruct.mrenclave == unsigned.mrenclave
    assert built.measurement["mrenclave"] == sigstruct.mrenclave.hex()
    section = ElfImage(patched).section(".builtin_config")
    assert section is not None and section.size == 48
    mac = format_mac(file_mac(build_dir / ".Occlum_sys.json.protected"))
    assert patched[section.offset : section.offset + 48] == mac.encode() + b"\n"
    system = json.loads((build_dir / ".Occlum_sys.json").read_text())
    initfs = system["app"][0]["mount"][0]["options"]["layers"][0]["options"]["MAC"]
    assert initfs == (build_dir / "initfs/.ROOT_MAC").read_text()
    image = system["app"][1]["mount"][2]["options"]["layers"][0]["options"]["MAC"]
    assert image == (build_dir / "mount/.ROOT_MAC").read_text()
    verify_image(build_dir / "mount/__ROOT", mac=parse_mac(image)).report.raise_errors()


def test_47_bytes_and_edmm_measure_otherwise(build_request: BuildRequest) -> None:
    variants = [Settings(), Settings(with_newline=False), Settings(edmm=True)]
    found = [build(replace(build_request, settings=s)).measurement for s in variants]
    assert len({measured["mrenclave"] for measured in found}) == 3
    settings = [measured["inputs"]["settings"] for measured in found]
    assert [s["builtin_config_bytes"] for s in settings] == [48, 47, 48]
    assert [s["edmm"] for s in settings] == [False, False, True]


def test_encrypted_builds_are_the_same_bytes(build_request: BuildRequest, image_key: Path) -> None:
    request = replace(build_request, image_key=image_key)
    build(request)
    first = snapshot(request.instance)
    assert not build(replace(request, force=True)).unchanged
    assert snapshot(request.instance) == first
    assert first["build/image_config.json"][1] == b'{\n  "image_type": "encrypted"\n}\n'
    root = request.instance / "build/mount/__ROOT"
    verify_image(root, read_key_file(image_key)).report.raise_errors()


def test_an_unchanged_instance_is_not_built_again(build_request: BuildRequest) -> None:
    assert not build(build_request).unchanged
    inst = build_request.instance
    before = (inst / "build").stat().st_ino
    (inst / "run/mount/__ROOT/metadata").write_text("of the last run")
    assert build(build_request).unchanged
    assert (inst / "build").stat().st_ino == before
    assert not list((inst / "run/mount/__ROOT").iterdir())
    (inst / "build/mount/.ROOT_MAC").write_text("damaged")
    assert not build(build_request).unchanged
    other_date = replace(build_request, settings=Settings(date="20240101"))
    assert not build(other_date).unchanged
    (inst / "image/bin/hello").chmod(0o755)
    assert not build(other_date).unchanged


def test_unsigned_then_a_signature_from_elsewhere(
    build_request: BuildRequest, tmp_path: Path
) -> None:
    inst = build_request.instance
    unsigned = build(replace(build_request, signer=None))
    assert unsigned.measurement["mrsigner"] is None
    assert (inst / ".__occlum_status").read_text() == "initialized\n"
    assert not (inst / "build/lib/libocclum-libos.signed.so").exists()
    data = (inst / "build/signing-data").read_bytes()
    assert len(data) == 256
    key = keys.load_private_key((TESTPROJECTS / "vectors/sign/test_key.pem").read_bytes())
    public = tmp_path / "public.pem"
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    (tmp_path / "signature").write_bytes(keys.sign_data(key, data))
    detached = DetachedSignature(tmp_path / "signature", public)
    build(replace(build_request, signer=detached))
    by_signature = snapshot(inst)
    build(replace(build_request, force=True))
    assert snapshot(inst) == by_signature and "build/signing-data" not in by_signature
    command = SignerCommand(("cat", str(tmp_path / "signature")), public)
    build(replace(build_request, signer=command, force=True))
    assert snapshot(inst) == by_signature
    changed(build_request, metadata__product_id="7")
    with pytest.raises(OcclumError, match="does not verify"):
        build(replace(build_request, signer=detached))
    by_signature["Occlum.json"] = snapshot(inst)["Occlum.json"]
    assert snapshot(inst) == by_signature


@pytest.mark.parametrize("where", ["finish_signing", "assemble", "second move"])
def test_an_interrupted_build_leaves_the_old_one(
    build_request: BuildRequest, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    build(build_request)
    before = snapshot(build_request.instance)
    forth = moves.Move.forth

    def interrupted_at_run(move: moves.Move) -> None:
        if move.name == "run":
            raise KeyboardInterrupt
        forth(move)

    if where == "second move":
        monkeypatch.setattr(moves.Move, "forth", interrupted_at_run)
    elif where == "assemble":
        monkeypatch.setattr(instance, where, interrupt)
    else:
        monkeypatch.setattr(build_module, where, interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(replace(build_request, force=True))
    assert snapshot(build_request.instance) == before


def test_what_a_killed_build_left_goes_away_and_two_builds_do_not_meet(
    build_request: BuildRequest,
) -> None:
    leftover = build_request.instance / ".occlum-build-0123456789abcdef"
    leftover.mkdir()
    (leftover / "x").touch()
    with instance.writing(build_request.instance):
        assert not leftover.exists()
        refused: list[OcclumError] = []

        def build_again() -> None:
            with pytest.raises(OcclumError, match="another run is writing") as error:
                build(build_request)
            refused.append(error.value)

        thread = Thread(target=build_again)
        thread.start()
        thread.join()
    assert [error.code for error in refused] == ["instance"]


def test_wrong_inputs_are_one_clear_error(
    build_request: BuildRequest, tmp_path: Path, image_key: Path
) -> None:
    def message(**changes: object) -> str:
        before = snapshot(build_request.instance)
        with pytest.raises(OcclumError) as caught:
            build(replace(build_request, **changes))  # type: ignore[arg-type]
        assert len(caught.value.problems) == 1
        assert snapshot(build_request.instance) == before
        return str(caught.value)

    assert "there is no .__occlum_status" in message(instance=tmp_path)
    assert "--buildin-image-key needs --image-key" in message(buildin_image_key=True)
    assert "cannot be read: No such file" in message(signer=KeyFile(tmp_path / "none.pem"))
    assert "no unencrypted PEM RSA private key" in message(signer=KeyFile(image_key))
    assert "No such file" in message(image_key=tmp_path / "none")
    assert "no version header" in message(toolchain=tmp_path)
    (build_request.instance / "Occlum.json").write_text("{,}")
    assert "Occlum.json:1:2" in message()
    changed_back = (build_request.toolchain / "opt/occlum/etc/template/Occlum.json").read_text()
    (build_request.instance / "Occlum.json").write_text(changed_back)
    changed(build_request, resource_limits__user_space_size='"4M"')
    assert '"4MB"' in message()


def test_secrets_are_in_no_file(
    build_request: BuildRequest, image_key: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    key = bytes.fromhex(KEY_TEXT.replace("-", ""))
    forms = [key, key.hex().encode(), KEY_TEXT.encode()]

    def holders() -> list[str]:
        entries = snapshot(build_request.instance)
        return [p for p, (_, content) in entries.items() if any(f in content for f in forms)]

    request = replace(build_request, image_key=image_key)
    build(request)
    assert holders() == []
    built = build(replace(request, buildin_image_key=True))
    # Directory entries of initfs are inodes 2..: its one file with the key is in its secure image.
    assert [Path(p).parent.as_posix() for p in holders()] == ["build/initfs/__ROOT"]
    assert "image-key" in [warning.code for warning in built.warnings]
    digest = hashlib.sha256((KEY_TEXT + "\n").encode()).hexdigest()
    assert digest not in (request.instance / "measurement.json").read_text()
    build(request)
    assert holders() == []
    captured = capfd.readouterr()
    assert KEY_TEXT not in captured.out + captured.err + repr(request)


def test_init_ra_conf_and_ext2(build_request: BuildRequest) -> None:
    inst = build_request.instance
    (inst / "init_ra_conf.json").write_text("{}")
    changed(build_request, metadata__debuggable="false")
    document = json.loads((inst / "Occlum.json").read_text())
    options = {"disk_size": "5GB"}
    document["mount"].append({"type": "ext2", "target": "/ext2", "options": options})
    (inst / "Occlum.json").write_text(json.dumps(document))
    built = build(build_request)
    assert "/etc/init_ra_conf.json" in built.measurement["inputs"]["initfs"]
    codes = [warning.code for warning in built.warnings]
    assert codes == ["ext2", "sign-key", "image-type"]
    mke2fs = inst / "image/sbin/mke2fs"
    mke2fs.touch(0o755)
    (refused,) = (one for one in build(build_request).warnings if one.code == "ext2")
    assert "is neither an ELF program nor a script" in refused.message
    shutil.copy2("/bin/sh", mke2fs)
    shutil.copy2(GLIBC_LOADER, inst / "image/lib64")
    assert "ext2" not in [warning.code for warning in build(build_request).warnings]


def test_what_the_libos_refuses_is_told_each_time(build_request: BuildRequest) -> None:
    image = build_request.instance / "image"
    (image / "bin/hello").chmod(0o755)
    shutil.rmtree(image / "proc")
    for unchanged in (False, True):
        built = build(build_request)
        assert built.unchanged is unchanged
        assert [one.code for one in built.warnings] == ["libos-mount", "interpreter"]
        assert "lacks directories for it: /proc (procfs)" in built.warnings[0].message
        assert "/bin/hello starts with `#!/bin/sh`, but /bin/sh" in built.warnings[1].message
    strict = replace(build_request, settings=Settings(strict=True))
    with pytest.raises(OcclumError, match="directories for it: /proc") as error:
        build(strict)
    assert [one.code for one in error.value.problems] == ["libos-mount"]


def test_warnings_of_the_configuration_are_told_each_time(build_request: BuildRequest) -> None:
    changed(build_request, process__default_heap_size='"300MB"')
    for unchanged in (False, True):
        built = build(build_request)
        assert built.unchanged is unchanged
        assert [one.code for one in built.warnings] == ["libos-user-space"]


def test_an_entry_point_that_the_libos_refuses(build_request: BuildRequest) -> None:
    path = build_request.instance / "Occlum.json"
    document = json.loads(path.read_text())
    document["entry_points"] = ["/bin/hello"]
    path.write_text(json.dumps(document))
    with pytest.raises(OcclumError, match="'/bin/hello' has no execute bit") as error:
        build(build_request)
    assert str(error.value.problems[0].place).startswith(str(path))
    # Another init may mount something else than the image.
    (build_request.instance / "initfs/bin/init").write_bytes(b"another")
    assert [one.code for one in build(build_request).warnings] == ["program"]


def test_a_key_that_nobody_gets(build_request: BuildRequest, image_key: Path) -> None:
    def codes(request: BuildRequest) -> list[str]:
        return [one.code for one in build(request).warnings]

    request = replace(build_request, image_key=image_key)
    assert codes(request) == ["image-key-missing"]
    assert codes(replace(request, buildin_image_key=True)) == ["image-key"]
    (build_request.instance / "initfs/bin/init").write_bytes(b"another")
    assert codes(request) == []


def test_a_full_disk_is_an_error_with_a_place(
    build_request: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(instance, "fresh_run_directory", full)
    with pytest.raises(OcclumError, match="/inst: No space left on device"):
        build(build_request)
    assert not list(build_request.instance.glob(".occlum-build-*"))


def test_what_a_killed_run_left_in_the_image_is_no_part_of_it(build_request: BuildRequest) -> None:
    wanted = build(build_request).measurement["mrenclave"]
    left = build_request.instance / "image/sbin/.occlum-build-0123456789abcdef"
    (left / "part0").mkdir(parents=True)
    assert build(replace(build_request, force=True)).measurement["mrenclave"] == wanted
    assert not left.exists()


def test_a_run_that_was_killed_while_it_replaced_the_build_is_completed_even_by_one_that_fails(
    build_request: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    inst = build_request.instance
    build(build_request)
    (inst / "image/more").touch()
    forth = moves.Move.forth

    def killed_at_measurement(move: moves.Move) -> None:
        if move.name == "measurement.json":
            os._exit(9)
        forth(move)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(moves.Move, "forth", killed_at_measurement)
        build(build_request)
        os._exit(1)
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 9
    (inst / "Occlum.json").rename(inst.parent / "Occlum.json")
    with pytest.raises(OcclumError):
        build(build_request)
    (inst.parent / "Occlum.json").rename(inst / "Occlum.json")
    assert not list(inst.glob(".occlum-build-*"))
    measured = json.loads((inst / "measurement.json").read_text())
    signed = (inst / "build" / instance.SIGNED_LIBOS).read_bytes()
    assert read_sigstruct(signed).mrenclave.hex() == measured["mrenclave"]
    assert build(build_request).unchanged
