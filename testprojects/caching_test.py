"""What ./pants does again, and what it does not, when something has or has not changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from built_image import BuiltImage, built_image
from pants_runner import PantsRunner, pants_runner
from recorded_run import BACKENDS, run_recorded
from sysroot_of_app import make_sysroot

HELLO = "testprojects/hello:image"
SCRIPT = "testprojects/hello/hello.sh"
PARTS = ("testprojects/hello", BACKENDS)


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    with pants_runner(tmp_path_factory.mktemp("pants"), parts=PARTS) as runner:
        yield runner


@pytest.fixture
def hello(pants: PantsRunner) -> BuiltImage:
    """The image of hello as the project now stands."""
    run_recorded(pants, "package", HELLO)
    return built_image(pants, HELLO)


def test_first_build_runs_processes(pants: PantsRunner) -> None:
    run = run_recorded(pants, "package", HELLO)

    assert {process.module for process in run.processes} == {"occlum_build.elf.scan"}
    assert run.ran == [process.description for process in run.processes]
    assert all(HELLO in description for description in run.ran)
    assert "pants_occlum.image.planning.plan_image" in run.rules


def test_nothing_runs_when_nothing_changed(pants: PantsRunner, hello: BuiltImage) -> None:
    before = (hello.digest, hello.inodes())

    run = run_recorded(pants, "package", HELLO)

    assert run.processes == ()
    assert (hello.digest, hello.inodes()) == before


def test_nothing_runs_after_touch(pants: PantsRunner, hello: BuiltImage) -> None:
    before = (hello.digest, hello.inodes())
    for name in ("BUILD", "bom.yaml", "hello.sh"):
        os.utime(pants.build_root / "testprojects/hello" / name)

    run = run_recorded(pants, "package", HELLO)

    assert run.ran == []
    assert (hello.digest, hello.inodes()) == before


def test_nothing_runs_in_a_second_checkout(
    pants: PantsRunner, hello: BuiltImage, tmp_path: Path
) -> None:
    options = ("--no-pantsd", f"--local-store-dir={pants.top / 'store'}")
    with pants_runner(tmp_path / "elsewhere", parts=PARTS, options=options) as second:
        shutil.copy2(pants.build_root / SCRIPT, second.build_root / SCRIPT)
        run = run_recorded(second, "package", HELLO)

        assert {process.source for process in run.processes} == {"HitLocally"}
        assert built_image(second, HELLO).digest == hello.digest


def test_nothing_runs_after_targets_are_renamed(pants: PantsRunner, hello: BuiltImage) -> None:
    build_file = pants.build_root / "testprojects/hello/BUILD"
    text = build_file.read_text()
    renamed = text.replace('"image"', '"picture"').replace('"bom"', '"list"')
    build_file.write_text(renamed.replace('":bom"', '":list"'))

    run = run_recorded(pants, "package", "testprojects/hello:picture")

    build_file.write_text(text)
    assert run.ran == []
    assert built_image(pants, "testprojects/hello:picture").digest == hello.digest


def test_an_edit_rewrites_one_file(pants: PantsRunner, hello: BuiltImage) -> None:
    digest, inodes = hello.digest, hello.inodes()
    with (pants.build_root / SCRIPT).open("a") as script:
        script.write("echo Bye.\n")

    run_recorded(pants, "package", HELLO)

    assert hello.digest != digest
    assert (hello.tree / "bin/hello").read_text().endswith("echo Bye.\n")
    after = hello.inodes()
    assert [path for path in inodes if inodes[path] != after.get(path)] == ["bin/hello"]
    assert after.keys() == inodes.keys()


def test_deleted_dist_comes_back(pants: PantsRunner, hello: BuiltImage) -> None:
    digest, listing = hello.digest, hello.listing()
    shutil.rmtree(pants.dist)

    run = run_recorded(pants, "package", HELLO)

    assert run.processes == ()
    assert (hello.digest, hello.listing()) == (digest, listing)


def test_a_replaced_host_library_is_seen(pants: PantsRunner, tmp_path: Path) -> None:
    sysroot = make_sysroot(tmp_path / "sysroot")
    pants.write(
        "app/BUILD",
        'occlum_bom(name="bom", source="bom.yaml")\nocclum_image(name="image", boms=[":bom"])\n',
    )
    pants.write("app/bom.yaml", "targets:\n- {target: /bin, copy: [{files: [/bin/app]}]}\n")
    command = (f"--occlum-sysroot={sysroot.top}", "package", "app:image")
    run_recorded(pants, *command)
    app = built_image(pants, "app:image")
    digest, inodes, size = app.digest, app.inodes(), sysroot.library.stat().st_size

    sysroot.make_library(2)
    run = run_recorded(pants, *command)

    assert sysroot.library.stat().st_size == size
    assert app.digest != digest
    assert (app.tree / "lib/libapp.so").read_bytes() == sysroot.library.read_bytes()
    after = app.inodes()
    assert [path for path in inodes if inodes[path] != after.get(path)] == ["lib/libapp.so"]
    assert len(run.ran) == 1
    assert run_recorded(pants, *command).processes == ()
