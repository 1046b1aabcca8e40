from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from occlum_build.elf.testing_made import made_elf
from pants_occlum.sysroot import hash_memo
from pants_occlum.testing import Project, entries

BUILD = """
    occlum_bom(name="bom", source="bom.yaml", loader_config="/loader.config")
    occlum_image(name="image", boms=[":bom"])
    """


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write({"app/BUILD": BUILD})
    project.host("loader.config")
    return project


def copy(project: Project, what: str) -> None:
    """Let the BOM copy one thing to the root."""
    project.write({"app/bom.yaml": f"targets: [{{target: /, copy: [{{{what}}}]}}]\n"})


def problems(project: Project, **kwargs: Any) -> list[str]:
    return project.failure("app:image", **kwargs).split("\n\n")[1:]


def test_host_tree_keeps_modes_names_and_empty_directories(project: Project) -> None:
    project.host("t/with space/ünïcode", b"x", 0o600)
    (project.sysroot / "t/empty").mkdir(mode=0o700)
    (project.sysroot / "t").chmod(0o751)
    copy(project, "dirs: [/t/]")
    artefacts = project.package("app:image")
    found = {path: (one["type"], one["mode"]) for path, one in entries(artefacts).items()}
    assert found == {
        "/": ("dir", "0751"),
        "/empty": ("dir", "0700"),
        "/with space": ("dir", "0755"),
        "/with space/ünïcode": ("file", "0600"),
    }
    image = artefacts / "image"
    assert (image / "with space/ünïcode").read_bytes() == b"x"
    assert (image / "empty").stat().st_mode & 0o777 == 0o700


