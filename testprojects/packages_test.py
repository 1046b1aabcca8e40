"""Roots of packages under the real ./pants: an archive that is here on every machine, and mirrors
that move, lie and are gone.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from built_enclave import built_enclave
from built_image import built_image
from occlum_build.packages.testing_debs import Item, deb_of, link
from occlum_build.packages.testing_server import Answer, nobody_listens
from packages.small_debs import greeting, libgreet
from packages_site import (
    IMAGE,
    LOCK,
    PACKAGES,
    SMALL,
    TOOLCHAIN,
    WANTED,
    Site,
    packages_site,
)
from recorded_run import run_recorded

# They hold on every machine: of what is committed nothing else is known.
DIGEST = "sha256:cbe4bb5b29d9c6bfae2d83ee2bd41099e4e2a17b8304dbc3a9ce8f05e92a4890"
SCANNED = "sha256:716d079aee2f4ebee88592beab406fe79909705faef4f8505e3213cf8136570b"
MRENCLAVE = "68968a71dc6919070d809805c9dc19e4a3e58ac6bea1dbe142a950553273232e"
ENCLAVES = f"""\
occlum_toolchain(name="toolchain", sysroot=":packages", version="0.31.0")
occlum_enclave(name="one", image=":image", toolchain=":toolchain")
occlum_enclave(name="other", image=":image", toolchain="//{TOOLCHAIN}")
"""
RELEASE, INDEX = "/dists/small/InRelease", "/dists/small/main/binary-amd64/Packages.xz"


@pytest.fixture(scope="module")
def one_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with packages_site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def site(one_site: Site) -> Site:
    """A site whose image is built, of a package that no cache had."""
    one_site.new()
    one_site.build()
    one_site.mirror.asked.clear()
    return one_site


def index_runs(descriptions: list[str]) -> list[str]:
    return [one for one in descriptions if one.startswith("Index ")]


def only_error(stderr: str, *parts: str) -> str:
    """The one error of a run, which has these parts and no traceback of Python."""
    assert "1 Exception encountered" in stderr
    assert "Traceback (most recent call last)" not in stderr
    for part in parts:
        assert part in stderr
    return stderr


def test_the_committed_lock_digest_and_measurement(one_site: Site) -> None:
    pants = one_site.pants
    lock = pants.build_root / SMALL / "small.lock"
    committed = lock.read_bytes()
    lock.unlink()
    run_recorded(pants, "generate-lockfiles", f"--resolve={SMALL}:small")
    assert lock.read_bytes() == committed

    names = ("image", "tar", "enclave")
    run_recorded(pants, "package", *(f"{SMALL}:{name}" for name in names))
    assert {built_image(pants, f"{SMALL}:{name}").digest for name in names} == {DIGEST}
    assert built_enclave(pants, f"{SMALL}:enclave").mrenclave == MRENCLAVE


def test_the_metadata_of_the_committed_packages(one_site: Site) -> None:
    pants = one_site.pants
    run_recorded(pants, "package", f"{SMALL}:scanned")
    scanned = built_image(pants, f"{SMALL}:scanned")
    assert scanned.digest == SCANNED
    status = scanned.tree / "var/lib/dpkg/status.d"
    owners = ["base-passwd", "ca-certificates", "greet-long", "greeting-en", "libc6", "libgreet1"]
    assert sorted(path.name for path in status.iterdir()) == sorted(
        [*owners, *(f"{name}.md5sums" for name in owners)]
    )
    assert "\nVersion: 1.1-1\n" in (status / "libgreet1").read_text()
    manifest = json.loads((scanned.folder / "manifest.json").read_text())
    entry = next(one for one in manifest["entries"] if one["path"] == "/bin/greet")
    provenance = entry["provenance"]
    assert (provenance["package"], provenance["version"]) == ("greet-long", "1:2.0-1")


def test_nothing_runs_again(site: Site) -> None:
    before = site.image.inodes()
    run = site.build()
    assert (run.processes, site.mirror.asked, site.image.inodes()) == ((), [], before)


def test_a_lock_names_what_has_changed(site: Site) -> None:
    site.write(packages=WANTED[:-1])
    stderr = site.build(exit_code=1).result.stderr
    only_error(stderr, f"{IMAGE} cannot be built", f"'packages' of {PACKAGES} has changed since")
    assert f"pants generate-lockfiles --resolve={PACKAGES}" in stderr
    site.write()
    assert site.build().processes == ()


def test_an_upgrade_costs_one_package(site: Site) -> None:
    before, library = site.image.inodes(), site.library
    version = site.publish()
    site.write()
    run = site.lock("--generate-lockfiles-diff")

    assert index_runs(run.ran) == run.ran == [f"Index libgreet1 {version}"]
    assert site.debs_asked() == ["libgreet1"]
    (moved,) = [line.split() for line in run.result.stderr.splitlines() if "-->" in line]
    assert moved == ["libgreet1", f"1.{site.version - 1}-1", "-->", version]

    site.mirror.asked.clear()
    assert site.build().ran == []
    assert site.mirror.asked == []
    assert site.library != library
    after = site.image.inodes()
    changed = [path for path in before if before[path] != after.get(path)]
    assert changed == ["lib/x86_64-linux-gnu/libgreet.so.1"]


@pytest.mark.parametrize("kind", ["file:", "//", "template"])
def test_mirrors_of_all_kinds(one_site: Site, kind: str) -> None:
    one_site.publish()
    root = one_site.archive
    if kind == "//":
        inside = one_site.pants.build_root / "app/mirror"
        shutil.rmtree(inside, ignore_errors=True)
        shutil.copytree(root, inside)
    mirrors = {
        "file:": [f"file:{root}"],
        "//": ["//app/mirror"],
        "template": [f"{one_site.mirror.url}/{{path}}"],
    }
    one_site.forget()
    one_site.write(mirrors[kind])
    one_site.lock()
    text = (one_site.pants.build_root / LOCK).read_bytes()
    one_site.build()
    library = one_site.library

    # And no lock depends on the mirror.
    one_site.forget()
    one_site.write()
    one_site.lock()
    assert (one_site.pants.build_root / LOCK).read_bytes() == text
    one_site.build()
    assert one_site.library == library


@pytest.mark.parametrize("fault", ["lacks", "refuses", "lies", "cuts"])
def test_the_second_mirror_is_asked(one_site: Site, fault: str, tmp_path: Path) -> None:
    one_site.publish()
    right = tmp_path / "right"
    shutil.copytree(one_site.archive, right)
    first = nobody_listens() if fault == "refuses" else one_site.mirror.url
    answers = {
        "lacks": Answer(404, b"not here"),
        "lies": Answer(200, b"other bytes"),
        "cuts": Answer(200, b"half", length=700),
    }
    answer, usual = answers.get(fault), one_site.mirror.otherwise
    one_site.forget()
    one_site.write([first, f"file:{right}"])
    if answer is not None:
        one_site.mirror.otherwise = lambda _: answer
    try:
        one_site.lock()
        one_site.build()
    finally:
        one_site.mirror.otherwise = usual
    assert bool(one_site.mirror.asked) == (fault != "refuses")
    assert f"greet 1.{one_site.version}-1\n".encode() in one_site.library


def test_caches_need_no_mirror(site: Site) -> None:
    library = site.library
    shutil.rmtree(site.pants.dist)
    site.write([nobody_listens()])
    assert site.build().ran == []
    assert site.library == library
    shutil.rmtree(site.pants.dist)
    site.forget()
    assert site.build(exit_code=1).processes == ()  # for the files themselves, with no .deb left


def test_what_is_nowhere_is_told_with_who_was_asked(one_site: Site) -> None:
    here, nobody = one_site.mirror.url, nobody_listens()
    version = one_site.new(here, nobody)
    shutil.rmtree(one_site.archive)
    stderr = one_site.build(exit_code=1).result.stderr

    only_error(stderr, f"{IMAGE} cannot be built", f"libgreet1 {version} (pool/main/l/libgreet1/")
    assert f"  {here}: " in stderr
    assert f"  {nobody}: Connection refused" in stderr
    assert "add a mirror that keeps old versions" in stderr


def test_mirrors_of_the_site_come_first(one_site: Site) -> None:
    nobody = nobody_listens()
    one_site.new(nobody)
    option = f"--occlum-archive-mirrors={{'app:archive': ['{one_site.mirror.url}']}}"
    one_site.build(option)
    assert "libgreet1" in one_site.debs_asked()
    text = (one_site.pants.build_root / LOCK).read_bytes()
    one_site.lock(option)
    assert (one_site.pants.build_root / LOCK).read_bytes() == text


def test_a_package_of_the_project_outranks(site: Site) -> None:
    own = libgreet("0.9+own-1", ".gz")
    path = site.pants.build_root / "app/debs/libgreet1_0.9+own-1_amd64.deb"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(own.content)
    site.pants.write("app/debs/BUILD", 'files(name="debs", sources=["*.deb"])\n')
    # Too old for greet, which is told; then as new as it must be.
    site.write(debs=["app/debs"])
    stderr = site.lock(exit_code=1).result.stderr
    assert "libgreet1" in stderr and "Traceback (most" not in stderr
    path.unlink()
    own = libgreet("1.0.0+own-1", ".gz")
    (path.parent / "own.deb").write_bytes(own.content)
    site.lock()
    site.build()

    assert b"greet 1.0.0+own-1\n" in site.library
    assert f'"sha256":"{own.sha256}"' in (site.pants.build_root / LOCK).read_text()
    shutil.rmtree(path.parent)


def test_a_toolchain_of_packages(site: Site) -> None:
    """An enclave that has all from a lock file is the same as one by an archive of Occlum."""
    root, items = site.pants.build_root, []
    with tarfile.open(root / TOOLCHAIN / "stand_in.tar.xz") as archive:
        for member in archive:
            if member.isfile():
                content = archive.extractfile(member).read()  # type: ignore[union-attr]
                items.append(Item(f"./{member.name}", content, member.mode))
            elif member.issym():
                items.append(link(f"./{member.name}", member.linkname))
    package = root / "app/occlum/occlum.deb"
    package.parent.mkdir()
    package.write_bytes(deb_of("occlum", "0.31.0", items))
    site.pants.write("app/occlum/BUILD", 'files(name="occlum", sources=["*.deb"])\n')
    site.write(packages=[*WANTED, "occlum"], debs=["app/occlum"])
    site.pants.write("app/BUILD", (root / "app/BUILD").read_text() + ENCLAVES)
    site.lock()
    run_recorded(site.pants, "package", "app:one", "app:other")
    one, other = (built_enclave(site.pants, f"app:{name}") for name in ("one", "other"))
    assert one.mrenclave == other.mrenclave
    assert one.listing() == other.listing()


def test_links_of_the_target_take_the_place_of_derived_ones(site: Site) -> None:
    long = (site.image.tree / "bin/greet").read_bytes()
    site.write(links={"/usr/bin/greet": "greet.real"})
    site.lock()
    site.build()
    assert (site.image.tree / "bin/greet").read_bytes() != long
    site.write(links={"/usr/bin/greet": ""})
    site.lock()
    only_error(site.build(exit_code=1).result.stderr, "/usr/bin/greet")


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *(("occlum_packages", how) for how in ("byte", "emptied", "files removed", "removed")),
        *(("occlum_debs", how) for how in ("byte", "removed")),
        *(("occlum_roots", how) for how in ("byte", "files removed")),
    ],
)
def test_damaged_caches_end_in_the_right_image(one_site: Site, name: str, how: str) -> None:
    one_site.new()
    one_site.build()
    right = one_site.image.listing()
    shutil.rmtree(one_site.pants.dist)
    damage(one_site.named_cache(name), how)
    one_site.build()
    assert one_site.image.listing() == right


def damage(cache: Path, how: str) -> None:
    if how == "removed":
        shutil.rmtree(cache)
        return
    for file in sorted(cache.rglob("*")):
        if file.is_symlink() or not file.is_file():
            continue
        content = file.read_bytes()
        if how == "files removed":
            file.unlink()
        elif how == "emptied":
            file.write_bytes(b"")
        elif content:
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_errors_name_the_target(site: Site) -> None:
    root = site.pants.build_root
    lock = root / LOCK
    text = lock.read_text()

    site.write(keyring="./none.asc")
    missing = "The 'keyring' field in target app:archive is app/none.asc"
    only_error(site.build(exit_code=1).result.stderr, missing)
    only_error(site.lock(exit_code=1).result.stderr, missing)

    site.write(keyring=f"{SMALL}/archive.asc")
    changed = f"'archives' of {PACKAGES} has changed since"
    only_error(site.build(exit_code=1).result.stderr, changed)
    other = "small of archive is signed by "
    only_error(site.lock(exit_code=1).result.stderr, other, PACKAGES, f"{SMALL}/archive.asc")
    assert lock.read_text() == text

    site.write()
    lock.unlink()
    none = f"there is no lock file {LOCK}"
    only_error(site.build(exit_code=1).result.stderr, none, PACKAGES)

    lines = text.splitlines(keepends=True)
    for damaged, place in (
        (text[:-20], f"{LOCK}:{len(lines)}"),
        ("".join([*lines[:-2], lines[-1], lines[-2]]), f"{LOCK}:{len(lines)}"),
        (text.replace('"type":"package"', '"type":"pakage"', 1), f"{LOCK}:3"),
        ("<<<<<<< ours\n" + text, f"{LOCK}:1"),
    ):
        lock.write_text(damaged)
        only_error(site.build(exit_code=1).result.stderr, place, "generate it anew", IMAGE)
    site.lock()
    assert lock.read_text() == text

    build = root / "app/BUILD"
    two = build.read_text().replace('name="packages"', 'name="two"').split("occlum_bom")[0]
    build.write_text(build.read_text() + two[two.index("occlum_packages") :])
    shared = f"The 'lockfile' field in target {PACKAGES} is {LOCK}, which is that of another"
    only_error(site.lock(exit_code=1).result.stderr, shared)


def test_a_virtual_package_needs_a_provider_that_is_named(site: Site) -> None:
    site.write(packages=[*WANTED[:-1], "greeting-de"])
    site.lock()
    site.build()
    assert (site.image.tree / "etc/greeting").read_text() == "Hallo\n"
    assert greeting("de", "Hallo", ".xz").fields["Provides"] == "greeting"


def test_damaged_answers_of_a_mirror_at_the_lock(site: Site) -> None:
    """An index that is not what is signed, a signature that is not of the text, and neither."""
    text = (site.pants.build_root / LOCK).read_bytes()
    shutil.rmtree(site.named_cache("occlum_debs"))
    release = (site.archive / RELEASE[1:]).read_bytes()
    for path, body, told in (
        (INDEX, b"no index", "is not what InRelease says"),
        (RELEASE, release.replace(b"Suite: small", b"Suite: smell"), "small of archive"),
        (RELEASE, b"<html>hello</html>", "small of archive"),
    ):
        site.mirror.answers = {path: Answer(200, body)}
        only_error(site.lock(exit_code=1).result.stderr, told, PACKAGES)
    site.mirror.answers = {}
    site.lock()
    assert (site.pants.build_root / LOCK).read_bytes() == text
