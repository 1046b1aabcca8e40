"""Which nodes of the graph run again after a change: counted by what the engine tells of itself.

Nodes are counted by rule, and processes by description. The engine drops a node that it began to
look at, and starts it again, as it likes: only processes have exact counts, and of nodes is asked
whether there were any.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pants_runner import PantsRunner, pants_runner
from recorded_run import BACKENDS, RecordedRun, run_recorded
from sysroot_of_app import Sysroot, make_sysroot

TOOLCHAIN = "testprojects/toolchain"
OURS = "pants_occlum."
# Run in each session: looks at the host, the key files and the store, and the sync of dist.
ALWAYS = {
    "dist.stored.check_stored",
    "sysroot.host.look_at_sysroot",
    "sysroot.own_keys.own_keys",
    "package.package",
    "image.goals.package.package_image",
    "image.goals.package.write_image",
    "enclave.goals.package.package_enclave",
    "findings.tell",
}
# Reading BOMs for what they depend on, and for what they say, and the files of the project.
PARSING = {
    "bom.on_disk.boms_on_disk",
    "bom.loading.load",
    "bom.project_sources.defer_sources",
    "bom.project_sources.project_sources",
    "bom.project_sources.reach",
}
BUILD = """\
occlum_bom(name="bom", source="bom.yaml")
files(name="files", sources=["run.sh"])
occlum_image(name="image", boms=[":bom"], formats=["dir", "tar"])
occlum_enclave(
    name="enclave",
    image=":image",
    toolchain="//testprojects/toolchain",
    config={"resource_limits": {"user_space_max_size": "300MB"}},
)
"""
PROGRAM = "- {target: /bin, copy: [{files: [/bin/app]}]}\n"
BOM = """\
targets:
%s- target: /
  copy: [{dirs: [/data/]}, {files: [../run.sh]}]
"""


@dataclass(frozen=True)
class Nodes:
    """What ran of ours: rules without the name of the package, and processes."""

    rules: Counter[str]
    processes: Counter[str]

    def more_than_always(self) -> set[str]:
        return set(self.rules) - ALWAYS


@dataclass(frozen=True)
class Monorepo:
    """Two images of one host, of which only that in `app` has a program, and their enclaves."""

    pants: PantsRunner
    sysroot: Sysroot

    def package(self) -> Nodes:
        # pantsd is told of one change by several events: between two of them nodes run twice.
        time.sleep(1)
        return nodes_of(
            run_recorded(
                self.pants,
                "--streaming-workunits-level=trace",
                f"--occlum-sysroot={self.sysroot.top}",
                "package",
                "app:",
                "other:",
            )
        )

    def path(self, path: str) -> Path:
        return self.pants.build_root / path

    def replace(self, path: str, old: str, new: str) -> None:
        text = self.path(path).read_text()
        assert text.count(old) == 1
        self.pants.write(path, text.replace(old, new))


def nodes_of(run: RecordedRun) -> Nodes:
    rules = (rule[len(OURS) :] for rule in run.rules if rule.startswith(OURS))
    return Nodes(Counter(rules), Counter(run.ran))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monorepo]:
    sysroot = make_sysroot(tmp_path_factory.mktemp("host") / "sysroot")
    for name in ("a", "b"):
        path = sysroot.top / "data" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    top = tmp_path_factory.mktemp("pants")
    with pants_runner(top, parts=(TOOLCHAIN, BACKENDS)) as pants:
        for name, program in (("app", PROGRAM), ("other", "")):
            pants.write(f"{name}/BUILD", BUILD)
            pants.write(f"{name}/bom.yaml", BOM % program)
            pants.write(f"{name}/run.sh", "#!/bin/sh\n")
        monorepo = Monorepo(pants, sysroot)
        monorepo.package()
        yield monorepo


@pytest.fixture
def monorepo(built: Monorepo) -> Monorepo:
    """The monorepo as it now stands, built, with a pantsd that knows it."""
    built.package()
    return built


def above_the_image(name: str) -> Counter[str]:
    """The processes that have an image or its file system as input."""
    return Counter(
        [
            f"Archive the image of {name}:image",
            f"Make the secure file system of {name}:enclave",
            f"Configure and measure {name}:enclave",
            f"Archive the instance of {name}:enclave",
        ]
    )


def test_no_change(monorepo: Monorepo) -> None:
    nodes = monorepo.package()
    assert set(nodes.rules) == ALWAYS
    assert not nodes.processes


def test_touch(monorepo: Monorepo) -> None:
    for path in ("app/BUILD", "app/bom.yaml", "app/run.sh"):
        os.utime(monorepo.path(path))
    os.utime(monorepo.sysroot.library)
    nodes = monorepo.package()
    assert set(nodes.rules) == ALWAYS
    assert not nodes.processes


def test_an_edit_of_a_file_of_the_project(monorepo: Monorepo) -> None:
    with monorepo.path("app/run.sh").open("a") as script:
        script.write("echo Hello.\n")
    nodes = monorepo.package()
    assert nodes.rules["image.planning.plan_image"] > 0
    assert nodes.rules["image.nodes.make_layer"] > 0
    assert nodes.processes == above_the_image("app")


def test_an_upgrade_of_a_host_library(monorepo: Monorepo) -> None:
    monorepo.sysroot.make_library(2)
    nodes = monorepo.package()
    # Layers hold what is in the store: processes take the host's files from the host.
    assert nodes.rules["image.nodes.make_layer"] == 0
    scan = Counter(["Scan ELF files of app:image (2 files)"])
    assert nodes.processes == above_the_image("app") + scan


def test_a_host_file_of_both_images(monorepo: Monorepo) -> None:
    (monorepo.sysroot.top / "data/a").write_text("another")
    nodes = monorepo.package()
    assert nodes.rules["image.nodes.make_layer"] == 0
    assert nodes.processes == above_the_image("app") + above_the_image("other")


def test_a_value_of_the_configuration(monorepo: Monorepo) -> None:
    monorepo.replace("app/BUILD", '"300MB"', '"320MB"')
    nodes = monorepo.package()
    assert nodes.rules["image.planning.plan_image"] == 0
    assert nodes.rules["image.nodes.make_image"] == 0
    assert nodes.processes == Counter(
        ["Configure and measure app:enclave", "Archive the instance of app:enclave"]
    )


def test_a_comment_in_a_bom_is_parsed(monorepo: Monorepo) -> None:
    monorepo.replace("app/bom.yaml", "targets:", "targets:  # of the app")
    nodes = monorepo.package()
    assert {"bom.on_disk.boms_on_disk", "bom.loading.load"} <= nodes.more_than_always() <= PARSING
    assert not nodes.processes


def test_a_comment_that_moves_lines_changes_the_provenance(monorepo: Monorepo) -> None:
    monorepo.replace("app/bom.yaml", "targets:", "# What the app needs.\ntargets:")
    nodes = monorepo.package()
    assert nodes.rules["image.planning.plan_image"] > 0
    assert nodes.rules["image.nodes.make_layer"] == 0
    assert not nodes.processes
    manifest = monorepo.path("dist/app/image/manifest.json").read_text()
    assert '"bom":"app/bom.yaml:5:' in manifest
