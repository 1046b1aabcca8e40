"""`occlum-build init-pants` on scripts as people have them, and ./pants on what it writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jq_stand_in import JQ
from occlum_build.cli.init_pants import to_json
from occlum_build.switch.plan import plan
from occlum_build.switch.tree import look
from pants_runner import PantsRunner, pants_runner
from toolchain.make_toolchain import make_toolchain

SCRIPTS = Path("testprojects/demo_scripts").resolve()
SOURCES = Path("src/python").resolve()
GREET = "#!/bin/sh\necho hello\n"
FILES = {
    "greet": GREET,
    "conf/greet.conf": "word=hello\n",
    "greet.yaml": """\
includes: [base.yaml]
targets:
  - target: /bin
    copy: [{files: [$WHERE/greet]}]
  - target: /etc
    copy: [{from: .., dirs: [conf]}]
""",
    "run_greet.sh": """\
#!/bin/bash
set -e
export WHERE="$PWD"
size=320MB
rm -rf occlum_instance && occlum new occlum_instance
cd occlum_instance
new_json="$(jq '.resource_limits.user_space_size = "1MB" |
    .resource_limits.user_space_max_size = "SIZE" |
    .env.default += ["GREETING=hello"]' Occlum.json)" && \\
    echo "${new_json}" > Occlum.json
sed -i "s/SIZE/$size/" Occlum.json
rm -rf image && copy_bom -f ../greet.yaml --root image --include-dir /opt/occlum/etc/template && \\
    occlum build
occlum print mrenclave >../measured
""",
}
# Of each script of demo_scripts: enclaves that are translated, and what is told of it.
IDIOMS = {
    "attestation": (0, 2),
    "bom_after_cp": (1, 2),
    "bom_in_a_variable": (2, 0),
    "bom_of_the_initfs": (1, 0),
    "copy_of_an_instance": (0, 2),
    "dry_run_and_log": (1, 0),
    "edits_in_the_image": (1, 3),
    "encrypted_image": (2, 3),
    "files_with_options": (1, 0),
    "for_machines_with_edmm_and_without": (0, 1),
    "forced_build": (0, 1),
    "image_of_new_is_kept": (0, 4),
    "included_bom": (1, 0),
    "init_in_a_directory": (1, 0),
    "jq_mounts": (0, 1),
    "jq_new_json": (0, 1),
    "jq_through_a_file": (0, 1),
    "keep_the_instance": (1, 1),
    "mistakes_end_the_script": (0, 6),
    "new_then_bom": (1, 0),
    "package_of_a_debug_build": (0, 1),
    "package_of_a_release": (0, 1),
    "second_bom": (1, 0),
    "sed_on_a_configuration": (0, 4),
    "server_and_client": (2, 0),
    "server_in_the_background": (0, 1),
    "signing": (0, 2),
    "simulation": (0, 1),
    "two_directories_of_a_system": (1, 0),
    "variables_of_the_script": (1, 0),
    "whole_prefix": (1, 0),
}


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    top = tmp_path_factory.mktemp("pants")
    system = make_toolchain(top / "system").parents[1]
    options = (f"--occlum-toolchain-root={system / 'opt/occlum'}",)
    with pants_runner(top / "run", options=options) as runner:
        for name, text in FILES.items():
            path = runner.write(f"demos/greet/{name}", text)
            path.chmod(0o755 if text.startswith("#!") else 0o644)
        yield runner


def ours(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"occlum_build.cli.{module}", *arguments]
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True)


def measured_by_the_script(pants: PantsRunner, folder: Path) -> str:
    """MRENCLAVE of what the script itself makes, with our commands in place of Occlum's."""
    binaries = folder / "bin"
    binaries.mkdir()
    calls = {
        name: f'"{sys.executable}" -m occlum_build.cli.{name}_command "$@"'
        for name in ("occlum", "copy_bom")
    }
    texts = {name: f"#!/bin/sh\nexec {call}\n" for name, call in calls.items()}
    for name, text in {**texts, "jq": f"#!{sys.executable}\n{JQ}"}.items():
        (binaries / name).write_text(text)
        (binaries / name).chmod(0o755)
    work = folder / "work"
    shutil.copytree(pants.build_root / "demos/greet", work)
    env = {
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "OCCLUM_TOOLCHAIN": str(pants.top.parent / "system/opt/occlum"),
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(SOURCES), *sys.path]),
    }
    subprocess.run(["bash", "run_greet.sh"], cwd=work, env=env, check=True, capture_output=True)
    return (work / "measured").read_text().strip()


def test_what_pants_builds_is_what_the_script_builds(pants: PantsRunner, tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    expected = measured_by_the_script(pants, tmp_path)
    printed = ours(pants.build_root, "main", "init-pants", "demos").stdout
    assert printed.splitlines() == [
        "written: demos/greet/BUILD",
        "demos/greet:enclave is what demos/greet/run_greet.sh:5 makes",
    ]
    listed = pants.run("list", "demos::").expect(0).stdout.splitlines()
    targets = {f"demos/greet:{name}" for name in ("enclave", "files", "greet", "image")}
    assert targets <= set(listed)
    pants.run("package", "demos/greet:enclave").expect(0)
    measured = json.loads((pants.dist / "demos.greet/enclave/measurement.json").read_bytes())
    assert measured["inputs"]["config"]["$.resource_limits.user_space_max_size"] == "320MB"
    assert measured["mrenclave"] == expected


@pytest.fixture(scope="module")
def planned() -> Any:
    return to_json(SCRIPTS, plan(look(SCRIPTS, SCRIPTS)), {"BUILD": "shown"})


def test_what_is_translated_of_each_idiom(planned: Any) -> None:
    enclaves = Counter(Path(one["script"]).stem for one in planned["enclaves"])
    told = Counter(Path(one["file"]).stem for one in planned["told"] if one["file"].endswith(".sh"))
    found = {
        name: (enclaves[name], told[name])
        for name in (path.stem for path in sorted(SCRIPTS.glob("*.sh")))
    }
    assert found == IDIOMS
