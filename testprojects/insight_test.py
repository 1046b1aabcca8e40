"""Questions about images that ./pants built: why, diff and size, of targets and of dist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from built_enclave import HELLO
from built_enclave import PARTS as ENCLAVE_PARTS
from occlum_build.cli.main import main
from occlum_build.errors import Report
from occlum_build.image.testing_schema import check_json
from occlum_build.report.diff import compare
from occlum_build.report.page.testing_browser import chromium, opened
from occlum_build.report.read import read_image
from occlum_build.report.sides import read_side
from pants_runner import PantsResult, PantsRunner, pants_runner
from system_tools import tool

REDIS = "testprojects/redis:image"
PYTHON_APP = "testprojects/python_app:image"
CLOCK = "testprojects/monorepo/clock:image"
CLOCK_OCI = "testprojects/monorepo/clock:oci"
REPORTED = (HELLO, REDIS, PYTHON_APP, CLOCK)
PARTS = (
    *ENCLAVE_PARTS,
    *("testprojects/redis", "testprojects/python_app", "testprojects/monorepo"),
)
SCRIPT = "testprojects/hello/hello.sh"
# Enclaves of all four; the image of one has bills, which its OCI image has with it.
ENCLAVES = ("hello", "redis", "python_app", "clock")
ENCLAVE_BUILD = """\
occlum_enclave(name="{}", image="{}", toolchain="//testprojects/toolchain:toolchain")
"""
DESCRIBED_BUILD = """\
occlum_image(name="image", boms=["testprojects/hello:bom"], sbom=["cyclonedx", "slsa"])
oci_image(name="oci", enclave=":hello", entry_point=["/bin/hello"], formats=["layout"])
"""
PYTHON = "/usr/bin/python3"
# The image of each project in dist, and a program that it can run.
IMAGES = {
    "enclaves:image": ("/bin/hello",),
    REDIS: ("/bin/redis-cli", "--version"),
    PYTHON_APP: ("/usr/bin/python3", "-c", "import json, zlib; print(json.dumps(1))"),
    CLOCK: ("/bin/sh", "/app/clock.sh"),
}


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    """One build of all; the copy of the project has no lock files, and no compiled extension."""
    if not Path(PYTHON).exists():
        pytest.skip(f"there is no {PYTHON} on this machine")
    script = "import sysconfig; print(sysconfig.get_python_version())"
    version = subprocess.check_output([PYTHON, "-I", "-c", script], text=True).strip()
    with pants_runner(
        tmp_path_factory.mktemp("pants"),
        parts=PARTS,
        backends=None,
        options=("--no-python-enable-resolves",),
        env={"PYTHON_VERSION": version},
    ) as runner:
        bom = "testprojects/python_app/bom.yaml"
        text = (runner.build_root / bom).read_text(encoding="utf-8")
        runner.write(bom, text.replace(", ../_fnv.so", ""))
        images = ("enclaves:image", REDIS, PYTHON_APP, CLOCK)
        build = [ENCLAVE_BUILD.format(*one) for one in zip(ENCLAVES, images)]
        runner.write("enclaves/BUILD", DESCRIBED_BUILD + "".join(build))
        for address in REPORTED:
            file = f"{address.partition(':')[0]}/BUILD"
            text = (runner.build_root / file).read_text(encoding="utf-8")
            runner.write(file, re.sub(r"occlum_(image|enclave)\(", r"\g<0>report=True, ", text))
        runner.run("package", HELLO, REDIS, PYTHON_APP, CLOCK, CLOCK_OCI, "enclaves::").expect(0)
        yield runner


def folder(pants: PantsRunner, address: str) -> Path:
    directory, _, name = address.partition(":")
    return pants.dist / directory.replace("/", ".") / name


@pytest.mark.parametrize("address", [HELLO, REDIS, PYTHON_APP, CLOCK])
def test_each_library_is_there_for_a_bom_line(pants: PantsRunner, address: str) -> None:
    report = Report()
    image = read_image(folder(pants, address), report)
    assert image.graph is not None and report.warnings == []
    check_json(
        json.loads((folder(pants, address) / "graph.json").read_bytes()),
        "occlum_build.image",
        "graph.schema.json",
    )
    libraries = {path for path, item in image.items.items() if item.needed_by and item.size}
    assert libraries, "no program needs a library"
    assert {edge.to for edge in image.graph.edges if edge.to in image.items} >= libraries


def test_why(pants: PantsRunner, capsys: pytest.CaptureFixture[str]) -> None:
    asked = pants.run("occlum-why", REDIS, "--", "libssl.so.3", "/lib/libnone.so").expect(1)
    lines = asked.stdout.splitlines()
    assert lines[1].startswith("  testprojects/redis/bom.yaml:5:17 copies /usr/bin/redis-")
    assert lines[2] == "  -> /bin/redis-server"
    assert lines[3].startswith("  -> DT_NEEDED libssl.so.3, found by ")
    assert "error: /lib/libnone.so: the image does not have it; looked for\n  1. " in asked.stderr
    assert main(["why", str(folder(pants, REDIS)), "libssl.so.3"]) == 0
    assert capsys.readouterr().out == asked.stdout
    assert main(["why", str(folder(pants, PYTHON_APP)), "/usr/lib/python3*/json/__init__.py"]) == 0
    out = capsys.readouterr().out
    assert "testprojects/python_app/bom.yaml:12:16 copies /usr/lib/python3" in out
    assert main(["why", "--json", str(folder(pants, CLOCK)), "tool.pex"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    assert answer["entries"][0]["chains"][0]["bom"].startswith("testprojects/monorepo/tool")


def test_report(pants: PantsRunner, tmp_path: Path) -> None:
    with chromium() as browser:
        for address in REPORTED:
            file = folder(pants, address) / "report.html"
            with opened(browser, file) as found:
                digest = (folder(pants, address) / "image.digest").read_text().strip()
                assert found.page.title() == f"Report of {address}"
                assert digest in found.page.inner_text("#facts")
                assert found.page.locator(".tile").count() and found.page.locator(".node").count()
                count = len(read_image(folder(pants, address), Report()).items) - 1
                assert found.page.inner_text("#count").startswith(f"{count:,} entries of {count:,}")
                if address == HELLO:
                    record = json.loads((folder(pants, address) / "measurement.json").read_bytes())
                    assert record["mrenclave"] in found.page.inner_text("#measurement-body")
                assert found.complaints == [] and found.requests == [file.as_uri()]
    made = tmp_path / "report.html"
    assert main(["report", str(folder(pants, REDIS)), "--name", REDIS, "-o", str(made)]) == 0
    with_findings = (folder(pants, REDIS) / "report.html").read_bytes()
    assert made.read_bytes().partition(b'"problems":')[0] in with_findings


def test_diff(pants: PantsRunner) -> None:
    kept = folder(pants, HELLO).relative_to(pants.build_root)
    (pants.dist / "kept").mkdir()
    for name in ("manifest.json", "measurement.json"):
        (pants.dist / "kept" / name).write_bytes((pants.build_root / kept / name).read_bytes())
    pants.write(SCRIPT, "#!/bin/sh\necho Bye.\n")
    found = pants.run("occlum-diff", "--against=dist/kept", HELLO).expect(1)
    lines = found.stdout.splitlines()
    assert lines[0].startswith(
        "another content of what BOM line testprojects/hello/bom.yaml:7:20 brings: 1 changed, -"
    )
    assert lines[1].startswith("  changed /bin/hello: ")
    assert any(line.startswith("image digest: sha256:") for line in lines)
    assert lines[-1].startswith("MRENCLAVE moves by its ")
    _same_answer(found, pants)


def _same_answer(found: PantsResult, pants: PantsRunner) -> None:
    """What was packaged before and is kept now is the same image."""
    old = read_side(str(folder(pants, HELLO)))
    assert compare(read_side(str(pants.dist / "kept")), old).is_empty
    assert old.record is not None and old.record["mrenclave"] in found.stdout


def test_layout_has_the_entries_of_its_image(pants: PantsRunner) -> None:
    (index,) = folder(pants, CLOCK_OCI).glob("**/index.json")
    found = compare(read_side(str(index.parent)), read_side(str(folder(pants, CLOCK))))
    assert [change.path for change in found.changes] == []


def test_size(pants: PantsRunner) -> None:
    found = pants.run("occlum-size", "--max=10MB", "--top=2", REDIS, CLOCK).expect(1)
    assert found.stdout.count("BOM lines: bytes that they alone bring") == 2
    assert "entries of 2 BOM lines: testprojects/redis/bom.yaml:5:17, " in found.stdout
    errors = [line for line in found.stderr.splitlines() if line.startswith("error: ")]
    assert [error.split()[1] for error in errors] == [REDIS]


@pytest.mark.parametrize("address", IMAGES)
def test_what_is_asked_of_each_image(
    pants: PantsRunner, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands answer of what Pants wrote; goals of Pants are asked of some, above."""
    place, program = str(folder(pants, address)), IMAGES[address]

    def answer(verb: str, *arguments: str, schema: str = "", code: int = 0) -> dict[str, Any]:
        assert main([verb, *arguments]) == code
        found = json.loads(capsys.readouterr().out)
        if schema:
            check_json(found, "occlum_build.report", f"{schema}.schema.json")
        assert isinstance(found, dict)
        return found

    why = answer("why", place, program[0], "libc.so.6", "--json", schema="why")
    assert [one["as"] for one in why["answers"]] == ["path", "name"]
    assert all(entry["chains"] for one in why["answers"] for entry in one["entries"])
    size = answer("size", place, "--json", schema="size")
    manifest = json.loads((Path(place) / "manifest.json").read_bytes())
    sizes = (entry.get("size", 0) for entry in manifest["entries"])
    assert size["bytes"] == sum(sizes)
    same = answer("diff", place, place, "--json", schema="diff")
    assert same["entries"] == []
    other = str(folder(pants, next(one for one in IMAGES if one != address)))
    changed = answer("diff", other, place, "--json", schema="diff", code=1)
    assert {entry["path"] for entry in changed["entries"]} & set(program)
    bill = answer("sbom", place, "--format", "cyclonedx")
    assert bill["bomFormat"] == "CycloneDX" and bill["components"]
    _trace(place, program, tmp_path / "record", tool("strace"))


