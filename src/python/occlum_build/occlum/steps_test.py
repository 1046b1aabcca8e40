"""The steps as the processes that a build graph runs, with relative paths, against `build`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from occlum_build.errors import OcclumError
from occlum_build.occlum import measurement
from occlum_build.occlum.build import build
from occlum_build.occlum.configure import Settings, config_keys, read_config
from occlum_build.occlum.file_sealer import CONTENTS
from occlum_build.occlum.inputs import BuildRequest
from occlum_build.occlum.instance import assemble, plan_instance
from occlum_build.occlum.measurement import ImageIdentity
from occlum_build.occlum.seal import digest_of, seal
from occlum_build.occlum.seal_image import Request
from occlum_build.occlum.signing import finish_signing, open_signer
from occlum_build.occlum.testing import image_files, run_process, snapshot
from occlum_build.occlum.toolchain import BUILD, find
from occlum_build.process.packs import read_index
from occlum_build.sefs.keys import read_key_file
from occlum_build.sefs.manifest import read_manifest, tree_digest
from occlum_build.sefs.tree import scan_tree
from occlum_build.sgx.measurement import read_sigstruct
from occlum_build.sgx.sign import Unsigned


class Sandbox:
    """A directory that steps run in, as processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def run(self, step: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_process(self.root, step, *arguments)

    def json(self, name: str, value: Any) -> str:
        (self.root / name).write_text(json.dumps(value))
        return name


def store(root: Path, tree: Path, manifest: Path) -> dict[str, Any]:
    """Put the files of a tree where the step looks for what is stored; what to ask it for."""
    shutil.copyfile(manifest, root / "manifest.json")
    (root / CONTENTS).mkdir()
    files = image_files(manifest)
    for path, file in files.items():
        shutil.copyfile(tree / path, root / CONTENTS / file.sha256)
    salt = read_manifest(manifest).digest.hex()
    return json.loads(Request(tuple(files.values()), salt, "manifest.json").to_json())  # type: ignore[no-any-return]


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path / "sandbox")


def test_steps_make_what_build_makes(
    sandbox: Sandbox, build_request: BuildRequest, image_key: Path
) -> None:
    request = replace(build_request, image_key=image_key, settings=Settings(edmm=True))
    expected = build(request).measurement
    root, inst = sandbox.root, request.instance
    asked = store(root, inst / "image", inst / "manifest.json")
    shutil.copytree(request.toolchain, root / "toolchain")
    shutil.copyfile(inst / "Occlum.json", root / "Occlum.json")
    os.symlink(image_key, root / "key")
    result = sandbox.run("seal_image", sandbox.json("request.json", asked), "image", "key")
    assert result.stderr == ""
    initfs = {"version": "0.31.0", "sgx_mode": "HW", "image_type": "encrypted"}
    result = sandbox.run("initfs", sandbox.json("initfs.json", initfs), "toolchain", "initfs")
    assert result.stderr == ""
    configure = {
        "configs": ["Occlum.json"],
        "libos": "toolchain/opt/occlum/build/lib/libocclum-libos.so.0.31.0",
        "image_mac": "image/.ROOT_MAC",
        "initfs_mac": "initfs/.ROOT_MAC",
        "edmm": True,
    }
    result = sandbox.run("configure", sandbox.json("configure.json", configure), "configured")
    assert result.stderr == ""
    _finish(root, request, expected)
    ours, theirs = snapshot(root / "instance"), snapshot(inst)
    assert {p: e for p, e in ours.items() if p.startswith("build/")} == {
        p: e for p, e in theirs.items() if p.startswith("build/")
    }
    assert sorted({path.split("/")[0] for path in ours}) == [
        *(".__occlum_status", ".sgx_mode", "Occlum.json", "build", "initfs", "run")
    ]
    for path in (".__occlum_status", ".sgx_mode", "run/mount/__ROOT"):
        assert ours[path] == theirs[path]
    assert ours["initfs/etc/image_config.json"] == theirs["build/image_config.json"]


