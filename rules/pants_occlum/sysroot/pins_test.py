from __future__ import annotations

import json
import logging
import subprocess
from pathlib import Path

import pytest

from pants_occlum.testing import entries
from pants_occlum.testing_lock import LockProject

VERIFY = ("--occlum-lock=verify",)
REQUIRE = ("--occlum-lock=require",)
HINT = "generate-lockfiles --resolve=app:host"


@pytest.fixture
def project(tmp_path: Path) -> LockProject:
    return LockProject(tmp_path)


def problems(project: LockProject, options: tuple[str, ...]) -> list[str]:
    text = project.failure("app:image", options=options)
    assert text.startswith("app:image cannot be built, ")
    return text.split("\n\n")[1:]


def test_verify_tells_all_that_moved_by_package(project: LockProject) -> None:
    project.install("1.9", b"tool")
    project.host("etc/app/one", b"1")
    project.host("etc/app/two", b"2")
    project.host("etc/three", b"3")
    project.copy("files: [/usr/bin/tool, /etc/three], dirs: [/etc/app]")
    project.pin()
    before = entries(project.package("app:image", options=VERIFY))
    assert entries(project.package("app:image")) == before

    project.install("1.10", b"new!")
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
    project.pin()
    assert "/app/new" in entries(project.package("app:image", options=VERIFY))


def test_verify_tells_of_what_is_not_pinned_yet_and_of_what_is_gone(project: LockProject) -> None:
    project.install("1.9", b"tool")
    project.host("etc/app/one", b"1")
    project.copy("files: [/usr/bin/tool]")
    project.pin()
    project.copy("dirs: [/etc/app]")
    (problem,) = problems(project, VERIFY)
    assert "of no package: not pinned /etc, /etc/app and /etc/app/one" in problem
    # The error of the plan itself comes first; what its hint looked at is no news.
    project.host("usr/bin/toil")
    (project.sysroot / "usr/bin/tool").unlink()
    project.copy("files: [/usr/bin/tool]")
    missing, gone = problems(project, VERIFY)
    assert "did you mean /usr/bin/toil?" in missing
    assert "  tool 1.9: gone /usr/bin/tool\n" in gone
    assert "toil" not in gone


def program(project: LockProject) -> None:
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
    project.copy("files: [/bin/app]")


def intrude(project: LockProject) -> None:
    """Put a library into the directory that is searched first."""
    library = (project.sysroot / "opt/second/libown.so").read_bytes()
    project.host("opt/first/libown.so", library + b"another")


def test_new_library_in_an_earlier_directory(project: LockProject) -> None:
    program(project)
    project.pin()
    before = entries(project.package("app:image"))
    intrude(project)
    assert "/opt/first/libown.so" in entries(project.package("app:image"))
    (problem,) = problems(project, VERIFY)
    assert "of no package: not pinned /opt/first/libown.so\n" in problem
    # Where pins are required, the library does not exist.
    assert entries(project.package("app:image", options=REQUIRE)) == before


def test_require_makes_the_same_image(project: LockProject) -> None:
    (project.sysroot / "usr/lib").mkdir(parents=True)
    (project.sysroot / "lib").symlink_to("usr/lib")
    project.host("usr/lib/data/one", b"1", 0o4755)
    project.host("usr/lib/data/sub/two", b"2")
    (project.sysroot / "usr/lib/data/link").symlink_to("sub/two")
    (project.sysroot / "usr/lib/data/empty").mkdir(mode=0o700)
    project.host("etc/a.conf", b"a")
    project.host("etc/b.conf", b"b")
    project.copy("dirs: [/lib/data], files: [/etc/*.conf, /lib/data/link]")
    project.pin()
    found = project.package("app:image")
    plain = [(found / name).read_bytes() for name in ("manifest.json", "image.tar")]
    assert entries(found)["/data/one"]["mode"] == "4755"
    found = project.package("app:image", options=REQUIRE)
    assert [(found / name).read_bytes() for name in ("manifest.json", "image.tar")] == plain
    found = project.package("app:image", options=VERIFY)
    assert [(found / name).read_bytes() for name in ("manifest.json", "image.tar")] == plain


def merge_usr(project: LockProject, above: str) -> None:
    """Move the programs and libraries below /usr, as Debian and Ubuntu have them."""
    for name in ("bin", "lib64"):
        (project.sysroot / "usr").mkdir(exist_ok=True)
        (project.sysroot / name).rename(project.sysroot / "usr" / name)
        (project.sysroot / name).symlink_to(f"{above}usr/{name}")


