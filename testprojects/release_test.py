"""The two wheels, as `package` makes them: in another repository, and with pip alone."""

from __future__ import annotations

import email
import glob
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from built_enclave import HELLO, PARTS, listing_of
from foreign_repository import LIBRARY, PLUGIN, built_wheels, foreign_repository
from occlum_build.version import VERSION
from pants_runner import PantsRunner, pants_runner

IMAGE, OCI = "testprojects/hello:image", "testprojects/hello:packed"
DIST = ("testprojects.hello/image", "testprojects.hello/enclave", "testprojects.hello/packed")
OCI_BUILD = """
oci_image(name="packed", image=":image", entry_point=["/bin/hello"])
"""
# An image of what Pants makes.
MADE = "made:image"
MADE_BUILD = """
shell_command(
    name="tool",
    command="mkdir share; echo made > share/made.txt; echo '#!/bin/sh' > tool",
    tools=["mkdir"],
    output_files=["tool"],
    output_directories=["share"],
)
occlum_files(name="files", target="/opt", packages=[":tool"])
occlum_image(name="image", boms=[":files"])
"""
# What is beside the sources, and in no wheel.
NOT_SHIPPED = (
    *("src/python/occlum_build/elf/x_test.py", "src/python/occlum_build/testing_x.py"),
    *("src/python/occlum_build/cli/conftest.py", "src/python/occlum_build/BUILD"),
    *("rules/pants_occlum/testing.py", "rules/pants_occlum/image/x_test.py", "rules/BUILD"),
)
SOURCES = ("pyproject.toml", "LICENSE", "src/python", "rules")
MINORS = range(9, 15)
COMMANDS = {"occlum-build": "occlum-build", "copy_bom": "copy_bom 0.1.0", "occlum": "occlum 0.31"}
BOM = """\
targets:
  - target: /opt
    copy: [{files: [a.txt]}]
"""


@pytest.fixture(scope="module")
def wheels() -> Path:
    return built_wheels()


def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def requirements(wheel: Path) -> dict[str, Requirement]:
    found = [Requirement(one) for one in metadata(wheel).get_all("Requires-Dist") or []]
    return {one.name.lower(): one for one in found}


def pythons() -> dict[int, str]:
    """The CPythons of this machine that make environments: minor version -> path."""
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    places = [*os.environ["PATH"].split(":"), *glob.glob(f"{pyenv}/versions/3.*/bin")]
    found: dict[int, str] = {}
    for minor in MINORS:
        for place in places:
            python = os.path.join(place, f"python3.{minor}")
            check = [python, "-I", "-c", "import ensurepip, ssl, venv"]
            if os.path.exists(python) and not run(*check).returncode:
                found[minor] = python
                break
    return found


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def environment(python: str, place: Path) -> Path:
    """The directory of the commands of a new environment."""
    subprocess.run([python, "-I", "-m", "venv", place], check=True)
    return place / "bin"


