"""Kinds of failures that people report in public of images for enclaves and containers.

One function a kind, named after it, with small inputs made for it; the last test records how many
kinds pass, and CI prints that.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from small_system import LIBRARIES, SmallSystem, Told

Kind = Callable[[SmallSystem], None]
KINDS: dict[str, Kind] = {}
_passed: set[str] = set()
TOOLCHAIN = Path("testprojects/toolchain/stand_in.tar.xz").resolve()
# What a program needs besides what a kind is about.
QUIET = ("--allow", "loader", "--allow", "libgcc")


def kind(function: Kind) -> Kind:
    KINDS[function.__name__.strip("_")] = function
    return function


@pytest.fixture
def system(tmp_path: Path) -> SmallSystem:
    return SmallSystem.make(tmp_path)


def files(target: str, *names: str) -> str:
    return f"- {{target: {target}, copy: [{{files: [{', '.join(names)}]}}]}}"


def dirs(target: str, *names: str) -> str:
    return f"- {{target: {target}, copy: [{{dirs: [{', '.join(names)}]}}]}}"


def bom(*targets: str) -> str:
    return "targets:\n" + "\n".join(targets) + "\n"


def copied(system: SmallSystem, *targets: str, code: int = 0) -> Told:
    """The run of a BOM, which must end with a code."""
    told = system.copy_bom(bom(*targets), *QUIET)
    assert told.code == code, told.err
    assert "Traceback" not in told.err
    return told


def silent(system: SmallSystem, *targets: str) -> None:
    told = copied(system, *targets)
    assert [line for line in told.err.splitlines() if "allowed and not shown" not in line] == []


def warned(system: SmallSystem, *targets: str) -> str:
    """The one warning of a BOM that is built."""
    (warning,) = copied(system, *targets).lines("warning")
    return warning


# Libraries


@kind
def library_by_ld_so_conf(system: SmallSystem) -> None:
    system.file("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
    system.file("/etc/ld.so.conf.d/libc.conf", "/usr/local/lib\n")
    library = system.library("/usr/local/lib/libfoo.so.1")
    system.program("/usr/local/bin/m", str(library))
    silent(system, files("/bin", "/usr/local/bin/m"))
    assert system.starts("/bin/m") == ""


@kind
def library_by_ld_so_conf_shadows_another(system: SmallSystem) -> None:
    system.file("/etc/ld.so.conf", "/usr/local/lib\n")
    system.library(f"/{LIBRARIES}/libfoo.so.1", code="int f(void){return 1;}")
    newer = system.library("/usr/local/lib/libfoo.so.1", code="int f(void){return 2;}")
    program = "int f(void); int main(void){return f();}"
    system.program("/bin/m", str(newer), code=program)
    silent(system, files("/bin", "/bin/m"))
    assert subprocess.run(["chroot", system.image, "/bin/m"]).returncode == 2


@kind
def filter_library(system: SmallSystem) -> None:
    system.library("lib/libreal.so")
    system.library("lib/libfilt.so", "-Wl,-F,libreal.so", "-Wl,-rpath,$ORIGIN")
    filt = str(system.place("lib/libfilt.so"))
    system.program("m", filt, "-Wl,-rpath,$ORIGIN/lib")
    silent(system, files("/app", "../m"))
    assert (system.image / "app/lib/libreal.so").is_file()
    assert system.starts("/app/m") == ""


@kind
def missing_library(system: SmallSystem) -> None:
    library = system.library("gone/libgone.so.1")
    system.program("m", str(library))
    library.unlink()
    told = copied(system, files("/bin", "../m"), code=248)
    (error,) = told.lines("error")
    assert "libgone.so.1" in error and "needed by" in told.err
    assert not system.image.exists()


@kind
def library_elsewhere_in_the_image(system: SmallSystem) -> None:
    library = system.library("keep/libkept.so.1")
    system.program("m", str(library))
    warning = warned(system, files("/bin", "../m"), files("/opt/my/lib", "../keep/libkept.so.1"))
    assert "libkept.so.1" in warning and "/opt/my/lib/libkept.so.1" in warning


@kind
def libraries_with_the_runpath_of_the_build_machine(system: SmallSystem) -> None:
    system.library("libb.so")
    system.library("liba.so", str(system.place("libb.so")), "-Wl,-rpath,/build/lib")
    told = copied(system, files("/app/lib", "../liba.so", "../libb.so"))
    assert "`autodep: false`" in told.err and "/app/lib/libb.so" in told.err


@kind
def java_native_interface_without_noise(system: SmallSystem) -> None:
    jvm = system.library("jdk/lib/server/libjvm.so")
    system.file("jdk/lib/modules")
    for number in range(20):
        system.library(f"jdk/lib/libjni{number}.so", str(jvm), "-Wl,--no-as-needed")
    told = copied(system, dirs("/opt", "../jdk"))
    about = [line for line in told.err.splitlines() if "libjvm.so" in line and "JAVA" not in line]
    assert told.lines("note") and len(about) <= 3
    assert not [line for line in told.lines("warning") if "is missing" in line]


@kind
def ld_library_path_of_the_caller(system: SmallSystem) -> None:
    library = system.library("extra/libx.so.1")
    system.program("m", str(library))
    env = {"LD_LIBRARY_PATH": str(system.place("extra"))}
    told = system.copy_bom(bom(files("/bin", "../m")), env=env)
    assert told.code == 248
    assert "LD_LIBRARY_PATH leads to" in told.err and "plays no part" in told.err


@kind
def wheel_with_its_own_libraries(system: SmallSystem) -> None:
    system.library("venv/numpy.libs/libblas-1a2b.so")
    blas = str(system.place("venv/numpy.libs/libblas-1a2b.so"))
    system.library("venv/numpy/core.so", blas, "-Wl,-rpath,$ORIGIN/../numpy.libs")
    silent(system, dirs("/opt", "../venv"))


@kind
def prefix_like_conda(system: SmallSystem) -> None:
    library = system.library("env/lib/libpy.so.1")
    system.program("env/bin/py3.11", str(library), "-Wl,-rpath,$ORIGIN/../lib")
    silent(system, files("/bin", "{name: ../env/bin/py3.11, rename: py}"))
    assert (system.image / "lib/libpy.so.1").is_file()
    assert system.starts("/bin/py") == ""


# Links and what an output cannot carry


@kind
def directory_named_by_a_link(system: SmallSystem) -> None:
    system.file("releases/42/bin/run", "#!/bin/sh\n", 0o644)
    system.link("current", "releases/42")
    system.file("/usr/lib/jvm/java-17/release", "17")
    system.link("/usr/lib/jvm/default", "/usr/lib/jvm/java-17")
    silent(system, dirs("/opt/app", "../current"), dirs("/opt", "/usr/lib/jvm/default"))
    assert not (system.image / "opt/app/current").is_symlink()
    assert (system.image / "opt/app/current/bin/run").is_file()
    assert (system.image / "opt/default/release").read_text() == "17"


@kind
def link_to_nothing(system: SmallSystem) -> None:
    system.link("conf/a", "/etc/gone")
    warning = warned(system, dirs("/etc", "../conf"))
    assert "/etc/conf/a -> /etc/gone leads to nothing" in warning


@kind
def links_of_a_merged_usr(system: SmallSystem) -> None:
    system.program("/usr/bin/tool")
    links = "[{src: usr/bin, linkname: bin}, {src: usr/lib, linkname: lib}, "
    links += "{src: usr/lib64, linkname: lib64}]"
    silent(
        system,
        f"- {{target: /, mkdirs: [usr/bin, usr/lib, usr/lib64], createlinks: {links}}}",
        files("/usr/bin", "/usr/bin/tool"),
    )
    assert (system.image / "usr/bin/tool").is_file()
    assert system.starts("/bin/tool") == ""


@kind
def zone_file_by_rename(system: SmallSystem) -> None:
    system.file("/usr/share/zoneinfo/Etc/UTC", "TZif")
    system.link("/etc/localtime", "/usr/share/zoneinfo/Etc/UTC")
    silent(system, files("/etc", "{name: /etc/localtime, rename: localtime}"))
    assert not (system.image / "etc/localtime").is_symlink()


@kind
def capabilities(system: SmallSystem) -> None:
    program = system.file("ping", "data", 0o755)
    value = bytes.fromhex("0100000200200000000000000000000000000000")
    try:
        os.setxattr(program, "security.capability", value)
    except OSError as error:
        pytest.skip(f"no capability can be set here: {error}")
    assert "security.capability" in warned(system, files("/opt", "../ping"))


@kind
def sparse_file(system: SmallSystem) -> None:
    disk = system.file("disk.img")
    with open(disk, "r+b") as file:
        file.truncate(1 << 30)
    assert "0 of 1,024 MiB on disk" in warned(system, files("/data", "../disk.img"))
    assert (system.image / "data/disk.img").stat().st_blocks * 512 < 1 << 20


@kind
def directory_for_everybody(system: SmallSystem) -> None:
    silent(system, '- {target: /, mkdirs: [{path: tmp, mode: "1777"}]}')
    assert (system.image / "tmp").stat().st_mode & 0o7777 == 0o1777


# Programs that are plainly in use, and what they lack


def lacking(system: SmallSystem, what: str, *targets: str) -> None:
    told = copied(system, *targets)
    assert any(what in line for line in told.lines("warning")), told.err


@kind
def node_without_its_built_in_modules(system: SmallSystem) -> None:
    text = 'const char *p = "/usr/share/nodejs/cjs-module-lexer/lexer.js";'
    library = system.library(f"/{LIBRARIES}/libnode.so.108", code=text)
    system.program("/usr/bin/node", str(library))
    lacking(system, "/usr/share/nodejs", files("/usr/bin", "/usr/bin/node"))


@kind
def nginx_without_a_module(system: SmallSystem) -> None:
    system.program("/usr/sbin/nginx")
    module = "modules/ngx_http_echo_module.so"
    system.file("/etc/nginx/nginx.conf", "include /etc/nginx/modules-enabled/*.conf;\n")
    system.file("/etc/nginx/modules-enabled/echo.conf", f"load_module {module};\n")
    wanted = (files("/usr/sbin", "/usr/sbin/nginx"), dirs("/etc", "/etc/nginx"))
    lacking(system, "ngx_http_echo_module.so", *wanted)


@kind
def php_without_an_extension(system: SmallSystem) -> None:
    system.program("/usr/bin/php8.2")
    system.file("/etc/php/8.2/cli/conf.d/10-pdo.ini", "extension=pdo.so\n")
    lacking(system, "pdo", files("/usr/bin", "/usr/bin/php8.2"), dirs("/etc", "/etc/php"))


INTERPRETERS = {
    "perl": "/usr/bin/perl",
    "ruby": "/usr/bin/ruby3.1",
    "tcl": "/usr/bin/tclsh8.6",
}


@kind
def interpreters_without_their_libraries(system: SmallSystem) -> None:
    for path in INTERPRETERS.values():
        system.program(path)
        lacking(system, path, files("/usr/bin", path))


@kind
def java_launcher_alone(system: SmallSystem) -> None:
    library = system.library("/usr/lib/jvm/j/lib/libjli.so")
    system.program("/usr/lib/jvm/j/bin/java", str(library), "-Wl,-rpath,$ORIGIN/../lib")
    path = "/usr/lib/jvm/j/bin"
    lacking(system, "ava", files(path, f"{path}/java"))


@kind
def java_runtime_by_hand(system: SmallSystem) -> None:
    home = "/usr/lib/jvm/j"
    system.library(f"{home}/lib/server/libjvm.so")
    system.file(f"{home}/lib/modules", "modules")
    lacking(system, "libjava.so", dirs("/usr/lib/jvm", home))


@kind
def python_without_lib_dynload(system: SmallSystem) -> None:
    system.program("/usr/bin/python3.11")
    for module in ("encodings/__init__", "collections/__init__", "json/__init__", "os"):
        system.file(f"/usr/lib/python3.11/{module}.py")
    wanted = (files("/usr/bin", "/usr/bin/python3.11"), dirs("/usr/lib", "/usr/lib/python3.11"))
    lacking(system, "lib-dynload", *wanted)


@kind
def image_magick_without_coders(system: SmallSystem) -> None:
    ltdl = system.library(f"/{LIBRARIES}/libltdl.so.7")  # which loads the coders
    library = system.library(f"/{LIBRARIES}/libMagickCore-6.Q16.so.6", str(ltdl))
    system.program("/usr/bin/convert-im6.q16", str(library))
    lacking(system, "coders", files("/usr/bin", "/usr/bin/convert-im6.q16"))


@kind
def driver_of_odbc(system: SmallSystem) -> None:
    library = system.library(f"/{LIBRARIES}/libodbc.so.2")
    system.program("/usr/bin/isql", str(library))
    system.file("/etc/odbcinst.ini", "[PostgreSQL]\nDriver=psqlodbca.so\n")
    wanted = (files("/usr/bin", "/usr/bin/isql"), files("/etc", "/etc/odbcinst.ini"))
    lacking(system, "psqlodbca.so", *wanted)


@kind
def postgres_without_its_files(system: SmallSystem) -> None:
    system.program("/usr/lib/postgresql/15/bin/postgres")
    path = "/usr/lib/postgresql/15/bin"
    lacking(system, "postgres", files(path, f"{path}/postgres"))


@kind
def fonts_of_java(system: SmallSystem) -> None:
    home = "jdk/lib"
    system.library(f"{home}/server/libjvm.so")
    for name in ("java", "jimage", "awt", "fontmanager", "net", "nio", "zip", "verify"):
        system.library(f"{home}/lib{name}.so")
    system.file(f"{home}/modules", "modules")
    told = copied(system, dirs("/opt", "../jdk"))
    assert any("font" in line for line in told.lines("note")), told.err


# Enclaves


def instance(system: SmallSystem) -> None:
    """Make work/inst a fresh instance with a whole image."""
    subprocess.run(["tar", "-xf", str(TOOLCHAIN), "-C", str(system.work)], check=True)
    shutil.rmtree(system.work / "inst")
    (system.work / "inst").mkdir()
    told = system.run("init", "--toolchain", str(toolchain(system)))
    assert told.code == 0, told.err


def toolchain(system: SmallSystem) -> Path:
    (found,) = system.work.glob("**/opt/occlum")
    return found


def build(system: SmallSystem, *options: str, **config: object) -> Told:
    """Build with other members of Occlum.json."""
    path = system.work / "inst/Occlum.json"
    original = path.read_text()
    path.write_text(json.dumps({**json.loads(original), **config}))
    told = system.run("build", "--toolchain", str(toolchain(system)), *options)
    path.write_text(original)
    assert "Traceback" not in told.err
    return told


def program_in_image(system: SmallSystem, name: str, *flags: str) -> None:
    system.program(f"made/{name}", *flags)
    shutil.copy(system.place(f"made/{name}"), system.image / "bin" / name)


@kind
def mounts_that_fail_at_boot(system: SmallSystem) -> None:
    instance(system)
    (system.image / "bin/cat").write_text("")
    config = json.loads((system.work / "inst/Occlum.json").read_text())
    sefs = {"target": "/", "type": "sefs", "source": "x"}
    hostfs = {"target": "/", "type": "hostfs", "source": "."}
    for mount in (
        {"target": "/host", "type": "hostfs"},
        {"target": "/tmp", "type": "sefs"},
        {"target": "/nosuch/dir", "type": "ramfs"},
        {"target": "/bin/cat", "type": "ramfs"},
        {"target": "/tmp", "type": "unionfs", "options": {"layers": [sefs]}},
        {"target": "/tmp", "type": "unionfs", "options": {"layers": [hostfs, sefs]}},
    ):
        told = build(system, mount=[config["mount"][0], mount])
        assert told.lines("warning") or told.code, mount
    root = json.loads(json.dumps(config["mount"][0]))
    for layer in root["options"]["layers"][1:]:
        layer.pop("source", None)
    assert build(system, mount=[root]).lines("warning")


@kind
def programs_that_the_libos_refuses(system: SmallSystem) -> None:
    instance(system)
    program_in_image(system, "static", "-static", "-no-pie")
    program_in_image(system, "fixed", "-no-pie")
    told = build(system)
    assert "not position-independent" in told.err and "/bin/static" in told.err
    assert "/bin/fixed" in told.err
    assert build(system, entry_points=["/bin/static"]).code == 1


@kind
def scripts_that_the_libos_refuses(system: SmallSystem) -> None:
    instance(system)
    for name, line in (("env", "/usr/bin/env python3"), ("option", "/bin/sh -e")):
        script = system.image / "bin" / name
        script.write_text(f"#!{line}\n")
        script.chmod(0o755)
    told = build(system)
    assert "/bin/env" in told.err and "/bin/option" in told.err


@kind
def encrypted_without_a_way_to_the_key(system: SmallSystem) -> None:
    instance(system)
    key = system.work / "key"
    assert system.run("gen-image-key", str(key)).code == 0
    told = build(system, "--image-key", str(key))
    assert told.code == 0
    assert any("/etc/image_key" in line for line in told.lines("warning")), told.err
    told = build(system, "--image-key", str(key), "--buildin-image-key")
    assert "looks for" not in told.err


@kind
def sizes_that_cannot_start_a_process(system: SmallSystem) -> None:
    instance(system)
    limits = json.loads((system.work / "inst/Occlum.json").read_text())["resource_limits"]
    limits = {**limits, "user_space_size": "4MB", "user_space_max_size": "4MB"}
    process = {
        "default_stack_size": "4MB",
        "default_heap_size": "65536MB",
        "default_mmap_size": "1MB",
    }
    told = build(system, resource_limits=limits, process=process)
    assert any("default_heap_size" in line for line in told.lines("warning")), told.err


@kind
def configuration_of_an_older_occlum(system: SmallSystem) -> None:
    instance(system)
    path = system.work / "inst/Occlum.json"
    config = json.loads(path.read_text())
    del config["feature"]
    path.write_text(json.dumps(config))
    told = system.run("build", "--toolchain", str(toolchain(system)))
    assert told.code == 1
    assert "feature" in told.err and "0." in told.err.partition("hint:")[2]


@kind
def entry_points_that_are_nowhere(system: SmallSystem) -> None:
    instance(system)
    told = build(system, entry_points=["/nowhere"])
    assert told.code == 1 and "/nowhere" in told.err


@kind
def instance_built_elsewhere_and_later(system: SmallSystem) -> None:
    instance(system)
    first = build(system).out
    copy = system.work / "copy"
    shutil.copytree(system.work / "inst", copy, symlinks=True)
    for path in copy.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    shutil.rmtree(system.work / "inst")
    copy.rename(system.work / "inst")
    assert build(system, "--force").out.split()[-1] == first.split()[-1]


@kind
def musl_library_where_the_loader_does_not_look(system: SmallSystem) -> None:
    if shutil.which("musl-gcc") is None:
        pytest.skip("there is no musl-gcc on this machine")
    library = system.library("/usr/lib/x86_64-linux-musl/libm1.so")
    source = system.file("m.c", "int main(void){return 0;}")
    program = system.place("m")
    command = ["musl-gcc", str(source), "-o", str(program), "-Wl,--no-as-needed", str(library)]
    subprocess.run(command, check=True)
    shutil.copy(
        os.path.realpath("/lib/ld-musl-x86_64.so.1"), system.root / "lib/ld-musl-x86_64.so.1"
    )
    told = copied(system, files("/bin", "../m"), code=248)
    assert "/usr/lib/x86_64-linux-musl/libm1.so" in told.err.partition("hint:")[2]


@kind
def merged_directories_of_a_system(system: SmallSystem) -> None:
    system.file("ubin/perl", "p")
    system.file("ulib/perl/x", "m")
    warning = warned(system, "- {target: /opt, copy: [{dirs: [../ubin/, ../ulib/]}]}")
    assert "/opt/perl" in warning
    assert (system.image / "opt/perl/x").is_file()


@pytest.mark.parametrize("name", sorted(KINDS))
def test_kind(name: str, system: SmallSystem) -> None:
    KINDS[name](system)
    _passed.add(name)


def test_every_kind_passes(record_property: Callable[[str, object], None]) -> None:
    record_property("kinds of public reports that pass", f"{len(_passed)} of {len(KINDS)}")
    assert _passed == set(KINDS)
