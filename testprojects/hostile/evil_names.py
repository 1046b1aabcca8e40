"""Names that others may have given, and what of them is printed in the course of many commands."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from hostile.printed import FORGED, run
from occlum_build.cli import main
from occlum_build.elf import layout
from tiny_elf import tiny_elf

NAMES: dict[str, bytes] = {
    "escapes": b"a\x1b[2J\x1b]0;title\x07\b\b\x7f\t\v\fb",
    "forged line": f"a\n{FORGED}".encode(),
    "forged hint": f"a\n  hint: b\r{FORGED}".encode(),
    "C1": f"a\x80\x85{FORGED}\x9b2J\x9f".encode(),
    "bytes": b"a\x80\x85\x9b2J\x9f\xff\xc3",
    "unseen": "a\u202e\u202a\u2066\u2069\u200e\u200b\u200d\u2060\ufeff\u00ad\ue000\uffff".encode(),
    "separators": f"a\u2028{FORGED}\u2029b\U000e0041".encode(),
}
LOADER = "/lib64/ld-linux-x86-64.so.2"
MAC = "-".join(["00"] * 16)
LOOKED_AT: list[str] = []

Env = Mapping[str, str]


class World:
    """A directory with sources `src` and an image to be, a toolchain and a key."""

    def __init__(self, path: Path, toolchain: Path, name: bytes) -> None:
        self.path, self.toolchain, self.bytes, self.name = path, toolchain, name, os.fsdecode(name)
        self.text = name.decode("utf-8", "replace")  # where there is nothing but UTF-8
        self.source = path / "src"
        self.source.mkdir(parents=True)

    def run(self, *arguments: str, env: Env | None = None) -> str:
        """Run `occlum-build` and look at what it prints, which is returned."""
        return self.call(partial(main.main, arguments), arguments[0], env)

    def call(self, command: Callable[[], int], what: str, env: Env | None = None) -> str:
        printed = run(command, self.path, env or {})
        printed.check()
        LOOKED_AT.append(what)
        return (printed.out + printed.err).decode()

    def copy_bom(self, bom: str | bytes, *options: str, env: Env | None = None) -> str:
        text = bom if isinstance(bom, bytes) else bom.encode("utf-8", "surrogateescape")
        (self.path / "bom.yaml").write_bytes(text)
        shutil.rmtree(self.path / "image", ignore_errors=True)
        arguments = ("copy-bom", "-f", "bom.yaml", "--root", "image", "--sysroot", "sys", *options)
        (self.path / "sys").mkdir(exist_ok=True)
        told = self.run(*arguments, env=env)
        self.run(*arguments, "--json", "--dry-run", env=env)
        return told

    def make_system(self) -> None:
        """A loader and a libc in the sysroot, and room for configuration."""
        for name in ("lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu/libc.so.6", "etc/x"):
            path = self.path / "sys" / name
            path.parent.mkdir(parents=True)
            path.write_bytes(tiny_elf(path.name, versions=()))

    def instance(self) -> Path:
        """A fresh instance, in which `occlum-build build` succeeds."""
        assert "initialized" in self.run("new", "inst", "--toolchain", str(self.toolchain))
        return self.path / "inst"


# What a name is put into.
BOMS = (
    "targets: [{target: %s}]",
    "targets: [{target: /, mkdirs: [%s, ../x]}]",
    "targets: [{target: /, createlinks: [{src: %s, linkname: l}, {src: x, linkname: %s/l}]}]",
    "targets: [{target: /, copy: [{files: [%s]}]}]",
    "targets: [{target: /, copy: [{files: ['*', %s], dirs: [%s]}]}]",
    "targets: [{target: /, copy: [{from: %s, dirs: [x]}]}]",
    "targets: [{target: /, copy: [{files: [{name: src, hash: %s}]}]}]",
    "targets: [{target: /, copy: [{files: [{name: src, rename: %s}]}]}]",
    "excludes: [%s]\ntargets: [{target: /, copy: [{dirs: [src]}]}]",
    "includes: [%s]",
    "%s: 1",
    "targets: [{target: /, %s: 1}]",
    "targets: %s",
    "targets: [{target: /, copy: [{files: [src/$%s]}]}]",
    "targets: [{target: /, mkdirs: [%s, %s]}, {target: /, createlinks: [{src: x, linkname: %s}]}]",
)
CONFIGS = (
    '{"resource_limits": {"user_space_size": %s}}',
    '{"process": {"default_heap_size": %s, %s: 1}}',
    "{%s: 1}",
    '{"entry_points": [%s, "/bin/app"]}',
    '{"env": {"default": [%s], "untrusted": [%s]}}',
    '{"mount": [{"type": %s, "target": "/", "source": "x"}]}',
    '{"mount": [{"type": "hostfs", "target": %s, "source": %s}]}',
    '{"metadata": {"debuggable": %s}}',
    "[%s",
)
XMLS = (
    b"<%s/>",
    b"<EnclaveConfiguration><%s>1</%s></EnclaveConfiguration>",
    b"<EnclaveConfiguration><HeapMaxSize>%s</HeapMaxSize></EnclaveConfiguration>",
)


def elf_files_of(name: bytes) -> dict[str, bytes]:
    """ELF files that have a name in each of the places that names have there."""
    place = "P" * len(name)
    runpath = tiny_elf("liba.so", ["libgone.so", place], versions=())
    needed, run_path = (tag.to_bytes(8, "little") for tag in (layout.DT_NEEDED, layout.DT_RUNPATH))
    last = runpath.rindex(needed)
    made = {
        "needed": tiny_elf("", [place], LOADER, versions=()),
        "versions": tiny_elf("", ["libc.so.6"], LOADER, versions=[place]),
        "soname": tiny_elf(place, [f"lib{place}.so"], LOADER, versions=[place]),
        "interpreter": tiny_elf("", [], f"/lib/{place}"),
        "runpath": runpath[:last] + run_path + runpath[last + 8 :],
    }
    return {key: data.replace(place.encode(), name) for key, data in made.items()}


def main_in(directory: Path, arguments: Sequence[str]) -> int:
    os.chdir(directory)
    return main.main(arguments)


def command_lines(name: str) -> Iterator[list[str]]:
    path = f"x/{name}"
    yield from (
        [name],
        [f"--{name}"],
        ["build", name],
        ["build", f"--{name}"],
        ["build", "--sgx-mode", name],
        ["build", "--toolchain", path],
        ["build", "--image-key", path],
        ["build", "--signer", name, "--pubkey", path],
        ["copy-bom", "-f", path, "--root", path],
        ["copy-bom", "-f", "bom.yaml", "--root", "image", "--cpu-level", name],
        ["copy-bom", "-f", "bom.yaml", "--root", "image", "--allow", name],
        ["copy-bom", "-f", "bom.yaml", "--root", "image", "--sysroot", path],
        ["copy-bom", "-f", "bom.yaml", "--root", "image", "--include-dir", path, "--why", path],
        ["copy-bom", "-f", "bom.yaml", "--root", "image", "--loader-config", path],
        ["gen-image-key", path],
        ["gen-image-key", "bom.yaml", name],
        ["new", path, "--toolchain", path],
        ["new", name, "--toolchain", "tc"],
        ["new", name, "--toolchain", "tc", "--localtime", path],
        ["new", "y", "--init-ra", name],
        ["init", "--toolchain", path],
        ["package", name],
        ["package", path],
        ["protect", path],
        ["show", path],
        ["show-mac", path],
        ["print", name],
        ["print", "mrenclave", path],
        ["sigstruct-view", path],
        ["sigstruct-view", "--json", "bom.yaml"],
        ["verify", path],
        ["verify", "bom.yaml", "--expect", name],
        ["verify", ".", "--measurement", path, "--ref", name],
        ["verify", ".", "--image-key", path, "--json"],
        ["why", path, name],
        ["why", path, "--all", path],
        ["diff", path, name],
        ["diff", f"git:{name}", "bom.yaml"],
        ["diff", f"git:HEAD:{name}", "bom.yaml"],
        ["size", path],
        ["size", "bom.yaml", "--max", name],
        ["sbom", path, "--format", "spdx"],
        ["sbom", "bom.yaml", "--format", "slsa", "--name", name],
        ["sbom", "bom.yaml", "--format", "cyclonedx", "--tree", path, "--output", path],
        ["sbom", "bom.yaml", "--format", name, "--deb", path],
        ["sefs", name],
        ["sefs", "ls", path],
        ["sefs", "verify", path, "--mac", name],
        ["sefs", "unzip", path, path],
        ["sefs", "zip", path, path, path],
        ["sefs", "zip", ".", name, f"{name}.mac", "--key", path],
        ["sign", "--enclave", path, "--key", path, "--out", path],
        ["sign", "--enclave", "bom.yaml", "--key", "bom.yaml", "--out", path, "--date", name],
        ["gendata", "--enclave", path, "--out", path],
        [
            "catsig",
            "--enclave",
            path,
            "--unsigned",
            path,
            "--signature",
            path,
            "--pubkey",
            path,
            "--out",
            path,
        ],
        [
            "gen-conf",
            "--config",
            path,
            "--image-mac",
            name,
            "--initfs-mac",
            name,
            "--enclave-xml",
            path,
            "--sys-json",
            path,
        ],
        ["report", path, "-o", path],
        ["report", "bom.yaml", "--name", name, "-o", path],
        ["report", "bom.yaml", "--against", path, "-o", name],
        ["trace", path, path],
        ["trace", ".", "bom.yaml", "--root", path],
        ["trace", ".", path, "--unused"],
        ["run", "--trace", "--record", path, ".", "--", "/bin/x"],
        ["run", path, "--", "/bin/x"],
        ["run", ".", "--", name],
        ["run", ".", "--", f"/{name}"],
        ["run", ".", "--env", name, "--", "/bin/x"],
        ["run", ".", "--config", path, "--", "/bin/x"],
        ["schema", name],
        ["completion", name],
        ["init-pants", path],
        ["init-pants", ".", f"--{name}"],
        ["occlum", name],
        ["occlum", "run", name],
        ["occlum", "package", name],
        ["occlum", "print", name],
    )
