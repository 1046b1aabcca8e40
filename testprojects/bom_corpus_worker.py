"""Runs `copy-bom` on cases of vectors/bom, in a root file system of its own.

Started by `unshare` in a mount namespace: `bom_corpus_worker.py VECTORS EMPTY_DIR`. The root has
what this machine's has, but for /case (the case's input) and /opt/occlum, so nothing needs to be
made on the machine. Each line of standard input names a case; the answer is a line of JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Imported once here, as each run is a fork of this process.
import yaml  # noqa: F401

import occlum_build.cli.copy_bom
import occlum_build.elf.read  # noqa: F401
from occlum_build.cli.main import main

INPUT_TIME = 1600000000  # the modification time of every input, in seconds
TIMEOUT_SECONDS = 60
CASE, OCCLUM = Path("/case"), Path("/opt/occlum")
LOADER_CONFIG = OCCLUM / "etc/template/occlum_elf_loader.config"

Tree = dict[str, dict[str, Any]]


def enter_own_root(root: Path) -> None:
    """Make `root` the root directory, with everything of this machine's but CASE and OCCLUM."""
    _mount("-t", "tmpfs", "tmpfs", str(root))
    for entry in [*Path("/").iterdir(), *Path("/opt").glob("*")]:
        copy = root / str(entry).lstrip("/")
        if entry in (CASE, OCCLUM):
            continue
        if entry.is_symlink():
            copy.symlink_to(os.readlink(entry))
        elif entry.is_dir():
            copy.mkdir()
            if entry != OCCLUM.parent:
                _mount("--rbind", str(entry), str(copy))
    os.chroot(root)
    CASE.mkdir()
    OCCLUM.mkdir(parents=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def describe(root: Path) -> Tree:
    """Path below `root` -> type, mode, size, sha256, target, and mtime where it is an input's."""
    found: Tree = {}
    for path in _walk(root):
        status = path.lstat()
        entry: dict[str, Any] = {"mode": f"{stat.S_IMODE(status.st_mode):04o}"}
        if stat.S_ISLNK(status.st_mode):
            entry = {"type": "symlink", "target": _printable(os.readlink(path))}
        elif stat.S_ISDIR(status.st_mode):
            entry["type"] = "dir"
        elif stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
            entry.update(type="file", size=len(content), sha256=hashlib.sha256(content).hexdigest())
            if int(status.st_mtime) <= INPUT_TIME + 100_000:
                entry["mtime"] = int(status.st_mtime)
        else:
            entry["type"] = "other"
        found[_printable(str(path.relative_to(root)))] = entry
    return found


def _walk(path: Path) -> Iterator[Path]:
    if os.path.lexists(path):
        yield path
    if path.is_dir() and not path.is_symlink():
        for child in sorted(path.iterdir()):
            yield from _walk(child)


def _printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def set_up(case: dict[str, Any], vectors: Path) -> None:
    """Fill CASE and OCCLUM anew."""
    for directory in (CASE, OCCLUM):
        for entry in directory.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    archive = vectors / case["id"] / "input.tar"
    subprocess.run(["tar", "-C", CASE, "--no-same-owner", "-xpf", archive], check=True)
    if case["occlum"]["config"] is not None:
        LOADER_CONFIG.parent.mkdir(parents=True)
        LOADER_CONFIG.write_text(case["occlum"]["config"])
    if case["occlum"]["glibc"]:
        libraries = OCCLUM / "glibc/lib"
        shutil.copytree(vectors / "_shared/glibc/lib", libraries)
        for library in libraries.iterdir():
            library.chmod(0o644 if library.name == "libm.so.6" else 0o755)
            os.utime(library, (INPUT_TIME, INPUT_TIME))


def copy_bom(case: dict[str, Any]) -> tuple[int, str]:
    """Exit code (-SIGALRM when it takes too long) and standard error of one run."""
    output = OCCLUM.parent / "stderr"
    child = os.fork()
    if child == 0:
        _be_copy_bom(case, output)
    _, status = os.waitpid(child, 0)
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
    return code, output.read_text(errors="replace")


def _be_copy_bom(case: dict[str, Any], output: Path) -> None:
    code: object = 70
    try:
        signal.alarm(TIMEOUT_SECONDS)
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        os.dup2(2, 1)
        os.chdir(CASE / case["cwd"])
        os.environ.clear()
        os.environ.update({"PATH": "/usr/bin:/bin", "HOME": "/root", "LC_ALL": "C", **case["env"]})
        code = main(["copy-bom", *case["args"]])
    except SystemExit as exit_:
        code = exit_.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 70)


def run(case: dict[str, Any], vectors: Path) -> dict[str, Any]:
    """All runs of one case: the last exit code and stderr, the image, and what else changed.

    `sha256` holds the digests of the inputs, `changed` the other paths below CASE that differ.
    """
    set_up(case, vectors)
    before, code, stderr = describe(CASE), 0, ""
    for number in range(case["runs"]):
        if number == 1 and case["between"]:
            subprocess.run(["sh", "-c", case["between"]], cwd=CASE, check=True)
            before = describe(CASE)
        code, stderr = copy_bom(case)
    after, image = describe(CASE), case["root"]
    changed = [path for path in sorted({*before, *after}) if before.get(path) != after.get(path)]
    return {
        "code": code,
        "stderr": stderr,
        "image": describe(CASE / image),
        "changed": [path for path in changed if not f"{path}/".startswith((f"{image}/", "./"))],
        "sha256": {path: entry.get("sha256") for path, entry in before.items()},
    }


if __name__ == "__main__":
    vectors = Path(sys.argv[1])
    enter_own_root(Path(sys.argv[2]))
    print("ready", flush=True)
    for line in sys.stdin:
        case = json.loads((vectors / line.strip() / "case.json").read_text())
        print(json.dumps(run(case, vectors)), flush=True)
