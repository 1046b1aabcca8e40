"""No name or value of others moves the cursor, hides or forges a line, whatever prints it.

One function a source of names: a BOM's text, files, ELF files, archives, JSON, arguments, the
environment. Each is tried with all names, through every verb that reads such a source; the last
test records how many runs were looked at.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from hostile import evil_packages, evil_reports, evil_scripts
from hostile.evil_names import (
    BOMS,
    CONFIGS,
    LOOKED_AT,
    MAC,
    NAMES,
    XMLS,
    Env,
    World,
    command_lines,
    elf_files_of,
    main_in,
)
from occlum_build.cli import copy_bom_command, main, occlum_command
from occlum_build.occlum.archive import _step as unpack_toolchain
from occlum_build.oci.layout import REF_NAME
from occlum_build.process.step import run_step
from tiny_elf import tiny_elf
from toolchain.make_toolchain import make_toolchain

# These sources take their time; these names go other ways than one another.
LONG = (
    *("instances", "look_at_archives", "look_at_locks", "look_at_scripts"),
    "what_somebody_else_built",
)
SOME_NAMES = ("forged line", "C1", "bytes", "unseen")
Source = Callable[[World], None]
SOURCES: dict[str, Source] = {}


def source(function: Source) -> Source:
    SOURCES[function.__name__.strip("_")] = function
    return function


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toolchain(tmp_path_factory.mktemp("tc"))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key.pem"
    command = ["openssl", "genrsa", "-3", "-out", str(path), "3072"]
    subprocess.run(command, check=True, capture_output=True)
    path.chmod(0o600)
    return path


@source
def text_of_a_bom(world: World) -> None:
    for bom in BOMS:
        count = bom.count("%s")
        world.copy_bom(bom % ((json.dumps(world.text),) * count))
        # As it stands, which is no YAML where it has control characters.
        world.copy_bom(bom % ((world.name,) * count))


@source
def names_of_files(world: World) -> None:
    names = world.source
    (names / world.name).write_text("x")
    (names / f"{world.name}.fifo").parent.mkdir(exist_ok=True)
    os.mkfifo(names / f"{world.name}.fifo")
    (names / "dangling").symlink_to(world.name + "gone")
    (names / f"{world.name}.loop").symlink_to(".")
    (names / f"{world.name}.d").mkdir()
    (names / f"{world.name}.d/f").write_text("x")
    whole = "targets: [{target: /, copy: [{dirs: [src/]}]}]"
    world.copy_bom(whole)
    world.copy_bom(whole, env={"OCCLUM_LOG_LEVEL": "info"})
    os.unlink(names / f"{world.name}.loop")
    os.unlink(names / f"{world.name}.fifo")
    os.unlink(names / "dangling")
    world.copy_bom(whole, env={"OCCLUM_LOG_LEVEL": "info"})
    world.copy_bom(whole, "--why", f"/{world.name}")
    world.copy_bom(whole, "--sync", env={"OCCLUM_LOG_LEVEL": "info"})
    shutil.rmtree(world.path / "image", ignore_errors=True)
    (world.path / "image").mkdir()
    (world.path / "image" / world.name).write_text("other")
    world.run("copy-bom", "-f", "bom.yaml", "--root", "image")
    world.run("sefs", "zip", "src", "img", "img.mac")
    world.run("sefs", "ls", "img")
    world.run("sefs", "verify", "img", "--mac", MAC)
    manifest = {"schema": 1, "entries": [{"path": "/x", "type": "file", "mode": "0644"}]}
    (world.path / "m.json").write_text(json.dumps(manifest))
    world.run("sefs", "zip", "src", "img2", "img2.mac", "--manifest", "m.json")
    world.run("sefs", "unzip", "img", "out")
    for node in sorted((world.path / "img").iterdir() if (world.path / "img").is_dir() else ()):
        os.truncate(node, os.path.getsize(node) // 2)
    world.run("sefs", "verify", "img")


@source
def elf_files(world: World) -> None:
    world.make_system()
    for name, data in elf_files_of(world.bytes).items():
        (world.source / name).write_bytes(data)
        (world.source / name).chmod(0o755)
        told = world.copy_bom(f"targets: [{{target: /bin, copy: [{{files: [src/{name}]}}]}}]")
        assert name in ("soname", "runpath") or "error: " in told or "warning: " in told, told


@source
def scripts_and_settings(world: World) -> None:
    (world.source / "run").write_bytes(b"#!" + world.bytes + b"\necho\n")
    (world.source / "run").chmod(0o755)
    world.copy_bom("targets: [{target: /bin, copy: [{files: [src/run]}]}]")
    program = tiny_elf("", ["libgone.so"], "/lib64/ld-linux-x86-64.so.2", versions=())
    (world.source / "m").write_bytes(program)
    (world.source / "m").chmod(0o755)
    world.make_system()
    bom = "targets: [{target: /bin, copy: [{files: [src/m]}]}]"
    for text in (b"/lib/%s\n", b"include /%s\n", b"%s\n"):
        (world.path / "sys/etc/ld.so.conf").write_bytes(text.replace(b"%s", world.bytes))
        world.copy_bom(bom)
    for text in (b"%s %s\n", b"/lib64/ld-linux-x86-64.so.2 /%s:/b\n", b"/%s /%s\n"):
        config = world.path / "loader.config"
        config.write_bytes(text.replace(b"%s", world.bytes))
        world.copy_bom(bom, "--loader-config", "loader.config")
        world.copy_bom(bom, env={"LD_LIBRARY_PATH": f"{world.source}:{world.name}"})


@source
def zip_archives(world: World) -> None:
    buffer = io.BytesIO()
    text = world.text
    with zipfile.ZipFile(buffer, "w") as archive:
        elf = tiny_elf("", [text], versions=()).ljust(200, b"\0")
        archive.writestr(f"{text}.so", elf)
        archive.writestr("lib/a.so", elf)
        archive.writestr(f"{text}/b.so", b"\x7fELF" + b"\xff" * 200)
    (world.source / "a.jar").write_bytes(buffer.getvalue())
    data = b"#!/" + world.bytes.replace(b"\n", b" ") + b"\n" + buffer.getvalue()
    (world.source / "a.pex").write_bytes(data)
    (world.source / "a.pex").chmod(0o755)
    world.make_system()
    for name in ("a.jar", "a.pex"):
        world.copy_bom(f"targets: [{{target: /bin, copy: [{{files: [src/{name}]}}]}}]")


USAGE = "archive ARCHIVE MODE VERSION OUT"


@source
def toolchain_archives(world: World) -> None:
    header = b"#define OCCLUM_MAJOR_VERSION 0\n#define OCCLUM_MINOR_VERSION 31\n"
    header += b"#define OCCLUM_PATCH_VERSION 0\n"
    for number, (version, name, link) in enumerate(
        [
            ("0.31.0", f"{world.name}/opt/occlum", ""),
            (world.name, "opt/occlum", ""),
            ("", f"{world.name}/opt/occlum", world.name),
        ]
    ):
        path = world.path / f"{number}.tar"
        with tarfile.open(path, "w") as tar:
            info = tarfile.TarInfo(f"{name}/include/occlum_version.h")
            info.size = len(header)
            tar.addfile(info, io.BytesIO(header))
            info = tarfile.TarInfo(f"{name}/build/bin/init")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
        for archive in (path.name, f"{world.name}.tar"):
            step = partial(run_step, unpack_toolchain, (archive, "HW", version, "out"), USAGE)
            world.call(step, "occlum.archive")


@source
def configurations(world: World) -> None:
    template = world.toolchain / "etc/template/Occlum.json"
    whole = json.loads(template.read_text())
    text = world.text
    for config in CONFIGS:
        value = config % ((json.dumps(text),) * config.count("%s"))
        with contextlib.suppress(ValueError):
            value = json.dumps({**whole, **json.loads(value)})
        (world.path / "Occlum.json").write_text(value)
        gen = ("gen-conf", "--config", "Occlum.json", "--enclave-xml", "x", "--sys-json", "s")
        world.run(*gen, "--image-mac", MAC, "--initfs-mac", MAC)
        raw = config.replace("%s", '"%s"').encode().replace(b"%s", world.bytes)
        (world.path / "Occlum.json").write_bytes(raw)
        world.run(*gen, "--image-mac", world.name, "--initfs-mac", MAC)
    libos = str(world.toolchain / "build/lib/libocclum-libos.so.0.31.0")
    for xml in XMLS:
        (world.path / "e.xml").write_bytes(xml.replace(b"%s", world.bytes))
        world.run("gendata", "--enclave", libos, "--config", "e.xml", "--out", "data")


@source
def instances(world: World) -> None:
    """A measurement.json, manifest and status that somebody gave, and names in the image."""
    instance = world.instance()
    key = str(world.path / "key.pem")

    def build(*options: str, env: Env | None = None) -> str:
        command = ("build", "--toolchain", str(world.toolchain), "--sign-key", key, *options)
        return world.call(partial(main_in, instance, command), "build", env)

    assert "built: " in build()
    measured = json.loads((instance / "measurement.json").read_text())
    text = world.text
    for section in ("toolchain", "settings", "config", "initfs", "image"):
        changed = json.loads(json.dumps(measured))
        changed["inputs"].setdefault(section, {})[text] = text
        for one in changed["inputs"][section]:
            changed["inputs"][section][one] = text
        changed["mrenclave"] = text
        (instance / "measurement.json").write_text(json.dumps(changed, ensure_ascii=False))
        told = build("--expected-mrenclave", "1" * 64)
        assert "MRENCLAVE is " in told or "measurement.json" in told, told
    manifest = {
        "schema": 1,
        "entries": [{"path": f"/{text}", "type": text, "mode": text, "sha256": text}],
    }
    (instance / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False))
    build("--expected-mrenclave", "1" * 64)
    (instance / "image" / world.name).write_text("x")
    (instance / "image/bin/l").parent.mkdir(exist_ok=True)
    (instance / "image/bin/l").symlink_to(world.name)
    build()
    build("--expected-mrenclave", world.name)
    build("--allow", world.name)
    build("--date", world.name)
    for name in ("SGX_MODE", "ENABLE_EDMM", "SOURCE_DATE_EPOCH", "OCCLUM_TOOLCHAIN"):
        build(env={name: world.name})
    for name in (".__occlum_status", ".sgx_mode", "Occlum.json"):
        (instance / name).write_bytes(world.bytes)
        build()
        world.call(partial(main_in, instance, ["package", world.name]), "package")
        world.call(partial(main_in, instance, ["occlum", "status"]), "occlum")


@source
def what_somebody_else_built(world: World) -> None:
    """Names and values in an instance, in what it says of itself, in an archive and in a layout."""
    instance, text = world.instance(), world.text
    (instance / "image" / text).write_text("x")
    key = str(world.path / "key.pem")
    command = ("build", "--toolchain", str(world.toolchain), "--sign-key", key)
    assert "built: " in world.call(partial(main_in, instance, command), "build")
    (instance / "image" / text).write_text("other")
    (instance / "initfs" / world.name).write_text("more")
    (instance / "build" / world.name).symlink_to(world.name)
    (instance / "build/lib/libocclum-pal.so").unlink()
    (instance / "build/lib/libocclum-pal.so").symlink_to(world.name)
    world.run("verify", "inst")
    if text.encode() == world.bytes:  # JSON has two backslashes where there is an escape
        world.run("verify", "inst", "--json")
    record = json.loads((instance / "measurement.json").read_text())
    record["inputs"] = {**record["inputs"], "config": {text: text}, "toolchain": {text: text}}
    record["mrsigner"] = record["image_mac"] = text
    (instance / "measurement.json").write_text(json.dumps(record, ensure_ascii=False))
    manifest = {"entries": [{"path": f"/{text}", "type": text, "mode": text, "target": text}]}
    (instance / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False))
    world.run("verify", "inst")
    with tarfile.open(world.path / "a.tar", "w") as tar:
        for name in (world.name, f"../{world.name}", f"inst/{world.name}"):
            tar.addfile(tarfile.TarInfo(name))
        tar.add(instance, "inst")
    world.run("verify", "a.tar")
    for name in (".sgx_mode", "Occlum.json", "build/Enclave.xml", "build/mount/.ROOT_MAC"):
        (instance / name).write_bytes(world.bytes)
        world.run("verify", "inst")
    layout = world.path / "layout"
    layout.mkdir()
    (layout / "oci-layout").write_text("{}")
    named = {"digest": f"sha256:{'0' * 64}", "size": 1, "annotations": {REF_NAME: text}}
    for one in (named, {**named, "digest": text}, {**named, "mediaType": text}):
        (layout / "index.json").write_text(json.dumps({"manifests": [one, named]}))
        world.run("verify", "layout")
        world.run("verify", "layout", "--ref", world.name)
    bundle = {"process": {"args": [text], "cwd": f"/{text}"}, "annotations": {text: text}}
    (world.path / "b/rootfs").mkdir(parents=True)
    (world.path / "b/config.json").write_text(json.dumps(bundle))
    world.run("verify", "b")


@source
def arguments(world: World) -> None:
    (world.path / "tc").symlink_to(world.toolchain)
    (world.path / "bom.yaml").write_text("targets: []")
    for arguments in command_lines(world.name):
        world.run(*arguments)
    for arguments in (["-f", world.name, "--root", "image"], [f"--{world.name}"], [world.name]):
        world.call(partial(copy_bom_command.main, arguments), "copy_bom")
    for arguments in ([world.name], ["build", f"--{world.name}"], ["package", f"{world.name}/x"]):
        world.call(partial(occlum_command.main, arguments), "occlum")


@source
def working_directories(world: World) -> None:
    folder = world.path / world.name
    folder.mkdir()
    (folder / "src").mkdir()
    (folder / "bom.yaml").write_text("targets: [{target: /, copy: [{files: [gone, src]}]}]")
    tools = ["--toolchain", str(world.toolchain)]
    for arguments in (
        ["copy-bom", "-f", "bom.yaml", "--root", "image"],
        ["new", "i", *tools],
        ["init", *tools],
        ["build", *tools],
        ["package"],
        ["sefs", "ls", "x"],
        [
            "gen-conf",
            "--config",
            "bom.yaml",
            "--image-mac",
            MAC,
            "--initfs-mac",
            MAC,
            "--enclave-xml",
            "x",
            "--sys-json",
            "s",
        ],
        ["protect", "gone"],
        ["occlum", "status"],
        ["occlum", "build", *tools],
    ):
        world.call(partial(main_in, folder, arguments), arguments[0])


for read in (
    evil_packages.look_at_debs,
    evil_packages.look_at_configurations,
    evil_packages.look_at_locks,
    evil_packages.look_at_archives,
    evil_reports.look_at_images,
    evil_reports.look_at_bills,
    evil_reports.look_at_records,
    evil_scripts.look_at_scripts,
):
    source(read)

CASES = [
    (source, name)
    for source in sorted(SOURCES)
    for name in (SOME_NAMES if source in LONG else NAMES)
]


@pytest.mark.parametrize(("source_", "name"), CASES)
def test_source(source_: str, name: str, toolchain: Path, key: Path, tmp_path: Path) -> None:
    shutil.copy(key, tmp_path / "key.pem")
    SOURCES[source_](World(tmp_path, toolchain, NAMES[name]))


@pytest.mark.parametrize("number", range(len(list(command_lines("x")))))
def test_no_path_or_value_is_repeated_whole(number: int, toolchain: Path, tmp_path: Path) -> None:
    for name in ("n" * 5_000, "d/" * 2_500, "d e/" * 1_500):
        world = World(tmp_path / name[:3].replace("/", "_"), toolchain, name.encode())
        (world.path / "bom.yaml").write_text("targets: []")
        told = world.run(*list(command_lines(name))[number])
        # A line may have several of them.
        assert not re.search(r"[nde/]{2000}", told) and max(map(len, told.split("\n"))) < 16_500


def test_how_many_runs_wereLOOKED_AT(record_property: Callable[[str, object], None]) -> None:
    record_property("runs that nothing of others moved the cursor in", len(LOOKED_AT))
    assert set(main.VERBS) <= set(LOOKED_AT)
