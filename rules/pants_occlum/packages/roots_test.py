"""Roots of packages, of .debs of the project: no archive is needed for what rules make of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pants.core.goals.generate_lockfiles import GenerateLockfilesGoal
from pants.engine.internals.scheduler import ExecutionError

from occlum_build.packages.linked import SharedFile, link_files, put_file
from occlum_build.packages.testing_debs import Item, deb_of, directory, link
from pants_occlum.packages import contents
from pants_occlum.testing import Project, entries

BUILD = """
    files(name="debs", sources=["*.deb"])
    occlum_packages(
        name="root", debs=[":debs"], packages=["tool"], lockfile="./root.lock"{packages}
    )
    occlum_bom(name="bom", source="bom.yaml", loader_config="/etc/loader.config")
    occlum_image(name="image", boms=[":bom"], sysroot=":root", formats=["dir", "tar"]{image})
    """
BOM = "targets: [{target: /, copy: [{files: [/bin/tool, /usr/bin/which, /etc/passwd]}]}]"
SCRIPT = "#!/bin/sh\nupdate-alternatives --install /usr/bin/which which /usr/bin/tool 10\n"


class PackagesProject(Project):
    def __init__(self, tmp_path: Path) -> None:
        super().__init__(tmp_path)
        self.write({"app/bom.yaml": BOM})
        self.build()
        self.deb("tool", Item("./bin/tool", b"one", 0o755), scripts={"postinst": SCRIPT},
                 fields={"Depends": "data (>= 1), base-passwd"})  # fmt: skip
        self.deb("data", Item("./etc/loader.config"), link("./usr/share/x", "/etc/loader.config"))
        self.deb(
            "base-passwd", Item("./usr/share/base-passwd/passwd.master", b"root:*:0:0::/:/s\n")
        )

    def build(self, packages: str = "", image: str = "") -> None:
        self.write({"app/BUILD": BUILD.format(packages=packages, image=image)})

    def deb(self, package: str, *items: Item, version: str = "1.0", **how: Any) -> None:
        self.write({f"app/{package}.deb": deb_of(package, version, items, **how)})

    def pin(self, *options: str) -> str:
        result = self.run(
            GenerateLockfilesGoal, options=("--generate-lockfiles-resolve=app:root", *options)
        )
        assert result.exit_code == 0
        return result.stdout + result.stderr

    @property
    def lock(self) -> Path:
        return self.root / "app/root.lock"

    def make(self) -> Path:
        """The image in dist."""
        return self.package("app:image") / "image"


@pytest.fixture
def project(tmp_path: Path) -> PackagesProject:
    return PackagesProject(tmp_path)


def test_lock_and_image(project: PackagesProject) -> None:
    project.pin()

    header, *lines = map(json.loads, project.lock.read_text().splitlines())
    assert header["kind"] == "packages"
    assert [line.get("package", line.get("path")) for line in lines] == [
        *("base-passwd", "data", "tool"),
        *("/bin", "/etc/alternatives/which", "/usr/bin/which", "/etc/passwd"),
    ]
    image = project.make()
    assert sorted(path.name for path in image.iterdir()) == ["passwd", "tool", "which"]
    assert (image / "which").read_bytes() == b"one"
    assert (image / "passwd").read_bytes() == b"root:x:0:0::/:/s\n"
    manifest = json.loads((image.parent / "manifest.json").read_text())
    found = {entry["path"]: entry for entry in manifest["entries"]}
    assert found["/tool"]["mode"] == "0755"
    told = {path: one.get("provenance", {}) for path, one in found.items()}
    assert {path: (one.get("package"), one.get("version")) for path, one in told.items()} == {
        "/": (None, None),
        "/passwd": ("base-passwd", "1.0"),  # made in place of its scripts
        "/tool": ("tool", "1.0"),
        "/which": ("tool", "1.0"),
    }


def test_metadata_for_scanners(project: PackagesProject) -> None:
    project.deb("tool", Item("./bin/tool", b"one", 0o755), link("./usr/share/doc/tool", "data"),
                scripts={"postinst": SCRIPT, "md5sums": "00  bin/tool\n"},
                fields={"Depends": "data (>= 1), base-passwd, base-files"})  # fmt: skip
    project.deb("data", Item("./etc/loader.config"), Item("./usr/share/doc/data/copyright", b"(c)"))
    project.deb("base-files", Item("./usr/lib/os-release", b"ID=x\n"),
                link("./etc/os-release", "../usr/lib/os-release"))  # fmt: skip
    project.pin()
    plain = project.make()
    digest = (plain.parent / "image.digest").read_text()
    assert not (plain / "var").exists()

    project.build(image=", package_metadata=True")
    image = project.make()
    assert (image.parent / "image.digest").read_text() != digest
    status = image / "var/lib/dpkg/status.d"
    names = ["base-files", "base-passwd", "tool"]
    assert sorted(path.name for path in status.iterdir()) == sorted(
        [*names, *(f"{name}.md5sums" for name in names)]
    )
    assert (status / "tool").read_text().startswith("Package: tool\nVersion: 1.0\n")
    assert (status / "tool.md5sums").read_text() == "00  bin/tool\n"
    computed = hashlib.md5(b"ID=x\n", usedforsecurity=False).hexdigest()
    assert (status / "base-files.md5sums").read_text() == f"{computed}  usr/lib/os-release\n"
    assert (image / "usr/lib/os-release").read_bytes() == b"ID=x\n"
    assert (image / "etc/os-release").is_symlink()
    assert (image / "usr/share/doc/tool/copyright").read_bytes() == b"(c)"

    manifest = json.loads((image.parent / "manifest.json").read_text())
    told = {entry["path"]: entry.get("provenance") for entry in manifest["entries"]}
    path = "/var/lib/dpkg/status.d/tool"
    what = {"bom": "app:image", "source": path, "package": "tool", "version": "1.0"}
    assert told[path] == what
    assert told["/usr/share/doc/tool/copyright"]["package"] == "data"


def test_metadata_without_packages(project: PackagesProject) -> None:
    project.write(
        {
            "app/BUILD": """
            occlum_bom(name="bom", source="bom.yaml")
            occlum_image(name="image", boms=[":bom"], package_metadata=True)
            """
        }
    )
    error = project.failure("app:image")
    assert "The 'package_metadata' field in target app:image is True" in error
    assert f"its sysroot, {project.sysroot}:" in error and "`occlum_packages`" in error


def built(source: str, *options: str, workplace: Path) -> bytes:
    """What gcc makes of a line of C."""
    if shutil.which("gcc") is None:
        pytest.skip("this machine has no gcc")
    command = ["gcc", "-nostdlib", "-x", "c", "-", "-o", "out", *options]
    subprocess.run(command, input=source.encode(), cwd=workplace, check=True)
    return (workplace / "out").read_bytes()


def test_a_suite_that_is_too_new(project: PackagesProject, tmp_path: Path) -> None:
    """What needs a newer library than there is: told first, and which suite fits."""
    (tmp_path / "versions").write_text("V_1 { one; }; V_2 { two; } V_1;")
    script = "-Wl,--version-script=versions,-soname=libv.so.1"
    new = built("void one(){} void two(){}", "-shared", "-fPIC", script, workplace=tmp_path)
    (tmp_path / "libv.so").write_bytes(new)
    (tmp_path / "versions").write_text("V_1 { one; };")
    old = built("void one(){}", "-shared", "-fPIC", script, workplace=tmp_path)
    needs = "-L.", "-lv", "-Wl,--dynamic-linker=/lib64/ld.so"
    program = built("void two(); void _start(){two();}", *needs, workplace=tmp_path)
    loader = built("void _start(){}", "-shared", "-fPIC", workplace=tmp_path)
    project.deb("tool", Item("./bin/tool", program, 0o755), Item("./lib64/ld.so", loader, 0o755),
                Item("./usr/lib/x86_64-linux-gnu/libv.so.1", old))  # fmt: skip
    project.write({"app/bom.yaml": "targets: [{target: /bin, copy: [{files: [/bin/tool]}]}]"})
    project.write({"app/BUILD": (project.root / "app/BUILD").read_text()
                   .replace(', loader_config="/etc/loader.config"', "")})  # fmt: skip
    project.pin()
    error = project.failure("app:image")
    first = error.partition("\n\n")[2]
    assert first.startswith("app/bom.yaml:1:"), error
    assert "/lib/x86_64-linux-gnu/libv.so.1 lacks V_2, needed by /bin/tool" in first
    assert "take packages of a suite whose glibc is no newer" in first.partition("\n\n")[0]


def test_what_the_host_has_does_not_count(project: PackagesProject) -> None:
    project.host("bin/tool", b"of the host")
    project.pin()
    project.write({"app/bom.yaml": BOM.replace("/etc/passwd", "/etc/hostname")})
    project.host("etc/hostname", b"here")

    with pytest.raises(ExecutionError) as caught:
        project.make()
    error = str(caught.value)
    assert "bom.yaml:1:" in error and "/etc/hostname" in error
    assert "add the package that has it to 'packages' of app:root" in error


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (', without=["x"]', "'without'"),
        (', links={"/a": "b"}', "'links'"),
        (", merged_usr=False", "'merged_usr'"),
        (', made=["passwd"]', "'made'"),
    ],
)
def test_a_lock_that_is_stale(project: PackagesProject, change: str, field: str) -> None:
    project.pin()
    project.build(change)

    with pytest.raises(ExecutionError) as caught:
        project.make()
    error = str(caught.value)
    assert f"app/root.lock: the lock file is stale: {field} of app:root has changed since" in error
    assert "generate-lockfiles --resolve=app:root" in error


def test_a_package_of_the_project_that_changes(project: PackagesProject) -> None:
    project.pin()
    before = project.make().joinpath("tool").read_bytes()
    project.deb("tool", Item("./bin/tool", b"two", 0o755), scripts={"postinst": SCRIPT},
                version="2.0", fields={"Depends": "data"})  # fmt: skip

    with pytest.raises(ExecutionError, match="'debs' of app:root has changed since"):
        project.make()
    project.write({"app/bom.yaml": BOM.replace(", /etc/passwd", "")})
    told = project.pin("--generate-lockfiles-diff")
    assert "tool" in told and "1.0" in told and "2.0" in told
    assert (before, project.make().joinpath("tool").read_bytes()) == (b"one", b"two")


@pytest.mark.parametrize(
    ("packages", "words"),
    [
        (', made=["passwd", "shadow"]', "The 'made' field in target app:root has 'shadow'"),
        (', archives=[":bom"]', "takes `occlum_archive` targets, and app:bom is a `occlum_bom`"),
        (
            ', links={"a": "b"}',
            "field in target app:root has 'a', which is no absolute",
        ),
        (
            ', links={"//a": "b"}',
            "'links' field in target app:root has '//a', which is no absolute",
        ),
        (', without=["not a name"]', "not a name"),
    ],
)
def test_fields_that_are_wrong(project: PackagesProject, packages: str, words: str) -> None:
    project.build(packages)

    with pytest.raises(ExecutionError) as caught:
        project.pin()
    assert words in str(caught.value)


def test_an_archive_without_mirrors(project: PackagesProject) -> None:
    project.build(', archives=[":debian"]')
    archive = 'occlum_archive(name="debian", mirrors=[], suites=["s"], keyring="bom.yaml")'
    project.write({"app/BUILD": (project.root / "app/BUILD").read_text() + f"\n{archive}\n"})

    with pytest.raises(ExecutionError, match="'mirrors' field in target app:debian must"):
        project.pin()


def test_what_is_no_lock_file_is_not_replaced(project: PackagesProject) -> None:
    project.write({"app/root.lock": "somebody's notes\n"})

    with pytest.raises(ExecutionError) as caught:
        project.pin()
    assert "app:root cannot be locked, 1 error" in str(caught.value)
    assert "app/root.lock: this is no lock file of packages" in str(caught.value)
    assert project.lock.read_text() == "somebody's notes\n"


def test_no_lock_file(project: PackagesProject) -> None:
    with pytest.raises(ExecutionError) as caught:
        project.make()
    assert "app:image cannot be built" in str(caught.value)
    assert "there is no lock file app/root.lock" in str(caught.value)
    assert "generate-lockfiles --resolve=app:root" in str(caught.value)


def test_a_package_that_is_not_there(project: PackagesProject) -> None:
    (project.root / "app/data.deb").unlink()

    with pytest.raises(ExecutionError) as caught:
        project.pin()
    assert "app:root cannot be locked, 1 error" in str(caught.value)
    assert "data (>= 1), needed by tool (requested)" in str(caught.value)


def test_a_damaged_package(project: PackagesProject) -> None:
    path = project.root / "app/data.deb"
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(ExecutionError) as caught:
        project.pin()
    assert "app:root cannot be locked, 1 error" in str(caught.value)
    assert "app/data.deb: no usable package" in str(caught.value)


def test_what_another_run_clears_is_unpacked_anew(
    project: PackagesProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.pin()
    calls: list[str] = []

    def cleared_first(root: str, files: list[SharedFile]) -> None:
        calls.append(root)
        if len(calls) == 1:
            for one in files:
                shutil.rmtree(one.directory, ignore_errors=True)
        link_files(root, files)

    monkeypatch.setattr(contents, "link_files", cleared_first)
    assert (project.make() / "tool").read_bytes() == b"one"
    assert len(calls) > 1
    left = list((project.named_caches / "occlum_packages").iterdir())
    assert all("." not in one.name for one in left)


def test_files_that_their_owner_may_not_read(project: PackagesProject) -> None:
    project.deb("tool", directory("./usr/bin/", 0o000), Item("./usr/bin/tool", b"one", 0o111),
                scripts={"postinst": SCRIPT},
                fields={"Depends": "data (>= 1), base-passwd"})  # fmt: skip
    project.pin()
    image = project.make()
    (file,) = (project.named_caches / "occlum_packages").glob("*/usr/bin/tool")
    assert (file.stat().st_mode & 0o7777, file.parent.stat().st_mode & 0o7777) == (0o511, 0o700)
    assert (image / "tool").stat().st_mode & 0o7777 == 0o111
    assert entries(image.parent)["/tool"]["mode"] == "0111"


def test_downloads_that_nobody_used_for_long(project: PackagesProject) -> None:
    cache = project.named_caches / "occlum_debs"
    for name in ("debs/old.deb", "indexes/old", "debs/young.deb", "indexes/young"):
        put_file(str(cache / name), b"")
        if "old" in name:
            os.utime(cache / name, (0, 0))
    project.pin()
    assert [one.name for one in (cache / "indexes").iterdir()] == ["young"]
    names = {one.name for one in (cache / "debs").iterdir()}
    assert "young.deb" in names and "old.deb" not in names and len(names) > 1


def test_one_package_of_roots_with_and_without_links_to_usr(project: PackagesProject) -> None:
    project.pin()
    merged = project.make()
    project.build(", merged_usr=False")
    project.write({"app/bom.yaml": BOM.replace("/usr/bin/which, ", "")})
    project.pin()
    assert (merged / "tool").exists() and (project.make() / "tool").read_bytes() == b"one"
    unpacked = (project.named_caches / "occlum_packages").iterdir()
    assert {one.name.rpartition("-")[2] for one in unpacked if "-" in one.name} == {"plain"}
