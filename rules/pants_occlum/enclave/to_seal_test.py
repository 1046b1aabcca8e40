"""Large secure file systems without a key, whose files are sealed in dist."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pants.engine.addresses import Address
from pants.engine.rules import QueryRule

from occlum_build.occlum import seal_image as sealing
from occlum_build.occlum.seal_files import Wanted, request_json
from occlum_build.sefs.verify import verify_image
from pants_occlum.dist import memory
from pants_occlum.dist.places import DistPlaces
from pants_occlum.enclave import sealing as sealing_rules
from pants_occlum.enclave import to_seal
from pants_occlum.enclave.sealing import SealedImage, SealRequest
from pants_occlum.subsystem import LockMode
from pants_occlum.sysroot.awaited_contents import try_process
from pants_occlum.testing import Project

MB = 1_000_000
ENCLAVE = "app:enclave"
BUILD = """
    file(name="archive", source="stand_in.tar.xz")
    files(name="sources", sources=["app.txt"])
    occlum_toolchain(name="toolchain", archive=":archive")
    occlum_bom(name="bom", source="bom.yaml")
    occlum_files(name="files", target="/own", files=["app.txt"])
    occlum_image(name="image", boms=[":bom", ":files"])
    occlum_enclave(name="enclave", image=":image", toolchain=":toolchain", sign=False)
    occlum_enclave(name="other", image=":image", toolchain=":toolchain", sign=False)
    occlum_enclave(name="signed", image=":image", toolchain=":toolchain")
    oci_image(name="oci", enclave=":enclave", formats=["layout"])
    """
BOM = """
    targets:
    - target: /
      mkdirs: [bin, dev, etc, host, lib, lib64, opt, proc, root, sys, tmp, usr, var, mnt, run]
      copy: [{dirs: [/data]}]
    """


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("project"), QueryRule(SealedImage, [SealRequest]))
    (project.root / "app").mkdir()
    shutil.copy("testprojects/toolchain/stand_in.tar.xz", project.root / "app")
    return project


@pytest.fixture
def app(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Several parts, the contents of which are on the host and in the project."""
    monkeypatch.setattr(sealing, "PART_BYTES", 2 * MB)
    monkeypatch.setattr(memory, "MANY_FILES", 1)
    for number in range(6):
        project.host(f"data/{number}", os.urandom(MB + number))
    shutil.rmtree(project.root / "dist", ignore_errors=True)
    project.write({"app/BUILD": BUILD, "app/bom.yaml": BOM, "app/app.txt": b"app" * MB})
    return project


def sealed_of(made: Path, instance: str = "occlum_instance") -> dict[str, tuple[int, bytes]]:
    """Mode and content of the files of a secure file system, which is whole, by name."""
    root = made / instance / "build/mount/__ROOT"
    assert not verify_image(root).report.errors
    return {
        path.name: (stat.S_IMODE(path.stat().st_mode), path.read_bytes()) for path in root.iterdir()
    }


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_sealed_in_dist_as_in_packs(app: Project) -> None:
    made = app.package(ENCLAVE)
    image = app.request(SealedImage, SealRequest(Address("app", target_name="image"), None, ""))
    assert image.to_seal is not None
    assert len(image.to_seal.files) == 7
    assert not {one.name for one in image.packed.files} & {
        one.file.name for one in image.to_seal.files
    }
    sealed = sealed_of(made)
    assert {mode for mode, _ in sealed.values()} == {0o644}
    assert sealed == sealed_of(app.package("app:signed"))
    assert names(made / "occlum_instance/build/mount") == [".ROOT_MAC", "__ROOT"]


def test_what_is_missing_or_changed_in_dist_is_sealed_again(app: Project) -> None:
    made = app.package(ENCLAVE)
    sealed = sealed_of(made)
    root = made / "occlum_instance/build/mount/__ROOT"
    first, second, third = sorted(sealed)[:3]
    (root / first).unlink()
    (root / second).write_bytes(b"?")
    (root / third).chmod(0o600)
    others = {path: path.stat().st_ino for path in root.iterdir() if path.name > third}
    app.package(ENCLAVE)
    assert sealed_of(made) == sealed
    assert {path: path.stat().st_ino for path in others} == others
    shutil.rmtree(app.root / "dist")
    app.package(ENCLAVE)
    assert sealed_of(made) == sealed


