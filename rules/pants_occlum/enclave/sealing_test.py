"""Encrypted root file systems that are made in parts."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from pants.engine.fs import EMPTY_DIGEST, FileDigest
from pants.util.frozendict import FrozenDict

from occlum_build.elf.testing_made import made_elf
from occlum_build.errors import OcclumError
from occlum_build.occlum import seal_image
from occlum_build.sefs.keys import read_key_file
from occlum_build.sefs.verify import verify_image
from pants_occlum.dist.places import DistPlaces
from pants_occlum.enclave import sealing
from pants_occlum.enclave.steps import Parts
from pants_occlum.testing import Project
from pants_occlum.testing_lock import LockProject

MB = 1_000_000
BUILD = """
    occlum_bom(name="bom", source="bom.yaml", loader_config="/loader.config")
    occlum_image(name="image", boms=[":bom"])
    occlum_rootfs(name="rootfs", image=":image", lower="/a", upper="/b", key_file="/etc/key")
    """
BOM = """
    targets:
    - target: /
      mkdirs: [bin, dev, etc, host, lib, lib64, opt, proc, root, sys, tmp, usr, var, mnt, run, sfs]
      copy: [{dirs: [/data]}]
    - {target: /lib64, copy: [{files: [/lib64/ld-linux-x86-64.so.2]}]}
    """
PINNED = """
file(name="archive", source="stand_in.tar.xz")
occlum_toolchain(name="toolchain", archive=":archive")
occlum_enclave(name="enclave", image=":image", toolchain=":toolchain", sign=False)
"""


def test_parts_of_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of which is one pack."""
    monkeypatch.setattr(seal_image, "PART_BYTES", 2 * MB)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    project = Project(tmp_path)
    project.host("loader.config")
    project.host("lib64/ld-linux-x86-64.so.2", made_elf(), 0o755)
    for number in range(6):
        project.host(f"data/{number}", os.urandom(MB + number))
    key = tmp_path / "key"
    key.write_text("-".join(["5a"] * 16))
    key.chmod(0o600)
    project.write({"app/BUILD": BUILD, "app/bom.yaml": BOM})
    for content in (None, b"another"):
        if content is not None:
            project.host("data/3", content)
        made = project.package("app:rootfs", options=(f"--occlum-image-key-file={key}",))
        with read_key_file(key) as read:
            assert not verify_image(made / "lower", user_key=read).report.errors
    kept = [*(tmp_path / "cache/pants-occlum/encrypted").iterdir()]
    assert len(kept) > 2 * 3
    assert all(stat.S_IMODE(one.stat().st_mode) == 0o700 for one in kept)
    (link,) = (project.named_caches / "occlum_encrypted").iterdir()
    assert link.is_symlink()


def test_pinned_files_that_have_gone_are_left_to_the_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal_image, "PART_BYTES", 2 * MB)
    project = LockProject(tmp_path)
    shutil.copy("testprojects/toolchain/stand_in.tar.xz", project.root / "app")
    project.host("lib64/ld-linux-x86-64.so.2", made_elf(), 0o755)
    for number in range(6):
        project.host(f"data/{number}", os.urandom(MB + number))
    project.write({"app/BUILD": project.build + PINNED, "app/bom.yaml": BOM})
    project.pin()
    pinned = ("--occlum-lock=require",)
    made = project.package("app:enclave", options=pinned)
    root = made / "occlum_instance/build/mount/__ROOT"
    sealed = {path.name: path.read_bytes() for path in root.iterdir()}
    (project.sysroot / "data/3").unlink()
    shutil.rmtree(project.root / "dist")
    project.package("app:enclave", options=pinned)
    assert {path.name: path.read_bytes() for path in root.iterdir()} == sealed


@pytest.mark.parametrize("damage", [b"", b" "])
def test_an_index_that_the_store_has_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    """Pants does not compare what it reads of a large file."""
    index = b'[["02","00",4096,"00000002",0]]'
    digest = FileDigest(hashlib.sha256(index).hexdigest(), len(index))

    async def made(_: object) -> object:
        return EMPTY_DIGEST

    async def contents(_: object) -> object:
        return [SimpleNamespace(path="0.json", content=index + damage)]

    monkeypatch.setattr(sealing, "create_digest", made)
    monkeypatch.setattr(sealing, "get_digest_contents", contents)
    part = Parts(EMPTY_DIGEST, FrozenDict({"packs.json": digest}))
    folder = str(tmp_path)
    places = DistPlaces(folder, folder, folder, executes_remotely=False, store_dir=folder)
    if not damage:
        (file,) = asyncio.run(sealing._packed([part], places)).files
        assert file.name == "02"
        return
    with pytest.raises(OcclumError, match="store is damaged") as caught:
        asyncio.run(sealing._packed([part], places))
    assert digest.fingerprint in str(caught.value)