@pytest.mark.parametrize("above", ["", "/"])
def test_merged_usr(project: LockProject, above: str) -> None:
    program(project)
    plain = entries(project.package("app:image"))
    merge_usr(project, above)
    project.dpkg("2.1", "/bin/app", "/lib64/ld-linux-x86-64.so.2")
    project.pin()
    lock = project.lock.read_text()
    owned = [line["path"] for line in map(json.loads, lock.splitlines()) if "package" in line]
    assert owned == ["/usr/bin/app", "/usr/lib64/ld-linux-x86-64.so.2"]
    for options in (VERIFY, REQUIRE):
        found = entries(project.package("app:image", options=options))
        assert found.keys() == plain.keys()
        assert [one.get("sha256") for one in found.values()] == [
            one.get("sha256") for one in plain.values()
        ]


def test_require_knows_only_what_is_pinned(project: LockProject) -> None:
    project.host("etc/a.conf", b"a")
    project.host("etc/b.txt", b"b")
    project.host("opt/x/file", b"x")
    project.copy("files: [/etc/*.conf]")
    project.pin()
    hint = f"only what app/host.lock pins counts; pin what is there: pants {HINT}"

    # A file that came later is not in the pinned listing.
    project.host("etc/c.conf", b"c")
    assert list(entries(project.package("app:image", options=REQUIRE))) == ["/", "/a.conf"]

    project.copy("files: [/opt/x/file]")
    (problem,) = problems(project, REQUIRE)
    assert "there is no file /opt/x/file" in problem and hint in problem
    project.copy("files: [/a.conf]")
    (problem,) = problems(project, REQUIRE)
    assert "there is no file /a.conf" in problem and hint in problem
    project.copy("dirs: [/opt/x]")
    (problem,) = problems(project, REQUIRE)
    assert "there is no directory /opt/x" in problem and hint in problem
    project.copy("files: [/*/file]")
    (problem,) = problems(project, REQUIRE)
    assert "the names in it are not pinned in app/host.lock" in problem
    project.copy("dirs: [/etc/]")
    assert problems(project, REQUIRE) == [
        "app/bom.yaml:1:38: /etc/b.txt cannot be read: its content is not pinned in app/host.lock"
    ]


def test_require_does_not_care_for_what_is_not_used(project: LockProject) -> None:
    project.install("1.0", b"tool")
    project.host("etc/other", b"1")
    project.copy("files: [/usr/bin/tool, /etc/other]")
    project.pin()
    project.copy("files: [/usr/bin/tool]")
    project.host("etc/other", b"2")
    assert list(entries(project.package("app:image", options=REQUIRE))) == ["/", "/tool"]


def test_require_with_a_file_that_changed(project: LockProject) -> None:
    project.install("1.9", b"tool")
    project.host("etc/other", b"1")
    project.host("etc/gone", b"1")
    project.copy("files: [/usr/bin/tool, /etc/other, /etc/gone]")
    project.pin()
    project.copy("files: [/usr/bin/tool]")
    project.install("1.10", b"new!")
    project.host("etc/other", b"2")
    (project.sysroot / "etc/gone").unlink()
    (problem,) = problems(project, REQUIRE)
    # All that changed is told, also what other images use.
    assert problem.splitlines()[1:3] == [
        "  tool 1.9 -> 1.10: changed /usr/bin/tool",
        "  of no package: changed /etc/other",
    ]
    assert HINT in problem


def test_require_with_a_file_that_changed_since_the_archive_was_made(project: LockProject) -> None:
    project.write({"app/BUILD": project.build.replace('["dir", "tar"]', '["tar"]')})
    project.host("etc/data", b"1")
    project.copy("files: [/etc/data]")
    project.pin()
    project.package("app:image", options=REQUIRE)
    project.host("etc/data", b"2")
    (problem,) = problems(project, REQUIRE)
    assert "  of no package: changed /etc/data" in problem.splitlines()


