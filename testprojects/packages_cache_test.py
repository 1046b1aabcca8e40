"""A root of packages and a real remote cache: a second machine runs and downloads nothing."""

from __future__ import annotations

import contextlib
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from built_enclave import built_enclave
from built_image import built_image
from cache_server import CacheServer, cache_server
from occlum_build.packages.testing_server import nobody_listens
from packages_site import IMAGE, LOCK, TOOLCHAIN, Site, packages_site
from recorded_run import run_recorded

MORE = f"""\
occlum_image(name="tar", boms=[":bom"], sysroot=":packages", formats=["tar"])
occlum_image(
    name="scanned", boms=[":bom"], sysroot=":packages", formats=["tar"], package_metadata=True
)
occlum_enclave(name="enclave", image=":tar", toolchain="//{TOOLCHAIN}")
"""
TAR, SCANNED, ENCLAVE = ALL = "app:tar", "app:scanned", "app:enclave"
# What has a file in the image; the others have links to these, and files that nobody copies.
OWNERS = ["base-passwd", "ca-certificates", "greet-long", "greeting-en", "libc6", "libgreet1"]


@contextlib.contextmanager
def machine(top: Path, server: CacheServer) -> Iterator[Site]:
    with packages_site(top, *server.options) as site:
        yield site


def write(site: Site) -> None:
    site.write()
    site.pants.write("app/BUILD", (site.pants.build_root / "app/BUILD").read_text() + MORE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CacheServer]:
    with cache_server(tmp_path_factory.mktemp("server") / "storage") as running:
        yield running


@pytest.fixture(scope="module")
def first(server: CacheServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The machine that has locked the packages and built all but the tree."""
    with machine(tmp_path_factory.mktemp("first"), server) as site:
        site.publish()
        write(site)
        site.lock()
        run_recorded(site.pants, "package", *ALL)
        site.pants.stop_pantsd()
        yield site


@pytest.fixture(scope="module")
def second(
    server: CacheServer, first: Site, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Another checkout, that has the first one's project and a mirror of its own."""
    with machine(tmp_path_factory.mktemp("second") / "of another user", server) as site:
        shutil.copytree(first.archive, site.archive)
        site.signer = first.signer
        write(site)
        shutil.copy(first.pants.build_root / LOCK, site.pants.build_root / LOCK)
        yield site


def test_a_second_machine_runs_and_downloads_nothing(first: Site, second: Site) -> None:
    run = run_recorded(second.pants, "package", *ALL)

    assert {one.source for one in run.processes} == {"HitRemotely"}
    assert second.mirror.asked == []
    assert not any(second.named_cache("occlum_debs").rglob("*.deb"))
    for target in (SCANNED, TAR):
        one, other = (built_image(site.pants, target).folder for site in (first, second))
        for name in ("image.digest", "image.tar", "manifest.json"):
            assert (one / name).read_bytes() == (other / name).read_bytes()
    with tarfile.open(other / "image.tar") as archive:
        assert archive.extractfile("etc/greeting").read() == b"Hello\n"  # type: ignore[union-attr]
    enclaves = [built_enclave(site.pants, ENCLAVE) for site in (first, second)]
    assert enclaves[0].listing() == enclaves[1].listing()
    assert enclaves[0].mrenclave == enclaves[1].mrenclave


def test_a_tree_downloads_what_owns_a_file_of_it(second: Site) -> None:
    run = run_recorded(second.pants, "package", IMAGE)

    assert run.ran == []
    assert second.debs_asked() == OWNERS
    tar = built_image(second.pants, TAR)
    assert second.image.digest == tar.digest
    with tarfile.open(tar.folder / "image.tar") as archive:
        names = {name.strip("./") for name in archive.getnames()}
    assert set(second.image.listing()) - {"."} == names - {""}


def test_a_new_lock_asks_for_indexes_alone(first: Site, second: Site) -> None:
    """What a lock makes of .debs comes from the cache as well, but for what files are made of."""
    second.forget()
    text = (second.pants.build_root / LOCK).read_bytes()
    run = second.lock()
    assert run.ran == []
    assert second.debs_asked() == ["base-passwd", "ca-certificates"]
    assert (second.pants.build_root / LOCK).read_bytes() == text


def test_the_cache_is_an_archive_of_packages(
    server: CacheServer, first: Site, tmp_path: Path
) -> None:
    """Mirrors are gone; who has packages shares them, and another machine builds of these."""
    share, nobody = "--occlum-share-packages", nobody_listens()
    with machine(tmp_path, server) as third:
        third.signer = first.signer
        third.write([nobody])
        shutil.copy(first.pants.build_root / LOCK, third.pants.build_root / LOCK)
        told = third.build(exit_code=1).result.stderr
        assert "remote cache: not asked ([occlum].share_packages is off)" in told
        told = third.build(share, exit_code=1).result.stderr
        assert f"app:image cannot be built, {len(OWNERS)} errors" in told
        for line in (
            f"  {nobody}: Connection refused",
            "  remote cache: has not got it ([occlum].share_packages)",
            "let a machine that has the file build once with `[occlum].share_packages`",
        ):
            assert line in told

        first.mirror.asked.clear()
        run = first.build(share)  # it had them before it was to share
        assert first.mirror.asked == []
        assert [one for one in run.ran if one.startswith("Share libgreet1 ")]
        first.pants.stop_pantsd()

        third.build(share)
        assert third.mirror.asked == []
        assert third.image.digest == built_image(first.pants, TAR).digest
        assert third.image.listing() == first.image.listing()