def test_edits(app: Project) -> None:
    before = sealed_of(app.package(ENCLAVE))
    app.host("data/3", b"another")
    made = app.package(ENCLAVE)
    after = sealed_of(made)
    assert 1 < len([name for name in after if after[name] != before[name]]) < 5
    app.write({"app/app.txt": b"another app"})
    app.package(ENCLAVE)
    last = sealed_of(made)
    assert last != after
    assert last == sealed_of(app.package("app:signed"))


def test_a_container_of_it(app: Project) -> None:
    sealed = sealed_of(app.package(ENCLAVE))
    found = {}
    for blob in (app.package("app:oci") / "layout/blobs/sha256").iterdir():
        with suppress(tarfile.ReadError), tarfile.open(blob) as layer:
            for member in layer:
                if member.isreg() and "/mount/__ROOT/" in member.name:
                    content = layer.extractfile(member)
                    assert content is not None
                    found[Path(member.name).name] = member.mode, content.read()
    assert found == sealed


@dataclass
class Disturbed:
    """Stands in front of the processes that seal in dist, and does something before each."""

    before: Any
    process: Any = try_process

    async def __call__(self, process: Any, contents: Any) -> Any:
        self.before(process)
        return await self.process(process, contents)


def test_a_host_file_that_changes_meanwhile(app: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    change = Disturbed(lambda _: app.host("data/3", b"!" * (MB + 3)))
    with monkeypatch.context() as patch:
        patch.setattr(to_seal, "try_process", change)
        failure = app.failure(ENCLAVE)
    assert "/data/3" in failure
    mount = app.root / "dist/app/enclave/occlum_instance/build/mount"
    if mount.exists():
        assert not [name for name in names(mount) if name.startswith(".occlum")]
        assert not names(mount / "__ROOT")
    made = app.package(ENCLAVE)
    assert sealed_of(made) == sealed_of(app.package("app:signed"))


def test_a_host_file_that_comes_back_while_it_is_stored(
    app: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process does not find it, which the rules do then."""
    links = app.named_caches / "occlum_sysroots"

    def lose(_: object) -> None:
        for link in links.iterdir():
            link.unlink()

    with monkeypatch.context() as patch:
        patch.setattr(to_seal, "try_process", Disturbed(lose))
        made = app.package(ENCLAVE)
    assert sealed_of(made) == sealed_of(app.package("app:signed"))


def test_a_directory_that_cannot_be_written(app: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told is of the enclave that is written, which shares its file system."""
    app.package(ENCLAVE)
    with monkeypatch.context() as patch:
        remove = Disturbed(lambda process: shutil.rmtree(process.argv[-1]))
        patch.setattr(to_seal, "try_process", remove)
        failure = app.failure("app:other")
    assert "files of app:other cannot be sealed" in failure
    assert "No such file or directory" in failure
    assert failure.count("hint: ") == 1
    assert "whether the disk is full" in failure
    made = app.package("app:other")
    assert sealed_of(made) == sealed_of(app.package("app:signed"))


def test_what_comes_out_otherwise_has_its_own_hint(
    app: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a cache that was wrong."""
    app.package(ENCLAVE)
    shutil.rmtree(app.root / "dist")

    def request(wanted: Sequence[Wanted]) -> bytes:
        return request_json(one._replace(sealed_sha256="00" * 32) for one in wanted)

    with monkeypatch.context() as patch:
        patch.setattr(to_seal, "request_json", request)
        failure = app.failure(ENCLAVE)
    assert "comes out otherwise than it was measured" in failure
    assert failure.count("hint: ") == 1
    assert "--no-local-cache" in failure
    assert not [*app.root.glob("dist/**/__ROOT/*")]


@pytest.mark.parametrize(
    ("lock", "packages", "places", "expected"),
    [
        (LockMode.off, None, {}, True),
        (LockMode.off, None, {"has_remote_cache": True}, True),
        (LockMode.off, None, {"executes_remotely": True}, False),
        (LockMode.verify, None, {"has_remote_cache": True}, True),
        (LockMode.require, None, {}, False),
        (LockMode.require, None, {"has_remote_cache": True}, False),
        (LockMode.require, object(), {}, True),
        (LockMode.require, object(), {"has_remote_cache": True}, False),
        (LockMode.off, object(), {"executes_remotely": True}, False),
    ],
)
def test_packs_for_what_a_cache_alone_may_have(
    lock: LockMode, packages: Any, places: dict[str, bool], expected: bool
) -> None:
    given: dict[str, Any] = {"executes_remotely": False, **places}
    found = DistPlaces("/", "/", "/", store_dir="/", **given)
    sysroot: Any = type("Sysroot", (), {"lock": lock, "packages": packages})
    assert sealing_rules._is_at_hand(sysroot, found) is expected
