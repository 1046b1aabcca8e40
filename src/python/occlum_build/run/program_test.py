from __future__ import annotations

from pathlib import Path

import pytest

from occlum_build.checks.root import Root
from occlum_build.errors import OcclumError
from occlum_build.run.program import check_program, lacking_places
from occlum_build.run.spec import Mount


@pytest.fixture(scope="module")
def root(image: Path) -> Root:
    return Root.of_directory(str(image))


def error(root: Root, program: str, *entry_points: str) -> str:
    with pytest.raises(OcclumError) as raised:
        check_program(root, program, list(entry_points) or None)
    return str(raised.value.problems[0])


def test_programs_that_can_be_started(root: Root) -> None:
    for program in ("/bin/bash", "/bin/greet"):
        check_program(root, program, None)
        check_program(root, program, ["/bin"])


def test_what_was_meant(root: Root) -> None:
    assert error(root, "bash") == (
        "the program bash is no absolute path in the image\n  hint: did you mean /bin/bash?"
    )
    assert error(root, "/usr/bin/cat").endswith("hint: did you mean /bin/cat?")
    assert error(root, "/bin/bahs").endswith("hint: did you mean /bin/bash?")
    assert error(root, "/bin/gret", "/bin").endswith("hint: did you mean /bin/greet?")
    assert error(root, "zzz").endswith("hint: name it as `/bin/program`")
    assert "copy it into the image by the BOM" in error(root, "/bin/" + "z" * 300)


def test_entry_points_of_an_enclave_hold(root: Root) -> None:
    assert "the program /bin/bash is below no entry point: /opt" in error(root, "/bin/bash", "/opt")
    assert "has `..` in its path" in error(root, "/bin/../bin/bash", "/bin")


def test_what_is_no_program(root: Root) -> None:
    assert "/data is a directory" in error(root, "/data")


def test_places_that_the_image_lacks(root: Root) -> None:
    assert lacking_places(root, [Mount("/tmp"), Mount("/link")]) == []
    (warning,) = lacking_places(root, [Mount("/absent"), Mount("/bin/bash"), Mount("/absent")])
    assert warning.message.endswith("so this is not mounted: /absent, /bin/bash")