def test_require_without_the_file(project: LockProject) -> None:
    project.install("1.9", b"tool")
    project.host("etc/other", b"1")
    project.copy("files: [/usr/bin/tool, /etc/other]")
    project.pin()
    (project.sysroot / "usr/bin/tool").unlink()
    (project.sysroot / "etc/other").unlink()
    for formats in ('["tar"]', '["dir"]'):
        build = project.build.replace('["dir", "tar"]', formats)
        project.write({"app/BUILD": build})
        (problem,) = problems(project, REQUIRE)
        assert "pins files that are not in" in problem
    first, *moved, hint = problem.splitlines()
    assert first.startswith(f"app/host.lock pins files that are not in {project.sysroot}, and no ")
    assert moved == ["  tool 1.9: gone /usr/bin/tool", "  of no package: gone /etc/other"]
    assert "share_host_files" in hint and HINT in hint
    project.sysroot.rename(project.sysroot.with_name("away"))
    (problem,) = problems(project, REQUIRE)
    assert "  tool 1.9 (not installed): gone /usr/bin/tool\n" in problem


def test_contents_in_the_local_store_serve(project: LockProject) -> None:
    program(project)
    project.pin()
    before = entries(project.package("app:image"))
    project.sysroot.rename(project.sysroot.with_name("away"))
    assert entries(project.package("app:image", options=REQUIRE)) == before


def test_sharing_changes_nothing(project: LockProject) -> None:
    project.host("etc/small", b"1")
    project.host("etc/large", b"large" * 1_000_000)
    project.copy("files: [/etc/small, /etc/large]")
    found = project.package("app:image")
    plain = (found / "image.tar").read_bytes()
    again = project.package("app:image", options=("--occlum-share-host-files",))
    assert (again / "image.tar").read_bytes() == plain
    assert (project.sysroot / "etc/large").read_bytes() == b"large" * 1_000_000


def test_lock_file_that_is_missing_or_damaged(project: LockProject) -> None:
    project.copy("files: []")
    for options in (VERIFY, REQUIRE):
        (problem,) = problems(project, options)
        assert "there is no lock file app/host.lock that Pants sees" in problem
        assert HINT in problem
    project.write({"app/host.lock": '{"schema":1}\n=======\n'})
    for options in (VERIFY, REQUIRE):
        (problem,) = problems(project, options)
        assert problem.startswith("app/host.lock:2: the line is not JSON")
    project.write({"app/host.lock": '{"schema":1}\n' + "[" * 100_000 + "\n"})
    for options in (VERIFY, REQUIRE):
        (problem,) = problems(project, options)
        assert problem.startswith("app/host.lock:2: the line is nested more than 64 levels deep")


def test_lock_file_that_is_too_large(project: LockProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pants_occlum.sysroot.pins.LOCK_BYTES", 1024)
    project.copy("files: []")
    project.write({"app/host.lock": '{"schema":2}\n' * 100})
    for options in (VERIFY, REQUIRE):
        (problem,) = problems(project, options)
        assert "app/host.lock cannot be read: it has more than the 1 KiB" in problem


def test_lock_without_a_lock_file(project: LockProject) -> None:
    project.copy("files: []")
    project.write({"app/BUILD": project.build.replace(', sysroot=":host"', "")})
    failure = project.failure("app:image", options=VERIFY)
    assert "[occlum].lock is verify, which needs a lock file, but [occlum].sysroot has" in failure
    assert "the 'sysroot' field in target app:image" in failure
    project.write({"app/BUILD": project.build.replace(', lockfile="./host.lock"', "")})
    failure = project.failure("app:image", options=REQUIRE)
    assert "but app:host has no `lockfile`" in failure


def test_include_from_the_sysroot_of_another_machine(project: LockProject) -> None:
    project.host("etc/occlum/more.yaml", b"targets: [{target: /, copy: [{files: [../own]}]}]")
    project.write(
        {
            "app/own": "own",
            "app/bom.yaml": "includes: [more.yaml]",
            "app/BUILD": project.build.replace(
                'source="bom.yaml"',
                'source="bom.yaml", sysroot=":host", include_dirs=["/etc/occlum"]',
            )
            + "files(name='files', sources=['own'])\n",
        }
    )
    project.pin()
    before = entries(project.package("app:image", options=REQUIRE))
    assert "/own" in before
    project.sysroot.rename(project.sysroot.with_name("away"))
    assert entries(project.package("app:image", options=REQUIRE)) == before


def test_logs_say_nothing_of_pins_without_a_lock(
    project: LockProject, caplog: pytest.LogCaptureFixture
) -> None:
    project.copy("files: []")
    with caplog.at_level(logging.DEBUG):
        project.package("app:image")
    assert "host.lock" not in caplog.text