def _finish(root: Path, request: BuildRequest, expected: Any) -> None:
    """The part that a build graph does in its own process: sign, record, assemble."""
    configured = root / "configured"
    unsigned = Unsigned.from_json(json.loads((configured / "unsigned.json").read_text()))
    assert (configured / "signing-data").read_bytes() == unsigned.signing_data
    assert request.signer is not None and request.image_key is not None
    signer = open_signer(request.signer)
    signed = finish_signing((configured / "libos.so").read_bytes(), unsigned, signer)
    macs = [(root / name / ".ROOT_MAC").read_text() for name in ("image", "initfs")]
    fingerprint = read_key_file(request.image_key).fingerprint()
    inputs = measurement.inputs_of(
        ImageIdentity("encrypted", macs[0], expected["inputs"]["image"]["digest"][7:], fingerprint),
        json.loads((root / "initfs/manifest.json").read_text()),
        json.loads((configured / "config-keys.json").read_text()),
        find(root / "toolchain", "HW", [BUILD]).digests,
        "0.31.0",
        request.settings,
    )
    assert measurement.record(inputs, read_sigstruct(signed), *macs) == expected
    _unpack(root / "image")
    parts: dict[str, Path | bytes] = {
        "libos": configured / "libos.so",
        "signed": signed,
        "pal": root / "toolchain/opt/occlum/build/lib/libocclum-pal.so.0.31.0",
        "enclave_xml": configured / "Enclave.xml",
        "sys_json": configured / ".Occlum_sys.json",
        "protected": configured / ".Occlum_sys.json.protected",
        "config": configured / "Occlum.json",
        "image": root / "image/__ROOT",
        "image_mac": root / "image/.ROOT_MAC",
        "initfs": root / "initfs/__ROOT",
        "initfs_mac": root / "initfs/.ROOT_MAC",
        "initfs_tree": root / "initfs/tree",
    }
    planned = plan_instance("0.31.0", "HW", "encrypted", signed=True)
    assemble(planned, parts, root / "instance")


def _unpack(folder: Path) -> None:
    """Make the secure file system of what the step left."""
    (folder / "__ROOT").mkdir()
    for file in read_index((folder / "packs.json").read_bytes()):
        content = (folder / "packs" / file.pack).read_bytes()
        (folder / "__ROOT" / file.name).write_bytes(content[file.offset :][: file.size])


def test_a_manifest_is_that_of_the_tree(sandbox: Sandbox, instance: Path) -> None:
    seal(instance / "image", sandbox.root)
    manifest = json.loads((sandbox.root / "manifest.json").read_text())
    assert digest_of(manifest) == tree_digest(scan_tree(instance / "image")).hex()


def test_a_tree_without_the_files_of_the_host(sandbox: Sandbox, instance: Path) -> None:
    root, host = sandbox.root, instance / "image"
    seal(host, root)
    paths = [path for path in sorted(host.rglob("*")) if path.is_file() and not path.is_symlink()]
    assert paths
    files = [
        file._replace(source=f"/{host}/{path}")
        for path, file in image_files(root / "manifest.json").items()
    ]
    (root / ".sysroots").mkdir()
    asked = Request(tuple(files), "", "manifest.json")
    request = sandbox.json("request.json", json.loads(asked.to_json()))
    failed = sandbox.run("seal_image", request, "out")
    assert failed.returncode == 3
    assert f"{paths[0]} is not there" in failed.stderr
    (root / ".sysroots/host").symlink_to("/")
    shutil.rmtree(root / "out")
    result = sandbox.run("seal_image", request, "out")
    assert result.stderr == ""
    assert (root / "out/.ROOT_MAC").read_text() == (root / ".ROOT_MAC").read_text()