def test_links_are_seen_inside_the_sysroot(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    project.host("data/file", b"x")
    project.host("t/own", b"y")
    (project.sysroot / "t/absolute").symlink_to("/data/file")
    (project.sysroot / "t/inside").symlink_to("own")
    (project.sysroot / "t/dangling").symlink_to("/nowhere")
    copy(project, "dirs: [/t/]")
    artefacts = project.package("app:image")
    kinds = {path: one["type"] for path, one in entries(artefacts).items()}
    assert kinds["/absolute"] == "file"
    assert (artefacts / "image/absolute").read_bytes() == b"x"
    assert os.readlink(artefacts / "image/inside") == "own"
    assert os.readlink(artefacts / "image/dangling") == "/nowhere"
    (warning,) = [message for message in caplog.messages if "nowhere" in message]
    assert warning.startswith("app:image: app/bom.yaml:1:38: the link /dangling -> /nowhere leads")


def test_what_all_programs_look_for_in_vain_is_counted(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each program of an image is below every bound for one."""
    monkeypatch.setattr("occlum_build.elf.budget.MAX_ABSENT", 300)
    monkeypatch.setattr("occlum_build.elf.budget.MAX_ABSENT_EACH", 1)
    monkeypatch.setattr("occlum_build.elf.lookup.MAX_AHEAD", 10)
    loader = "/lib64/ld-linux-x86-64.so.2"
    project.host(loader[1:], made_elf())
    for at in range(20):
        names = [b"l%d-%d.so" % (at, name) for name in range(5)]
        tags = [(1, name) for name in names] + [(29, b"/there:/there/too:/gone")]
        project.host(f"bin/m{at}", made_elf(loader.encode() + b"\0", tags=tags), 0o755)
    copy(project, "dirs: [/bin]")
    # 200 places: /lib64 of the system, and of the image.
    assert entries(project.package("app:image"))["/bin/m19"]
    project.host("there/too/x")
    (problem,) = problems(project)
    assert problem.startswith("app/bom.yaml:1:38: libraries would be looked for in vain at more ")


def test_fifo_is_left_out_with_a_warning(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    project.host("t/file")
    os.mkfifo(project.sysroot / "t/pipe")
    copy(project, "dirs: [/t]")
    assert set(entries(project.package("app:image"))) == {"/", "/t", "/t/file"}
    assert any("/t/pipe is a fifo and is left out" in message for message in caplog.messages)


def test_name_that_is_not_utf8(project: Project) -> None:
    project.host("t/file")
    Path(os.fsdecode(os.fsencode(project.sysroot) + b"/t/bad\xff")).write_bytes(b"")
    copy(project, "dirs: [/t]")
    (problem,) = problems(project)
    assert r"/t/bad\xff is not UTF-8" in problem


def test_host_file_that_cannot_be_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: bytes) -> None:
        raise PermissionError(13, "Permission denied")

    project.host("t/secret", b"x")
    copy(project, "files: [/t/secret]")
    monkeypatch.setattr(hash_memo, "_read_once", refuse)
    assert problems(project) == [
        "/loader.config cannot be read: Permission denied",
        "app/bom.yaml:1:39: /t/secret cannot be read: Permission denied",
    ]


def test_kinds_that_do_not_fit(project: Project) -> None:
    project.host("t/file")
    copy(project, "files: [/t], dirs: [/t/file/, /t/file/below]")
    assert [one.partition("\n")[0] for one in problems(project)] == [
        "app/bom.yaml:1:51: /t/file is not a directory",
        "app/bom.yaml:1:61: there is no directory /t/file/below",
        "app/bom.yaml:1:39: /t is a directory",
    ]


def test_hash(project: Project) -> None:
    project.host("t/file", b"x")
    copy(project, f"files: [{{name: /t/file, hash: '{'0' * 64}'}}]")
    (problem,) = problems(project)
    assert "/t/file has not the hash that is due" in problem


def program(project: Project, *names: str) -> None:
    """Compile a program without libc, and libraries that it needs, into the sysroot."""
    folder = project.host("bin/app").parent
    base = ["gcc", "-x", "c", "-", "-x", "none", "-nostdlib", "-Wl,--no-as-needed"]
    for name in names:
        subprocess.run(
            [*base, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", folder / name],
            input=b"int f;",
            check=True,
        )
    libraries = [str(folder / name) for name in names]
    subprocess.run([*base, "-o", folder / "app", *libraries], input=b"void _start(){}", check=True)
    loader = project.host("lib64/ld-linux-x86-64.so.2")
    loader.write_bytes(Path("/lib64/ld-linux-x86-64.so.2").read_bytes())
    loader.chmod(0o755)
    (project.sysroot / "lib64/libfound.so").write_bytes((folder / names[0]).read_bytes())
    for name in names:
        (folder / name).unlink()


def test_libraries_come_along_and_missing_ones_are_told(project: Project) -> None:
    program(project, "libfound.so", "libgone.so")
    copy(project, "files: [/bin/app]")
    (problem,) = problems(project)
    assert problem.startswith("app/bom.yaml:1:39: ")
    assert "libgone.so" in problem and "libfound.so" not in problem
    allowing = BUILD.replace('boms=[":bom"]', 'boms=[":bom"], allow_missing=["libgone.so"]')
    project.write({"app/BUILD": allowing})
    found = entries(project.package("app:image"))
    assert {"/app", "/lib64/ld-linux-x86-64.so.2", "/lib64/libfound.so"} <= set(found)
    assert found["/lib64/libfound.so"]["provenance"]["needed_by"]


TWO_BOMS = {
    "app/bom.yaml": "targets: [{target: /, copy: [{files: [../one/x]}]}]",
    "app/two.yaml": "targets: [{target: /, copy: [{files: [../two/x]}]}]",
    "app/BUILD": BUILD.replace('boms=[":bom"]', 'boms=[":bom", ":two"]')
    + "occlum_bom(name='two', source='two.yaml', loader_config='/loader.config')\n"
    + "    files(name='files', sources=['*/x'])\n",
    "app/one/x": "1",
    "app/two/x": "2",
}


def test_later_bom_overrides_with_a_warning(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    project.write(TWO_BOMS)
    assert (project.package("app:image") / "image/x").read_text() == "2"
    (warning,) = [message for message in caplog.messages if "overrides" in message]
    assert warning == ("app:image: app/two.yaml:1:39: overrides what app/bom.yaml:1:39 puts at /x")


def test_conflicts_are_errors_if_asked_for(project: Project) -> None:
    project.write(TWO_BOMS)
    assert problems(project, options=("--occlum-conflicts=error",)) == [
        "app/two.yaml:1:39: overrides what app/bom.yaml:1:39 puts at /x"
    ]


def test_sysroot_that_is_missing(project: Project) -> None:
    copy(project, "files: [/bin/app]")
    project.default_sysroot = "/nonexistent"
    error = project.failure("app:image")
    assert "[occlum].sysroot: the sysroot /nonexistent is not a directory" in error
    sysroot = 'occlum_sysroot(name="host", root="/no/such")\n'
    build = (project.root / "app/BUILD").read_text()
    project.write(
        {"BUILD": sysroot, "app/BUILD": build.replace("boms=", 'sysroot="//:host", boms=')}
    )
    assert "'root' of //:host: the sysroot /no/such is not a directory" in project.failure(
        "app:image"
    )


def test_loader_config_that_is_missing(project: Project) -> None:
    copy(project, "files: []")
    (project.sysroot / "loader.config").unlink()
    (problem,) = problems(project)
    assert "there is no loader config /loader.config" in problem
    assert "correct `loader_config` of app:bom" in problem


def test_target_that_is_no_bom(project: Project) -> None:
    project.write(
        {"app/BUILD": "file(name='f', source='BUILD')\nocclum_image(name='image', boms=[':f'])"}
    )
    assert "app:f is a `file`, but the `boms` of an `occlum_image` are" in project.failure(
        "app:image"
    )


def test_boms_that_include_one_another(project: Project) -> None:
    project.write(
        {
            "app/bom.yaml": "includes: [two.yaml]",
            "app/two.yaml": "includes: [bom.yaml]",
            "app/BUILD": BUILD + "occlum_bom(name='two', source='two.yaml')",
        }
    )
    assert problems(project) == [
        "app/two.yaml:1:12: BOMs include one another: app/bom.yaml -> app/two.yaml -> app/bom.yaml"
        "\n  hint: leave one of these includes out"
    ]


def test_mistake_in_an_included_bom(project: Project) -> None:
    project.write(
        {
            "app/bom.yaml": "includes: [two.yaml]",
            "app/two.yaml": "targets: {}",
            "app/BUILD": BUILD + "occlum_bom(name='two', source='two.yaml')",
        }
    )
    (problem,) = problems(project)
    assert problem.startswith("app/two.yaml:1:10: `targets` must be a list")


def test_what_files_of_the_host_lose_is_told(
    project: Project, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.host("bin/ping", b"#!/bin/sh\n")
    disk = project.host("data/disk")
    os.truncate(disk, 100 << 20)

    def listed(path: bytes, follow_symlinks: bool) -> list[str]:
        return ["security.capability"] if path.endswith(b"/ping") else []

    monkeypatch.setattr(os, "listxattr", listed)
    copy(project, "files: [/bin/ping, /data/disk]")
    for _ in range(2):
        caplog.clear()
        image = project.package("app:image") / "image"
        told = "\n".join(caplog.messages)
        assert "/ping has Linux capabilities (security.capability), which no image keeps" in told
        assert "/disk is sparse, 0 of 100 MiB on disk" in told
    assert (image / "disk").stat().st_size == 100 << 20
    assert (image / "disk").stat().st_blocks * 512 < 1 << 20


def test_a_link_under_dirs_brings_what_it_leads_to(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    project.host("usr/lib/jvm/java-17/bin/java", b"x")
    (project.sysroot / "usr/lib/jvm/alias").symlink_to("java-17")
    copy(project, "dirs: [/usr/lib/jvm/alias]")
    image = project.package("app:image") / "image"
    assert not (image / "alias").is_symlink()
    assert (image / "alias/bin/java").read_bytes() == b"x"
    copy(project, "dirs: [/usr/lib/jvm/*]")
    image = project.package("app:image") / "image"
    assert os.readlink(image / "alias") == "java-17"


@pytest.mark.parametrize("what", ["files: [/keys/k]", "dirs: [/keys]", "files: [/linked]"])
@pytest.mark.parametrize("option", ["image-key-file", "sign-key-file"])
def test_a_key_of_the_build_is_no_file_of_an_image(
    project: Project, what: str, option: str
) -> None:
    key = project.host("keys/k", b"secret", 0o600)
    (project.sysroot / "linked").symlink_to("/keys/k")
    copy(project, what)
    options = (f"--occlum-{option}={key}",)
    (problem,) = problems(project, options=options)
    assert "app/bom.yaml:1:" in problem
    assert "/keys/k: this is the key of this build: whoever gets the image" in problem
    memo = project.named_caches / "occlum_hashes/contents.rows"
    assert not memo.exists() or b"/keys/k" not in memo.read_bytes()
    project.package("app:image")  # of whose keys nothing is known


def test_a_key_in_the_project_is_no_file_of_an_image(project: Project) -> None:
    project.write({"app/keys/k": b"secret"})
    copy(project, "dirs: [keys]")
    own = 'files(name="keys", sources=["keys/*"])'
    build = BUILD.replace("loader_config", "workspace='app', loader_config")
    project.write({"app/BUILD": f"{build}{own}"})
    options = (f"--occlum-sign-key-file={project.root}/app/keys/k",)
    (problem,) = problems(project, options=options)
    assert "app/keys/k: this is the key of this build" in problem


def test_a_file_that_is_no_loader_is_an_error(project: Project) -> None:
    project.host("keys/k", b"secret", 0o600)
    project.host("bin/hostile", made_elf(b"/keys/k\0"), 0o755)
    copy(project, "dirs: [/bin]")
    (problem,) = problems(project)
    assert "/bin/hostile needs the loader /keys/k, which is no ELF file" in problem
