"""Two images of one repository that share a BOM and a packaged tool."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

import pytest

from built_image import BuiltImage, built_image
from pants_runner import PantsRunner, pants_runner
from recorded_run import BACKENDS, RecordedRun, run_recorded

GREETER = "testprojects/monorepo/greeter:image"
CLOCK = "testprojects/monorepo/clock:image"
PARTS = ("testprojects/monorepo", BACKENDS)
# The copy of the project has no lock files; the tool has no requirements.
OPTIONS = ("--no-python-enable-resolves",)


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    top = tmp_path_factory.mktemp("pants")
    with pants_runner(top, parts=PARTS, backends=None, options=OPTIONS) as runner:
        yield runner


@pytest.fixture
def images(pants: PantsRunner) -> tuple[BuiltImage, BuiltImage]:
    """The greeter and the clock, as the project now stands."""
    _package(pants)
    return built_image(pants, GREETER), built_image(pants, CLOCK)


def test_both_have_what_they_share(images: tuple[BuiltImage, BuiltImage]) -> None:
    greeter, clock = (image.listing() for image in images)

    assert greeter.keys() - clock.keys() == {"app/greeter.sh"}
    assert clock.keys() - greeter.keys() == {"app/clock.sh"}
    assert greeter["opt/tool/tool.pex"] == clock["opt/tool/tool.pex"]
    assert greeter["opt/tool/tool.pex"][0] == "-rwxr-xr-x"
    assert zipfile.is_zipfile(images[0].tree / "opt/tool/tool.pex")


def test_an_edit_of_one_app_leaves_the_other_image_alone(
    pants: PantsRunner, images: tuple[BuiltImage, BuiltImage]
) -> None:
    greeter, clock = images
    before = (greeter.digest, clock.digest, clock.inodes())

    _edit(pants, "greeter/greeter.sh", "echo Bye.\n")
    run = _package(pants)

    assert greeter.digest != before[0]
    assert (clock.digest, clock.inodes()) == before[1:]
    assert all(GREETER in description for description in run.ran), run.ran
    assert run.rules.count("pants_occlum.image.planning.plan_image") == 1


def test_an_edit_of_the_shared_bom_changes_both(
    pants: PantsRunner, images: tuple[BuiltImage, BuiltImage]
) -> None:
    before = [image.digest for image in images]

    _edit(pants, "common/bom.yaml", "  - target: /\n    mkdirs: [tmp]\n")
    run = _package(pants)

    assert not any(description.startswith("Scan") for description in run.ran), run.ran
    assert all(image.digest != digest for image, digest in zip(images, before))
    assert all((image.tree / "tmp").is_dir() for image in images)


def test_an_edit_of_the_tool_changes_both(
    pants: PantsRunner, images: tuple[BuiltImage, BuiltImage]
) -> None:
    before = [image.digest for image in images]

    _edit(pants, "tool/main.py", "\nVERSION = 2\n")
    _package(pants)

    assert all(image.digest != digest for image, digest in zip(images, before))


def _package(pants: PantsRunner) -> RecordedRun:
    return run_recorded(pants, "package", GREETER, CLOCK)


def _edit(pants: PantsRunner, path: str, added: str) -> None:
    with (pants.build_root / "testprojects/monorepo" / path).open("a") as file:
        file.write(added)