def test_initfs_of_a_tree_with_all_that_can_be_added(sandbox: Sandbox, image_key: Path) -> None:
    root = sandbox.root
    (root / "mine/etc").mkdir(parents=True)
    (root / "mine/etc/image_key").write_text("of an earlier build")
    (root / "mine/app").write_text("app")
    entries = [
        {"path": "/", "type": "dir", "mode": "0755"},
        {"path": "/app", "type": "file", "mode": "0700", "size": 3, "sha256": "0" * 64},
    ]
    sandbox.json("manifest.json", {"schema": 1, "entries": entries})
    (root / "ra.json").write_text("{}")
    shutil.copy(image_key, root / "key")
    request = {
        "image_type": "integrity-only",
        "tree": "mine",
        "manifest": "manifest.json",
        "init_ra_conf": "ra.json",
        "image_key": "key",
    }
    name = sandbox.json("request.json", request)
    assert sandbox.run("initfs", name, "toolchain", "out").stderr == ""
    found = json.loads((root / "out/manifest.json").read_text())
    described = measurement.describe_entries(found)
    assert sorted(described) == [
        *("/", "/app", "/etc", "/etc/image_config.json", "/etc/image_key"),
        "/etc/init_ra_conf.json",
    ]
    assert described["/app"].startswith("file 0700 ")
    assert described["/etc/image_key"] == "file 0600 (the image key)"
    assert (root / "out/tree/etc/image_key").read_bytes() == image_key.read_bytes()
    assert (root / "mine/etc/image_key").read_text() == "of an earlier build"


def test_config_patches_are_merged(sandbox: Sandbox, tmp_path: Path) -> None:
    patch = tmp_path / "patch.json"
    patch.write_text('{"metadata": {"debuggable": false}, "entry_points": ["/bin", "/opt"]}')
    flat = config_keys(read_config([]))
    assert flat["$.metadata.debuggable"] is True and flat["$.entry_points[0]"] == "/bin"
    base = tmp_path / "base.json"
    base.write_text('{"metadata": {"debuggable": true, "product_id": 1}, "env": {}}')
    assert config_keys(read_config([base, patch])) == {
        "$.entry_points[0]": "/bin",
        "$.entry_points[1]": "/opt",
        "$.env": {},
        "$.metadata.debuggable": False,
        "$.metadata.product_id": 1,
    }


def test_keys_whose_paths_are_far_longer_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "Occlum.json"
    path.write_text(json.dumps({"k" * 100_000: dict.fromkeys(map(str, range(1_000)))}))
    with pytest.raises(OcclumError, match="paths of its keys have more than 16 MiB"):
        config_keys(read_config([path]))


def test_a_step_that_fails_says_why(sandbox: Sandbox) -> None:
    asked = sandbox.json("asked.json", json.loads(Request((), "", "none.json").to_json()))
    result = sandbox.run("seal_image", asked, "out")
    assert result.returncode == 1 and "none.json: No such file" in result.stderr
    request = {"configs": [], "libos": "none.so", "image_mac": "none", "initfs_mac": "none"}
    result = sandbox.run("configure", sandbox.json("request.json", request), "out2")
    assert result.returncode == 1 and "none cannot be read" in result.stderr
    (sandbox.root / "key").write_text("c0ffee")
    (sandbox.root / "key").chmod(0o600)
    result = sandbox.run("seal_image", asked, "out3", "key")
    assert result.returncode == 1 and "c0ffee" not in result.stderr
    assert sandbox.run("configure").returncode == 2
    (sandbox.root / "out4").mkdir()
    result = sandbox.run("seal_image", asked, "out4/none/out")
    assert result.returncode == 1 and result.stderr == "out4/none/out: No such file or directory\n"


def test_initfs_of_a_tree_whose_etc_is_a_link(sandbox: Sandbox, image_key: Path) -> None:
    root = sandbox.root
    shutil.copy(image_key, root / "key")
    (root / "outside").mkdir()
    (root / "mine").mkdir()
    (root / "mine/etc").symlink_to(root / "outside")
    request = {
        "version": "0.31.0",
        "sgx_mode": "HW",
        "image_type": "encrypted",
        "tree": "mine",
        "image_key": "key",
    }
    (root / "request.json").write_text(json.dumps(request))
    ran = run_process(root, "initfs", "request.json", "toolchain", "out")
    assert ran.returncode and "initfs/etc: is a symlink, where a directory belongs" in ran.stderr
    assert not list((root / "outside").iterdir()) and not (root / "out").exists()
