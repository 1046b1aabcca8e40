from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from occlum_build.elf.testing_made import made_elf
from occlum_build.image.manifest import manifest_text
from occlum_build.image.plan import draft_image
from pants_occlum.bom.knowledge import Knowledge
from pants_occlum.image import planning, replanning, texts
from pants_occlum.image.planned import PlannedImage
from pants_occlum.sysroot import glance
from pants_occlum.sysroot.looks import SysrootRequest, SysrootSnapshot
from pants_occlum.testing import Project, entries

BUILD = """
    occlum_bom(name="bom", source="bom.yaml")
    files(name="files", sources=["*.txt", "*.sh"])
    occlum_image(name="image", boms=[":bom"])
    """
BOM = """
    targets:
    - {target: /bin, copy: [{files: [/bin/app]}]}
    - {target: /, copy: [{dirs: [/data]}, {files: [../hello.txt, ../long.txt, ../run.sh]}]}
    - {target: /twice, copy: [{files: [/one/same, /data/part/0]}]}
    - {target: /twice, copy: [{files: [/two/same]}]}
    """
LONG = "a line of some length\n" * 10
OLD = time.time() - 86_400


class Compared:
    """A project whose plans are made both ways: of the last one, and from the beginning."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.replanned: list[PlannedImage | None] = []
        self.whole: list[PlannedImage] = []

    def package(self) -> bool:
        """Package the image; was the plan made of the last one, too?"""
        before = len(self.whole)
        artefacts = self.project.package("app:image")
        assert len(self.whole) > before
        plan = self.whole[-1]
        if (replanned := self.replanned[-1]) is not None:
            assert replanned == plan
            assert list(replanned.stats.items()) == list(plan.stats.items())
            assert list(replanned.facts.items()) == list(plan.facts.items())
            assert list(replanned.sha256.items()) == list(plan.sha256.items())
            assert list(replanned.project.items()) == list(plan.project.items())
        manifest = manifest_text(plan.entries, plan.sha256.__getitem__, plan.packages)
        assert (artefacts / "manifest.json").read_bytes() == manifest.full
        for path, entry in entries(artefacts).items():
            file = artefacts / "image" / path[1:]
            if entry["type"] == "file":
                assert sha256(file.read_bytes()).hexdigest() == entry["sha256"]
                assert file.stat().st_size == entry["size"]
        return replanned is not None

    def host(self, path: str, content: bytes, mode: int = 0o644) -> None:
        file = self.project.host(path, content, mode)
        os.utime(file, (OLD, OLD))


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compared:
    """A project of which nothing was planned."""
    replanning._plans.clear()
    texts._texts.clear()
    monkeypatch.setattr(glance, "MANY_FILES", 1)
    project = Project(tmp_path)
    prepared = Compared(project)
    project.write({"app/BUILD": BUILD, "app/bom.yaml": BOM})
    project.write({"app/hello.txt": "Hello.\n", "app/long.txt": LONG, "app/run.sh": "#!/bin/sh\n"})
    prepared.host("bin/app", made_elf(), 0o755)
    for number in range(10):
        prepared.host(f"data/part/{number}", b"%d" % number)
    for folder in ("one", "two"):
        prepared.host(f"{folder}/same", b"the same")
    return prepared


@pytest.fixture
def compared(prepared: Compared, monkeypatch: pytest.MonkeyPatch) -> Iterator[Compared]:
    compared = prepared
    replan, remember = replanning.replan, replanning.remember

    async def both_ways(*args: Any) -> None:
        found = await replan(*args)
        compared.replanned.append(found[0] if found is not None else None)

    def remembered(*args: Any) -> None:
        compared.whole.append(args[-1])
        remember(*args)

    monkeypatch.setattr(planning, "replan", both_ways)
    monkeypatch.setattr(planning, "remember", remembered)
    assert not compared.package()
    yield compared


def _two_files(one: Compared) -> None:
    for number in (1, 2):
        one.host(f"data/part/{number}", b"x")


CONTENTS: dict[str, Callable[[Compared], None]] = {
    "of the host": lambda one: one.host("data/part/3", b"x"),
    "of the host, another size": lambda one: one.host("data/part/3", b"longer than it was"),
    "of the host, two files": _two_files,
    "of the host, one that is there twice": lambda one: one.host("data/part/0", b"x"),
    "of the host, what another file has": lambda one: one.host("data/part/3", b"4"),
    "of the project": lambda one: one.project.write({"app/hello.txt": "Good day.\n"}),
    "of the project, long": lambda one: one.project.write({"app/long.txt": LONG.upper()}),
    "of the project, a script": lambda one: one.project.write({"app/run.sh": "#!/bin/sh\ntrue\n"}),
}
OTHERS: dict[str, Callable[[Compared], None]] = {
    "a mode": lambda one: one.host("data/part/3", b"3", 0o600),
    "a file more": lambda one: one.host("data/part/more", b"3"),
    "a file less": lambda one: (one.project.sysroot / "data/part/3").unlink(),
    "it becomes a script": lambda one: one.project.write({"app/long.txt": "#!/bin/sh\n" + LONG}),
    "it becomes long": lambda one: one.project.write({"app/hello.txt": LONG}),
    "it becomes an ELF file": lambda one: one.host("data/part/3", made_elf()),
    "another program": lambda one: one.host("bin/app", made_elf() + b"more", 0o755),
    "an override that is none": lambda one: one.host("two/same", b"not equal"),
    "the BOM": lambda one: one.project.write({"app/bom.yaml": BOM.replace("/twice", "/again")}),
}


@pytest.mark.parametrize("edit", CONTENTS.values(), ids=CONTENTS.keys())
def test_contents_that_decide_nothing(compared: Compared, edit: Callable[[Compared], None]) -> None:
    edit(compared)
    assert compared.package()


@pytest.mark.parametrize("edit", OTHERS.values(), ids=OTHERS.keys())
def test_what_is_planned_from_the_beginning(
    compared: Compared, edit: Callable[[Compared], None]
) -> None:
    edit(compared)
    assert not compared.package()


def test_one_edit_after_another(compared: Compared) -> None:
    for number in range(3):
        compared.host("data/part/3", b"edit %d" % number)
        compared.project.write({"app/hello.txt": f"Hello {number}.\n"})
        assert compared.package()
    compared.host("data/part/more", b"3")
    assert not compared.package()
    compared.host("data/part/more", b"4")
    assert compared.package()


def test_what_is_packaged_by_a_plan_of_the_last_one(
    prepared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared.project.package("app:image")
    drafted: list[object] = []

    def drafting(*args: Any) -> Any:
        drafted.append(args)
        return draft_image(*args)

    monkeypatch.setattr(planning, "draft_image", drafting)
    prepared.host("data/part/3", b"another")
    prepared.project.write({"app/hello.txt": "Good day.\n"})
    artefacts = prepared.project.package("app:image")
    assert not drafted
    assert (artefacts / "image/data/part/3").read_bytes() == b"another"
    assert (artefacts / "image/hello.txt").read_text() == "Good day.\n"
    for path, content in (("/data/part/3", b"another"), ("/hello.txt", b"Good day.\n")):
        entry = entries(artefacts)[path]
        assert (entry["size"], entry["sha256"]) == (len(content), sha256(content).hexdigest())
    prepared.host("data/part/more", b"more")
    assert (prepared.project.package("app:image") / "image/data/part/more").is_file()
    assert drafted


def test_a_file_that_changes_between_two_looks_of_a_run(
    prepared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing tells another size, and the look at the content was before that."""
    prepared.project.package("app:image")
    ((request, last),) = replanning._plans.items()
    path = next(path for path in last.plan.stats if path.endswith("/data/part/3"))
    stat = last.plan.stats[path]
    listing = SysrootRequest(last.plan.sysroot.root, directories=("/data/part",))
    was, now = (
        SysrootSnapshot({path: stat._replace(size=size, sha256="")}, {}, {}, ()) for size in (1, 2)
    )
    snapshots = {**dict(last.looks), listing: was}
    replanning._keep(request, last._replace(looks=tuple(snapshots.items())))

    async def look(asked: SysrootRequest, **_: object) -> SysrootSnapshot:
        return now if asked == listing else snapshots[asked]

    monkeypatch.setattr(replanning, "look_at_sysroot", look)
    known = Knowledge(last.plan.sysroot)
    assert asyncio.run(replanning.replan(request, "", last.inputs, known)) is None
