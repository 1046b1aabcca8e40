from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
from pathlib import Path

import pytest

from pants_occlum.sysroot import host as sysroot
from pants_occlum.testing import Project, entries


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


APP = {
    "app/bom.yaml": """
        targets:
          - target: /bin
            copy:
              - files: [../run.sh, {name: /etc/motd, rename: motd}]
          - target: /
            mkdirs: [tmp]
            createlinks: [{src: bin/run.sh, linkname: init}]
            copy:
              - dirs: [../conf]
        """,
    "app/BUILD": """
        occlum_bom(name="bom", source="bom.yaml")
        occlum_image(name="image", boms=[":bom"])
        files(name="files", sources=["*.sh", "conf/**"])
        """,
    "app/run.sh": "#!/bin/sh\n",
    "app/conf/key.pem": "secret",
    "app/conf/deep/x": "",
}


@pytest.fixture
def app(project: Project) -> Project:
    return write_app(project)


def write_app(project: Project) -> Project:
    project.write(APP)
    (project.root / "app/run.sh").chmod(0o775)
    (project.root / "app/conf/key.pem").chmod(0o600)
    project.host("etc/motd", b"Welcome\n", 0o640)
    return project


def test_tree_has_the_entries_of_the_manifest(app: Project) -> None:
    artefacts = app.package("app:image")
    image = artefacts / "image"
    found = {path: (entry["type"], entry["mode"]) for path, entry in entries(artefacts).items()}
    assert found == {
        "/": ("dir", "0755"),
        "/bin": ("dir", "0755"),
        "/bin/motd": ("file", "0640"),
        "/bin/run.sh": ("file", "0755"),
        "/conf": ("dir", "0755"),
        "/conf/deep": ("dir", "0755"),
        "/conf/deep/x": ("file", "0644"),
        "/conf/key.pem": ("file", "0644"),
        "/init": ("symlink", "0777"),
        "/tmp": ("dir", "0755"),
    }
    on_disk = {"/" + str(path.relative_to(image)) for path in image.rglob("*")}
    assert on_disk == set(found) - {"/"}
    for path, (kind, octal) in found.items():
        if kind != "symlink":
            assert mode(image / path[1:]) == int(octal, 8)
    assert os.readlink(image / "init") == "bin/run.sh"
    motd = entries(artefacts)["/bin/motd"]
    assert motd["sha256"] == hashlib.sha256(b"Welcome\n").hexdigest()
    assert motd["provenance"] == {"bom": "app/bom.yaml:5:35", "source": "/etc/motd"}
    assert sorted(os.listdir(artefacts)) == ["graph.json", "image", "image.digest", "manifest.json"]


def test_digest_names_the_content_and_not_where_it_came_from(app: Project) -> None:
    digest = (app.package("app:image") / "image.digest").read_text()
    assert digest.startswith("sha256:") and len(digest) == len("sha256:") + 64 + 1
    bom = APP["app/bom.yaml"].replace("targets:", "# moved\ntargets:", 1)
    build = APP["app/BUILD"].replace('"bom"', '"renamed"').replace(":bom", ":renamed")
    app.write({"app/bom.yaml": bom, "app/BUILD": build})
    assert (app.package("app:image") / "image.digest").read_text() == digest
    app.write({"app/conf/deep/x": "other"})
    artefacts = app.package("app:image")
    assert (artefacts / "image.digest").read_text() != digest
    assert (artefacts / "image/conf/deep/x").read_text() == "other"


def test_host_file_that_changes_is_seen(app: Project) -> None:
    app.package("app:image")
    app.host("etc/motd", b"Changed\n")
    assert (app.package("app:image") / "image/bin/motd").read_bytes() == b"Changed\n"


def test_deleted_tree_comes_back(app: Project) -> None:
    shutil.rmtree(app.package("app:image") / "image")
    assert (app.package("app:image") / "image/bin/run.sh").exists()


def test_tar_is_deterministic_and_complete(app: Project) -> None:
    build = APP["app/BUILD"].replace(
        'boms=[":bom"]', 'boms=[":bom"], formats=["tar"], output_path="out/x"'
    )
    app.write({"app/BUILD": build})
    assert app.run_package("app:image").exit_code == 0
    artefacts = app.root / "dist/out/x"
    assert sorted(os.listdir(artefacts)) == [
        *("graph.json", "image.digest", "image.tar", "manifest.json")
    ]
    data = (artefacts / "image.tar").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = {"/" + one.name.strip("./"): one for one in archive}
        script = archive.extractfile(members["/bin/run.sh"])
        assert script is not None and script.read() == b"#!/bin/sh\n"
    assert set(members) | {"/"} == set(entries(artefacts))
    assert {(one.uid, one.gid, one.uname, one.mtime) for one in members.values()} == {(0, 0, "", 0)}
    assert members["/init"].linkname == "bin/run.sh"
    assert (members["/bin/run.sh"].mode, members["/bin/motd"].mode) == (0o755, 0o640)
    shutil.rmtree(artefacts)
    os.utime(app.root / "app/run.sh", (1, 1))
    assert app.run_package("app:image").exit_code == 0
    assert (artefacts / "image.tar").read_bytes() == data


def test_the_archive_is_the_same_where_processes_do_not_find_the_host(
    app: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    other = write_app(Project(tmp_path / "other"))
    build = APP["app/BUILD"].replace('boms=[":bom"]', 'boms=[":bom"], formats=["tar"]')
    app.write({"app/BUILD": build})
    other.write({"app/BUILD": build})
    data = (app.package("app:image") / "image.tar").read_bytes()
    monkeypatch.setattr(sysroot, "link_in_cache", lambda target, link: None)
    assert (other.package("app:image") / "image.tar").read_bytes() == data


def test_manifest_is_the_same_from_run_to_run(app: Project) -> None:
    first = (app.package("app:image") / "manifest.json").read_bytes()
    assert json.loads(first)["schema"] == 1
    assert (app.package("app:image") / "manifest.json").read_bytes() == first


def test_variables_workspace_and_include_dirs(project: Project) -> None:
    project.write(
        {
            "app/bom.yaml": "includes: [common.yaml]",
            "boms/common.yaml": """
                targets:
                  - target: /$WHERE
                    copy: [{files: [$WHAT]}]
                """,
            "space/program": "",
            "app/BUILD": """
                occlum_bom(
                    name="bom",
                    source="bom.yaml",
                    env=["WHERE=opt/app", "WHAT"],
                    workspace="space",
                    include_dirs=["boms"],
                )
                occlum_image(name="image", boms=[":bom"])
                """,
            "boms/BUILD": "files(sources=['*.yaml'])",
            "space/BUILD": "files(sources=['program'])",
        }
    )
    image = project.package("app:image", env={"WHAT": "program"}) / "image"
    assert (image / "opt/app/program").exists()
    assert (
        "\n\nboms/common.yaml:4:21: variable 'WHAT' is not defined in '$WHAT'\n"
        "  hint: define it, or give a default: ${WHAT:-value}"
    ) in project.failure("app:image")


def test_base_bom_of_occlum_is_there_without_occlum(project: Project) -> None:
    project.write(
        {
            "bom.yaml": "includes: [base.yaml]",
            "BUILD": """
                occlum_bom(
                    name="bom", source="bom.yaml", include_dirs=["/opt/occlum/etc/template"]
                )
                occlum_image(name="image", boms=[":bom"], output_path="out")
                """,
        }
    )
    assert project.run_package("//:image").exit_code == 0
    assert {"bin", "dev", "host", "proc", "tmp"} <= set(os.listdir(project.root / "dist/out/image"))
