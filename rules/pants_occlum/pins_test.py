from __future__ import annotations

import logging
import subprocess
from pathlib import Path

import pytest
from pants.core.goals.generate_lockfiles import GenerateLockfilesGoal

from pants_occlum.testing import Project, entries

VERIFY = ("--occlum-lock=verify",)
REQUIRE = ("--occlum-lock=require",)
HINT = "generate-lockfiles --resolve=app:host"
BUILD = """
    occlum_sysroot(name="host", root="{root}", lockfile="./host.lock")
    occlum_bom(name="bom", source="bom.yaml", loader_config="/loader.config")
    occlum_image(name="image", boms=[":bom"], sysroot=":host", formats=["dir", "tar"])
    """
STATUS = """\
Package: tool
Status: install ok installed
Architecture: amd64
Version: {version}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write({"app/BUILD": BUILD.format(root=project.sysroot)})
    project.host("loader.config")
    return project


def install(project: Project, version: str, content: bytes) -> None:
    """Put a package with one file into the sysroot."""
    project.host("var/lib/dpkg/status", STATUS.format(version=version).encode())
    project.host("var/lib/dpkg/info/tool.list", b"/usr/bin/tool\n")
    project.host("usr/bin/tool", content, 0o755)


def copy(project: Project, what: str) -> None:
    project.write({"app/bom.yaml": f"targets: [{{target: /, copy: [{{{what}}}]}}]\n"})


def pin(project: Project) -> None:
    assert project.run(GenerateLockfilesGoal, "--resolve=app:host").exit_code == 0


def problems(project: Project, options: tuple[str, ...]) -> list[str]:
    text = project.failure("app:image", options=options)
    assert text.startswith("app:image cannot be built, ")
    return text.split("\n\n")[1:]


def test_verify_tells_all_that_moved_by_package(project: Project) -> None:
    install(project, "1.9", b"tool")
    project.host("etc/app/one", b"1")
    project.host("etc/app/two", b"2")
    project.host("etc/three", b"3")
    copy(project, "files: [/usr/bin/tool, /etc/three], dirs: [/etc/app]")
    pin(project)
    before = entries(project.package("app:image", options=VERIFY))
    assert entries(project.package("app:image")) == before

    install(project, "1.10", b"new!")
    project.host("etc/app/new", b"new")
    (project.sysroot / "etc/app/two").unlink()
    (project.sysroot / "etc/three").chmod(0o600)
    assert problems(project, VERIFY) == [
        f"the files in {project.sysroot} are not those that app/host.lock pins:\n"
        "  tool 1.9 -> 1.10: changed /usr/bin/tool\n"
        "  of no package: changed /etc/three; gone /etc/app/two; not pinned /etc/app/new\n"
        "  hint: install the versions that are pinned, or pin what is there: "
        f"pants {HINT}"
    ]
    pin(project)
    assert "/app/new" in entries(project.package("app:image", options=VERIFY))


def test_verify_tells_of_what_is_not_pinned_yet_and_of_what_is_gone(project: Project) -> None:
    install(project, "1.9", b"tool")
    project.host("etc/app/one", b"1")
    copy(project, "files: [/usr/bin/tool]")
    pin(project)
    copy(project, "dirs: [/etc/app]")
    (problem,) = problems(project, VERIFY)
    assert "of no package: not pinned /etc, /etc/app, /etc/app/one" in problem
    # The error of the plan itself comes first; what its hint looked at is no news.
    project.host("usr/bin/toil")
    (project.sysroot / "usr/bin/tool").unlink()
    copy(project, "files: [/usr/bin/tool]")
    missing, gone = problems(project, VERIFY)
    assert "did you mean /usr/bin/toil?" in missing
    assert "  tool 1.9: gone /usr/bin/tool\n" in gone
    assert "toil" not in gone


def program(project: Project) -> None:
    """Compile /bin/app and the library that it needs, found in the second of two directories."""
    folder = project.host("opt/second/libown.so").parent
    base = ["gcc", "-x", "c", "-", "-x", "none", "-nostdlib"]
    own = str(folder / "libown.so")
    library = [*base, "-shared", "-Wl,-soname,libown.so", "-o", own]
    subprocess.run(library, input=b"int f;", check=True)
    app = project.host("bin/app")
    paths = "-Wl,-rpath,/opt/first:/opt/second"
    link = [*base, "-o", str(app), own, "-Wl,--no-as-needed", paths]
    subprocess.run(link, input=b"extern int f; void _start(){f = 1;}", check=True)
    loader = project.host("lib64/ld-linux-x86-64.so.2", mode=0o755)
    loader.write_bytes(Path("/lib64/ld-linux-x86-64.so.2").read_bytes())
    (project.sysroot / "opt/first").mkdir()
    copy(project, "files: [/bin/app]")


def intrude(project: Project) -> None:
    """Put a library into the directory that is searched first."""
    library = (project.sysroot / "opt/second/libown.so").read_bytes()
    project.host("opt/first/libown.so", library + b"another")


def test_new_library_in_an_earlier_directory(project: Project) -> None:
    program(project)
    pin(project)
    before = entries(project.package("app:image"))
    intrude(project)
    assert "/opt/first/libown.so" in entries(project.package("app:image"))
    (problem,) = problems(project, VERIFY)
    assert "of no package: not pinned /opt/first/libown.so\n" in problem
    # Where pins are required, the library does not exist.
    assert entries(project.package("app:image", options=REQUIRE)) == before


def test_require_makes_the_same_image(project: Project) -> None:
    (project.sysroot / "usr/lib").mkdir(parents=True)
    (project.sysroot / "lib").symlink_to("usr/lib")
    project.host("usr/lib/data/one", b"1", 0o4755)
    project.host("usr/lib/data/sub/two", b"2")
    (project.sysroot / "usr/lib/data/link").symlink_to("sub/two")
    (project.sysroot / "usr/lib/data/empty").mkdir(mode=0o700)
    project.host("etc/a.conf", b"a")
    project.host("etc/b.conf", b"b")
    copy(project, "dirs: [/lib/data], files: [/etc/*.conf, /lib/data/link]")
    pin(project)
    found = project.package("app:image")
    plain = [(found / name).read_bytes() for name in ("manifest.json", "image.tar")]
    assert entries(found)["/data/one"]["mode"] == "4755"
    found = project.package("app:image", options=REQUIRE)
    assert [(found / name).read_bytes() for name in ("manifest.json", "image.tar")] == plain
    found = project.package("app:image", options=VERIFY)
    assert [(found / name).read_bytes() for name in ("manifest.json", "image.tar")] == plain


def test_require_knows_only_what_is_pinned(project: Project) -> None:
    project.host("etc/a.conf", b"a")
    project.host("etc/b.txt", b"b")
    project.host("opt/x/file", b"x")
    copy(project, "files: [/etc/*.conf]")
    pin(project)
    hint = f"only what app/host.lock pins counts; pin what is there: pants {HINT}"

    # A file that came later is not in the pinned listing.
    project.host("etc/c.conf", b"c")
    assert list(entries(project.package("app:image", options=REQUIRE))) == ["/", "/a.conf"]

    copy(project, "files: [/opt/x/file]")
    (problem,) = problems(project, REQUIRE)
    assert "there is no file /opt/x/file" in problem and hint in problem
    copy(project, "files: [/a.conf]")
    (problem,) = problems(project, REQUIRE)
    assert "there is no file /a.conf" in problem and hint in problem
    copy(project, "dirs: [/opt/x]")
    (problem,) = problems(project, REQUIRE)
    assert "there is no directory /opt/x" in problem and hint in problem
    copy(project, "files: [/*/file]")
    (problem,) = problems(project, REQUIRE)
    assert "the names in it are not pinned in app/host.lock" in problem
    copy(project, "dirs: [/etc/]")
    assert problems(project, REQUIRE) == [
        "app/bom.yaml:1:38: /etc/b.txt cannot be read: its content is not pinned in app/host.lock"
    ]


def test_require_does_not_care_for_what_is_not_used(project: Project) -> None:
    install(project, "1.0", b"tool")
    project.host("etc/other", b"1")
    copy(project, "files: [/usr/bin/tool, /etc/other]")
    pin(project)
    copy(project, "files: [/usr/bin/tool]")
    project.host("etc/other", b"2")
    assert list(entries(project.package("app:image", options=REQUIRE))) == ["/", "/tool"]


def test_require_with_a_file_that_changed(project: Project) -> None:
    install(project, "1.9", b"tool")
    project.host("etc/other", b"1")
    project.host("etc/gone", b"1")
    copy(project, "files: [/usr/bin/tool, /etc/other, /etc/gone]")
    pin(project)
    copy(project, "files: [/usr/bin/tool]")
    install(project, "1.10", b"new!")
    project.host("etc/other", b"2")
    (project.sysroot / "etc/gone").unlink()
    (problem,) = problems(project, REQUIRE)
    # All that changed is told, also what other images use.
    assert problem.splitlines()[1:3] == [
        "  tool 1.9 -> 1.10: changed /usr/bin/tool",
        "  of no package: changed /etc/other",
    ]
    assert HINT in problem


def test_require_without_the_file(project: Project) -> None:
    install(project, "1.9", b"tool")
    project.host("etc/other", b"1")
    copy(project, "files: [/usr/bin/tool, /etc/other]")
    pin(project)
    (project.sysroot / "usr/bin/tool").unlink()
    (project.sysroot / "etc/other").unlink()
    (problem,) = problems(project, REQUIRE)
    first, *moved, hint = problem.splitlines()
    assert first.startswith(f"app/host.lock pins files that are not in {project.sysroot}, and no ")
    assert moved == ["  tool 1.9: gone /usr/bin/tool", "  of no package: gone /etc/other"]
    assert "share_host_files" in hint and HINT in hint


def test_contents_in_the_local_store_serve(project: Project) -> None:
    program(project)
    pin(project)
    before = entries(project.package("app:image"))
    project.sysroot.rename(project.sysroot.with_name("away"))
    assert entries(project.package("app:image", options=REQUIRE)) == before


def test_sharing_changes_nothing(project: Project) -> None:
    project.host("etc/small", b"1")
    project.host("etc/large", b"large" * 1_000_000)
    copy(project, "files: [/etc/small, /etc/large]")
    found = project.package("app:image")
    plain = (found / "image.tar").read_bytes()
    again = project.package("app:image", options=("--occlum-share-host-files",))
    assert (again / "image.tar").read_bytes() == plain
    assert (project.sysroot / "etc/large").read_bytes() == b"large" * 1_000_000


def test_lock_file_that_is_missing_or_damaged(project: Project) -> None:
    copy(project, "files: []")
    for options in (VERIFY, REQUIRE):
        (problem,) = problems(project, options)
        assert "there is no lock file app/host.lock that Pants sees" in problem
        assert HINT in problem
    project.write({"app/host.lock": '{"schema":1}\n=======\n'})
    for options in (VERIFY, REQUIRE):
        (problem,) = problems(project, options)
        assert problem.startswith("app/host.lock:2: the line is not JSON")


def test_lock_without_a_lock_file(project: Project) -> None:
    copy(project, "files: []")
    build = BUILD.format(root=project.sysroot)
    project.write({"app/BUILD": build.replace(', sysroot=":host"', "")})
    failure = project.failure("app:image", options=VERIFY)
    assert "[occlum].lock is verify, which needs a lock file, but [occlum].sysroot has" in failure
    assert "the 'sysroot' field in target app:image" in failure
    project.write({"app/BUILD": build.replace(', lockfile="./host.lock"', "")})
    failure = project.failure("app:image", options=REQUIRE)
    assert "but app:host has no `lockfile`" in failure


def test_include_from_the_sysroot_of_another_machine(project: Project) -> None:
    project.host("etc/occlum/more.yaml", b"targets: [{target: /, copy: [{files: [../own]}]}]")
    project.write(
        {
            "app/own": "own",
            "app/bom.yaml": "includes: [more.yaml]",
            "app/BUILD": BUILD.format(root=project.sysroot).replace(
                'source="bom.yaml"',
                'source="bom.yaml", sysroot=":host", include_dirs=["/etc/occlum"]',
            )
            + "files(name='files', sources=['own'])\n    ",
        }
    )
    pin(project)
    before = entries(project.package("app:image", options=REQUIRE))
    assert "/own" in before
    project.sysroot.rename(project.sysroot.with_name("away"))
    assert entries(project.package("app:image", options=REQUIRE)) == before


def test_logs_say_nothing_of_pins_without_a_lock(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    copy(project, "files: []")
    with caplog.at_level(logging.DEBUG):
        project.package("app:image")
    assert "host.lock" not in caplog.text
