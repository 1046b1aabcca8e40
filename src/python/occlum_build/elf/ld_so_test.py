"""The closures of this machine's programs, against its own loader."""

from __future__ import annotations

import glob
import os
import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from occlum_build.elf.closure import ALREADY_LOADED, Closure
from occlum_build.elf.linker import Linker
from occlum_build.elf.loader_config import LoaderConfig
from occlum_build.elf.testing import HostView

LOADER = "/lib64/ld-linux-x86-64.so.2"
LEAST = 100


def _real(program: str) -> dict[str, str] | None:
    """Name -> path as ld.so lists them for every CPU; None when it fails."""
    command = [LOADER, "--glibc-hwcaps-mask", "none", "--list", program]
    done = subprocess.run(command, env={}, capture_output=True, text=True)
    if done.returncode:
        return None
    found = dict(re.findall(r"^\t(\S+) => (\S+) \(0x", done.stdout, re.M))
    return {name: path for name, path in found.items() if os.path.basename(LOADER) not in name}


def _ours(closure: Closure) -> dict[str, str] | None:
    if closure.errors():
        return None
    return {edge.name: edge.path for edge in closure.edges if edge.rule != ALREADY_LOADED}


@pytest.mark.skipif(not os.path.exists(LOADER), reason="the machine has no glibc for x86-64")
def test_every_program_of_usr_bin_has_the_closure_of_the_real_loader(
    record_property: Callable[[str, object], None],
) -> None:
    linker = Linker(HostView(), LoaderConfig())
    paths = sorted({os.path.realpath(path) for path in glob.glob("/usr/bin/*")})
    closures = {path: linker.close(path, path) for path in paths if os.path.isfile(path)}
    dynamic = {
        path: one
        for path, one in closures.items()
        if one.interpreter and one.interpreter.image_path == LOADER
    }
    if len(dynamic) < LEAST:
        pytest.skip(f"/usr/bin has {len(dynamic)} dynamic programs, {LEAST} are wanted")
    with ThreadPoolExecutor(2) as pool:
        real = dict(zip(dynamic, pool.map(_real, dynamic)))
    differing = {
        path: (_ours(one), real[path])
        for path, one in dynamic.items()
        if _normal(_ours(one)) != _normal(real[path])
    }
    listed = sum(found is not None for found in real.values())
    record_property("compared", f"{len(dynamic)} programs with {LOADER}, which lists {listed}")
    assert listed >= LEAST
    assert differing == {}


def _normal(found: dict[str, str] | None) -> dict[str, str] | None:
    """Paths with the directory's links and `..` followed, which both sides may write or not."""
    if found is None:
        return None
    return {
        name: os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        for name, path in found.items()
    }