def _trace(place: str, program: tuple[str, ...], record: Path, _strace: str) -> None:
    """Run a program of an image as users do, and ask what was not used."""
    command = [sys.executable, "-m", "occlum_build.cli.main"]
    ask = [*command, "run", "--trace", "--record", str(record), place, "--", *program]
    ran = subprocess.run(ask, capture_output=True, text=True)
    assert ran.returncode == 0 and ran.stdout, ran.stderr
    ask = [*command, "trace", place, str(record), "--unused", "--json"]
    asked = subprocess.run(ask, capture_output=True, text=True)
    assert asked.returncode == 0, asked.stderr
    check_json(json.loads(asked.stdout), "occlum_build.trace", "trace.schema.json")
    assert program[0] not in asked.stdout


@pytest.mark.parametrize("name", ENCLAVES)
def test_verify(pants: PantsRunner, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    built = pants.dist / "enclaves" / name
    record = built / "measurement.json"
    mrenclave = json.loads(record.read_bytes())["mrenclave"]
    paths = [built, built / "occlum_instance.tar.gz"]
    if name == ENCLAVES[0]:
        paths.append(pants.dist / "enclaves/oci")
    for path in paths:
        options = ("--json", "--expect", mrenclave, "--measurement", str(record))
        assert main(["verify", str(path), *options]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["result"], found["mrenclave"]) == ("agrees", mrenclave)
        rows = {(row["what"], row["status"]) for row in found["rows"]}
        assert {("entries", "agrees"), ("MRENCLAVE", "agrees")} <= rows
        is_oci = path.name == "oci"
        assert (("referrer, subject", "agrees") in rows) == is_oci
    assert main(["verify", str(built), "--expect", "0" * 64]) == 1
    assert "differs  --expect: MRENCLAVE" in capsys.readouterr().out
