"""Images of zip artefacts: what the native code in them needs comes along."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from built_enclave import occlum_build
from built_image import built_image
from pants_runner import PantsResult, PantsRunner, pants_runner
from recorded_run import BACKENDS, run_recorded
from system_tools import tool

APP = "testprojects/app"
LOADER = "lib64/ld-linux-x86-64.so.2"
BUILD = """\
resources(name="native", sources=["*.so"])
python_sources(name="sources", dependencies=[":native"])

pex_binary(name="zipapp", entry_point="main.py")
occlum_files(name="zip", target="/opt", packages=[":zipapp"])
occlum_image(name="zip_image", boms=[":zip"])

pex_binary(name="unpacked", entry_point="main.py", layout="loose")
occlum_files(name="loose", target="/opt", packages=[":unpacked"])
occlum_image(name="loose_image", boms=[":loose"])
"""
DOCUMENT = Path("docs/images.md")
EXAMPLE = {
    "main.py": "from example import helper\n\nprint(helper.TEXT)\n",
    "helper.py": "TEXT = 'Started.'\n",
    "app.conf": "text\n",
    "bom.yaml": "targets: [{target: /, mkdirs: [root]}]\n",
}
JAR_BUILD = """\
occlum_bom(name="bom", source="bom.yaml")
occlum_image(name="image", boms=[":bom"])
"""
JAR_BOM = "targets: [{target: /srv, copy: [{files: [/srv/app.jar], dirs: [/srv/scripts]}]}]\n"


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    """A pex whose extension needs a library of the sysroot, and one that is nowhere."""
    top = tmp_path_factory.mktemp("pants")
    # The copy of the project has no lock files; the pex has no requirements.
    options = ("--no-python-enable-resolves", f"--occlum-sysroot={top / 'sysroot'}")
    with pants_runner(top, parts=[BACKENDS], backends=None, options=options) as runner:
        for folder in ("lib64", "srv/scripts"):
            (top / "sysroot" / folder).mkdir(parents=True)
        (top / "sysroot" / LOADER).write_bytes(Path("/", LOADER).read_bytes())
        runner.write(f"{APP}/BUILD", BUILD)
        runner.write(f"{APP}/main.py", "print('Hello.')\n")
        library(top / "sysroot/lib64/libdeep.so")
        helper = library(top / "sysroot/lib64/libhelper.so", top / "sysroot/lib64/libdeep.so")
        library(runner.build_root / f"{APP}/_fast.so", helper, library(top / "libgone.so"))
        yield runner


def library(path: Path, *needed: Path) -> Path:
    """Compile a shared object without libc that needs others."""
    command = [tool("gcc"), "-shared", "-fPIC", "-nostdlib", "-x", "c", "-", "-x", "none"]
    options = ["-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", f"-Wl,-soname,{path.name}"]
    argv = [*command, *options, "-o", str(path), *map(str, needed)]
    subprocess.run(argv, input=b"int f;", check=True)
    return path


def provenance(pants: PantsRunner, address: str) -> dict[str, list[str]]:
    """Path -> chain of the libraries in an image."""
    manifest = json.loads((built_image(pants, address).folder / "manifest.json").read_text())
    found = {entry["path"]: entry.get("provenance", {}) for entry in manifest["entries"]}
    return {path: one["needed_by"] for path, one in found.items() if "needed_by" in one}


def warnings(result: PantsResult, part: str) -> list[str]:
    return [line for line in result.stderr.splitlines() if "[WARN]" in line and part in line]


def test_libraries_of_a_zipapp(pants: PantsRunner) -> None:
    result = pants.run("package", f"{APP}:zip_image").expect(0)

    pex = f"dist/{APP.replace('/', '.')}/zipapp.pex"
    with zipfile.ZipFile(built_image(pants, f"{APP}:zip_image").tree / "opt/zipapp.pex") as archive:
        (member,) = (name for name in archive.namelist() if name.endswith("_fast.so"))
    chains = provenance(pants, f"{APP}:zip_image")
    assert {path: chain for path, chain in chains.items() if path.endswith(".so")} == {
        "/lib64/libhelper.so": [
            f"{pex}/{member}",
            "/lib64/libhelper.so",
            "libhelper.so found by default directory",
        ],
        "/lib64/libdeep.so": [
            f"{pex}/{member}",
            "/lib64/libhelper.so",
            "/lib64/libdeep.so",
            "libdeep.so found by default directory",
        ],
    }
    (missing,) = warnings(result, "is missing")
    assert missing.endswith(
        f"{APP}:zip_image: {APP}:zip: {pex}: library libgone.so is missing, "
        "which an ELF file in it needs"
    )
    (interpreter,) = warnings(result, "starts with")
    assert "/opt/zipapp.pex starts with `#!/usr/bin/env python" in interpreter


def test_loose_layout_has_the_same_libraries(pants: PantsRunner) -> None:
    pants.run("package", f"{APP}:zip_image", f"{APP}:loose_image").expect(0)
    zipped, loose = (
        {
            path: entry
            for path, entry in built_image(pants, f"{APP}:{name}_image").listing().items()
            if not path.startswith("opt/")
        }
        for name in ("zip", "loose")
    )
    assert "lib64/libdeep.so" in zipped
    assert zipped == loose


def test_example_of_the_document_starts_from_the_image(pants: PantsRunner) -> None:
    """The first block of docs/images.md, as it stands there."""
    _, build, _ = re.split(r"^```(?:python)?\n", DOCUMENT.read_text(), maxsplit=2, flags=re.M)
    for name, text in {**EXAMPLE, "BUILD": build}.items():
        pants.write(f"testprojects/example/{name}", text)

    pants.run("package", "testprojects/example:image").expect(0)

    tree = built_image(pants, "testprojects/example:image").tree
    assert (tree / "root").is_dir()
    assert (tree / "opt/app/current/app.conf").read_text() == "text\n"
    started = subprocess.run(
        [sys.executable, tree / "opt/app/app_pex.pex"],
        env={"PEX_ROOT": str(pants.top / "pex_root")},
        capture_output=True,
        text=True,
    )
    assert (started.returncode, started.stdout) == (0, "Started.\n"), started.stderr


def test_archive_of_the_host_and_the_command_line(pants: PantsRunner) -> None:
    """Archives of the sysroot are read, too, but not its other files; all as without Pants."""
    sysroot = pants.top / "sysroot"
    with zipfile.ZipFile(sysroot / "srv/app.jar", "w") as archive:
        archive.write(pants.build_root / f"{APP}/_fast.so", "native/_fast.so")
    for number in range(10):
        script = (
            f"#!/bin/sh\nexec java -jar /srv/app.jar -Dnumber={number} and more than 64 bytes\n"
        )
        (sysroot / f"srv/scripts/{number}.sh").write_text(script)
    pants.write("host/BUILD", JAR_BUILD)
    bom = pants.write("host/bom.yaml", JAR_BOM)

    # Without the loader and the libraries, which the image of the zipapp needs as well.
    pants.run("package", f"{APP}:zip_image").expect(0)
    run = run_recorded(pants, "package", "host:image")

    scanned = [re.search(r"Scan ELF files .*\((\d+) file", one) for one in run.ran]
    assert [int(found[1]) for found in scanned if found] == [1]
    by_pants = json.loads((built_image(pants, "host:image").folder / "manifest.json").read_text())
    arguments = ["-f", bom, "--root", pants.top / "host_image", "--sysroot", sysroot]
    by_command = json.loads(occlum_build(pants, "copy-bom", *arguments, "--dry-run", "--json"))
    assert contents(by_pants) == contents(by_command)
    assert "/lib64/libdeep.so" in contents(by_pants)


def contents(manifest: dict[str, Any]) -> dict[str, str]:
    return {one["path"]: one["sha256"] for one in manifest["entries"] if one["type"] == "file"}
