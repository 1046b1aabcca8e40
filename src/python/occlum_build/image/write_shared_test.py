"""Images of many files, which several processes write."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.files import shared_work
from occlum_build.files.prefix import PREFIX
from occlum_build.files.source import SourceFile
from occlum_build.image import content
from occlum_build.image import write as write_module
from occlum_build.image.entries import DIR, Entry
from occlum_build.image.plan import ImagePlan
from occlum_build.image.testing_write import (
    DUE,
    OLD,
    PLAN,
    dir_at,
    file_at,
    link_at,
    tree_of,
    write_image,
)
from occlum_build.image.write import ImageWriter, Written
from occlum_build.sources.os import OsSources

COUNT = 3 * write_module.MANY


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


@pytest.fixture(autouse=True)
def many(source: Path) -> tuple[Entry, ...]:
    """Files and links of some directories."""
    entries: list[Entry] = []
    for number in range(COUNT):
        directory = f"d{number // 100}"
        if number % 100 == 0:
            (source / directory).mkdir(mode=0o555)
            entries.append(dir_at(directory, 0o555, directory))
        if number % 7 == 0:
            entries.append(link_at(f"{directory}/{number}", "../a"))
            continue
        (source / f"{number}").write_bytes(str(number).encode() * 10)
        os.utime(source / f"{number}", ns=(OLD, OLD + number))
        entries.append(file_at(f"{directory}/{number}", f"{number}", 0o640, len(str(number)) * 10))
    return tuple(entries)


def test_it_is_what_one_process_writes(
    source: Path, image: Path, many: tuple[Entry, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [write_image(source, image, *many, sync=True) for _ in range(2)]
    alone = image.with_name("alone")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert [write_image(source, alone, *many, sync=True) for _ in range(2)] == results
    assert results == [
        Written(written=len(many), bytes=sum(one.size for one in many)),
        Written(unchanged=COUNT),
    ]
    assert tree_of(image) == tree_of(alone)
    for path in image.rglob("*"):
        ours, other = path.lstat(), (alone / path.relative_to(image)).lstat()
        if not path.is_symlink():
            assert ours.st_mtime_ns == other.st_mtime_ns


def test_few_files_that_are_large(
    source: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_module, "MANY_BYTES", 3_000_000)
    monkeypatch.setattr(shared_work, "PART_BYTES", 1)
    plan = tuple(one._replace(size=3_000_000) if one.path == "d/b" else one for one in PLAN)
    assert write_image(source, image, *plan) == Written(written=5, bytes=3_000_010)
    assert tree_of(image) == DUE


def test_all_of_it_is_told_as_progress(
    source: Path, image: Path, many: tuple[Entry, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    sources = OsSources(str(source))
    plan = ImagePlan(tuple(one._replace(source=one.source and f"/{one.source}") for one in many))

    def tell(entry: Entry) -> None:
        print(entry.path, flush=True)

    ImageWriter(str(image), sources).write(plan, progress=tell)
    told = capfd.readouterr().out.split()
    assert told == [one.path for one in many if one.kind != DIR]


@pytest.mark.parametrize("number", [1, COUNT // 2, COUNT - 1])
def test_a_source_that_has_gone(
    source: Path, image: Path, many: tuple[Entry, ...], number: int
) -> None:
    (source / f"{number}").unlink()
    with pytest.raises(OcclumError, match=f"/{number} cannot be read: No such file") as caught:
        write_image(source, image, *many)
    assert caught.value.code == "file"
    names = [path.name for path in image.rglob("*")]
    assert str(number) not in names
    assert not any(name.startswith(".") for name in names)


KILLED = """
import os, sys
from occlum_build.files import shared_work
from occlum_build.files.prefix import PREFIX
from occlum_build.files.source import SourceFile
from occlum_build.image import testing_write, write
from pathlib import Path

os.sched_getaffinity = lambda _: {0, 1}
write.MANY = 2
shared_work.PART_FILES = 1
here = os.getpid()

def killed(source, target, is_hashed):
    os.write(target, b"half")
    if os.getpid() == here:
        os.kill(here, 9)
    while os.getppid() == here:
        pass
    return ""

write.copy_content = killed
entries = [testing_write.file_at(str(n), "a") for n in range(100)]
testing_write.write_image(Path(sys.argv[1]), Path(sys.argv[2]), *entries)
"""


def test_all_processes_end_with_the_one_that_is_killed(source: Path, image: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(source), str(image)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    # The pipe is closed by the last one.
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, timeout=60)
    assert done.returncode == -9
    assert len(list(image.iterdir())) <= 2
    write_image(source, image, *(file_at(str(number), "a") for number in range(100)))
    assert set(tree_of(image).values()) == {(0o644, "1" * 10)}
    assert len(tree_of(image)) == 100


def test_what_a_process_that_is_killed_leaves_is_removed(
    source: Path, image: Path, many: tuple[Entry, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of those that take the most memory is, where there is too little."""
    here, copy = os.getpid(), content.copy_content

    def killed(source: SourceFile, out: int, *, is_hashed: bool) -> str:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.001)
        return copy(source, out, is_hashed=is_hashed)

    monkeypatch.setattr(write_module, "copy_content", killed)
    write_image(source, image, *many)
    assert not [path for path in image.rglob("*") if path.name.startswith(PREFIX)]
    assert len(list(image.rglob("*"))) == len(many)