def pip(commands: Path, *arguments: str | Path) -> None:
    done = run(commands / "python", "-I", "-m", "pip", "--disable-pip-version-check", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_in_the_wheels(wheels: Path) -> None:
    for wheel in (wheels / LIBRARY, wheels / PLUGIN):
        told = metadata(wheel)
        assert told["Version"] == VERSION and told["License-Expression"] == "Apache-2.0"
        assert told["Requires-Python"] == ">=3.9.2"
        assert f"# {told['Name']}\n" in told.get_payload()
        (license,) = (one for one in names(wheel) if one.endswith("/licenses/LICENSE"))
        with zipfile.ZipFile(wheel) as archive:
            assert archive.read(license) == Path("LICENSE").read_bytes()
        for name in names(wheel):
            base = name.rpartition("/")[2]
            assert not base.startswith(("testing", "conftest", "BUILD")), name
            assert not base.endswith("_test.py"), name
    tops = {name.partition("/")[0] for name in names(wheels / PLUGIN)}
    assert tops == {"pants_occlum", f"pants_occlum-{VERSION}.dist-info"}
    package = Path("src/python/occlum_build")
    data = (one for one in package.rglob("*") if one.is_file() and "__pycache__" not in one.parts)
    assert {name for name in names(wheels / LIBRARY) if _is_data(name)} == {
        one.relative_to("src/python").as_posix() for one in data if _is_data(one.as_posix())
    }


def _is_data(path: str) -> bool:
    return not path.endswith((".py", "/BUILD")) and ".dist-info/" not in path


def test_requirements_take_what_is_tested(wheels: Path) -> None:
    ours = requirements(wheels / LIBRARY)
    for file in ("library.in", "sbom.in"):
        for line in Path("3rdparty/python", file).read_text().splitlines():
            if line and not line.startswith(("#", "-r")):
                tested = Requirement(line)
                (pin,) = tested.specifier
                assert ours.pop(tested.name.lower()).specifier.contains(pin.version), line
    assert ours == {}, "in no lock file"
    plugin = requirements(wheels / PLUGIN)
    assert str(plugin.pop("occlum-build").specifier) in (f"=={VERSION}", "")
    assert plugin == {}, "Pants itself is no requirement of a plugin, nor is what the library needs"


def test_pip_makes_the_same_bytes(wheels: Path, tmp_path: Path) -> None:
    """Of a checkout with its tests, by another Python, and at another place than Pants does."""
    checkout = tmp_path / "a checkout"
    for part in SOURCES:
        (checkout / part).parent.mkdir(parents=True, exist_ok=True)
        if Path(part).is_dir():
            shutil.copytree(part, checkout / part, symlinks=False)
        else:
            shutil.copy(part, checkout / part)
    for path in NOT_SHIPPED:
        (checkout / path).write_text("x = 1\n")
    _, python = max(pythons().items())
    commands = environment(python, tmp_path / "venv")
    pip(commands, "wheel", "--no-deps", "-w", tmp_path / "made", checkout, checkout / "rules")
    for wheel in (LIBRARY, PLUGIN):
        assert (tmp_path / "made" / wheel).read_bytes() == (wheels / wheel).read_bytes(), wheel


def test_the_commands_with_each_python(wheels: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\n")
    (tmp_path / "bom.yaml").write_text(BOM)
    made: dict[int, tuple[bytes, bytes]] = {}
    for minor, python in pythons().items():
        commands = environment(python, tmp_path / f"3.{minor}")
        pip(commands, "install", "--only-binary", ":all:", "--quiet", wheels / LIBRARY)
        for command, first in COMMANDS.items():
            asked = run(commands / command, "--version")
            assert asked.stdout.startswith(first) and VERSION in asked.stdout, asked
        asked = run(commands / "occlum", "nonsense")
        assert asked.returncode and "Traceback" not in asked.stderr, asked
        image = tmp_path / f"image 3.{minor}"
        copy = (commands / "copy_bom", "-f", "bom.yaml", "--root", image)
        done = run(*copy, "--manifest", "manifest.json", cwd=tmp_path)
        assert done.returncode == 0, done
        manifest = (tmp_path / "manifest.json").read_bytes()
        made[minor] = (manifest, (image / "opt/a.txt").read_bytes())
    print("CPython", ", ".join(f"3.{minor}" for minor in made))
    assert made and len(set(made.values())) == 1


@pytest.fixture
def adopter(tmp_path: Path) -> Iterator[PantsRunner]:
    """A repository that has the plugin from an index, and nothing of this one but two projects."""
    with foreign_repository(tmp_path / "pants", parts=PARTS) as runner:
        runner.write(
            "pants.toml",
            f"""
[GLOBAL]
pants_version = "2.17.1"
plugins = ["pants-occlum=={VERSION}"]
backend_packages = ["pants_occlum", "pants.backend.shell"]
""",
        )
        yield runner


def test_another_repository(adopter: PantsRunner, tmp_path: Path) -> None:
    build = adopter.build_root / "testprojects/hello/BUILD"
    adopter.write("testprojects/hello/BUILD", build.read_text() + OCI_BUILD)
    adopter.write("made/BUILD", MADE_BUILD)
    adopter.run("package", HELLO, IMAGE, OCI, MADE).expect(0)
    assert (adopter.dist / "made/image/image/opt/share/made.txt").read_text() == "made\n"
    assert (adopter.dist / "made/image/image/opt/tool").read_text() == "#!/bin/sh\n"
    assert "succeeded" in adopter.run("lint", "::").expect(0).stderr
    adopter.run("tailor", "--check", "::").expect(0)

    with pants_runner(tmp_path / "sources", parts=PARTS) as sources:
        sources.write("testprojects/hello/BUILD", build.read_text())
        sources.run("package", HELLO, IMAGE, OCI).expect(0)
        for folder in DIST:
            ours = listing_of(adopter.dist / folder)
            assert ours and ours == listing_of(sources.dist / folder), folder
