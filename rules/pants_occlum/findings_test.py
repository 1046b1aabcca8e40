from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from pants.core.goals.package import Package

from pants_occlum.testing import Project

# The header of an ELF program for x86-64 that needs nothing, which the scripts name.
PROGRAM = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack(
    "<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 0, 64, 0, 0
)
FILES: Mapping[str, str] = {
    "app/bom.yaml": """
        targets:
          - target: /bin
            copy:
              - files: [../run.sh, /bin/sh]
              - files: [{name: ../other.sh, rename: run.sh}]
        """,
    "app/BUILD": """
        occlum_bom(name="bom", source="bom.yaml")
        occlum_image(name="image", boms=[":bom"])
        occlum_image(name="allowed", boms=[":bom"], allow=["override: the other one is newer"])
        oci_image(name="oci", image=":image", entry_point=["/bin/run.sh"])
        rune_bundle(name="bundle", image=":image", args=["/bin/run.sh"])
        files(name="files", sources=["*.sh"])
        """,
    "app/run.sh": "#!/bin/sh\none\n",
    "app/other.sh": "#!/bin/sh\ntwo\n",
}
MESSAGE = "app/bom.yaml:6:24: overrides what app/bom.yaml:5:17 puts at /bin/run.sh"


def _written(project: Project) -> Project:
    project.write(FILES)
    project.host("bin/sh", PROGRAM, 0o755)
    for name in ("run.sh", "other.sh"):
        (project.root / "app" / name).chmod(0o755)
    return project


@pytest.fixture
def app(tmp_path: Path) -> Project:
    return _written(Project(tmp_path))


def told(
    project: Project, caplog: pytest.LogCaptureFixture, *targets: str, options: tuple[str, ...] = ()
) -> list[str]:
    """The records that tell of app/bom.yaml, `level: message`, of one run of `package`."""
    caplog.clear()
    with caplog.at_level("INFO"):
        assert project.run(Package, *targets, options=options).exit_code == 0
    return [
        f"{record.levelname}: {record.getMessage()}"
        for record in caplog.records
        if "override" in record.getMessage()
    ]


@pytest.mark.parametrize("target", ["app:image", "app:oci", "app:bundle"])
def test_whatever_is_made_of_an_image_tells_in_each_run(
    app: Project, caplog: pytest.LogCaptureFixture, target: str
) -> None:
    for _ in range(2):
        assert told(app, caplog, target) == [f"WARN: app:image: {MESSAGE}"]


def test_a_run_tells_once(app: Project, caplog: pytest.LogCaptureFixture) -> None:
    assert len(told(app, caplog, "app:image", "app:oci", "app:bundle")) == 1


def test_what_a_target_allows_is_counted(app: Project, caplog: pytest.LogCaptureFixture) -> None:
    assert told(app, caplog, "app:allowed") == [
        "INFO: app:allowed: allowed and not shown: 1 of override (the other one is newer)"
    ]


def test_what_an_option_allows(app: Project, caplog: pytest.LogCaptureFixture) -> None:
    options = ("--occlum-allow=override",)
    assert told(app, caplog, "app:image", options=options) == [
        "INFO: app:image: allowed and not shown: 1 of override"
    ]


def test_codes_that_are_none(app: Project) -> None:
    build = FILES["app/BUILD"].replace("override: ", "overide: ")
    app.write({"app/BUILD": build})
    error = app.failure("app:allowed")
    assert "The 'allow' field in target app:allowed: 'overide' is not the code" in error
    assert "did you mean 'override'?" in error
    app.write({"app/BUILD": FILES["app/BUILD"]})
    error = app.failure("app:image", options=("--occlum-allow=x",))
    assert "The option `allow` in [occlum]: 'x' is not the code of a check" in error
    assert "docs/checks.md" in error


# An error of planning, and one of a check of the planned image.
@pytest.mark.parametrize("item", ["../gone.sh", f"{{name: ../run.sh, rename: {'x' * 256}}}"])
def test_warnings_of_an_image_are_told_beside_its_errors(
    app: Project, caplog: pytest.LogCaptureFixture, item: str
) -> None:
    caplog.set_level("INFO")
    bom = FILES["app/bom.yaml"].rstrip()
    app.write({"app/bom.yaml": f"{bom}\n              - files: [{item}]\n"})
    for _ in range(2):
        caplog.clear()
        error = app.failure("app:image")
        assert "cannot be built, 1 error:" in error
        assert [one for one in caplog.messages if "overrides" in one] == [f"app:image: {MESSAGE}"]
    assert "cannot be built, 1 error:" in app.failure("app:allowed")
    assert "allowed and not shown: 1 of override" in caplog.text


def test_warnings_of_an_oci_image_are_told_beside_its_errors(
    app: Project, caplog: pytest.LogCaptureFixture
) -> None:
    build = FILES["app/BUILD"].replace(
        'name="oci", image=":image", entry_point=["/bin/run.sh"]',
        'name="oci", image=":image", entry_point=["/none"], labels={"io.occlum.image-digest": "1"}',
    )
    app.write({"app/BUILD": build})
    assert "the label io.occlum.image-digest is made from" in app.failure("app:oci")
    assert "app:oci: there is no program /none in the image" in caplog.text


def test_warnings_of_a_bundle_are_told_beside_its_errors(
    app: Project, caplog: pytest.LogCaptureFixture
) -> None:
    build = FILES["app/BUILD"].replace(
        'args=["/bin/run.sh"]', 'args=["/none"], env=["ENCLAVE_RUNTIME_PATHS=1"]'
    )
    app.write({"app/BUILD": build})
    assert "there is no program /none" in app.failure("app:bundle")
    assert "app:bundle: ENCLAVE_RUNTIME_PATHS means nothing to rune" in caplog.text


def test_what_cannot_be_written_cannot_be_allowed(app: Project) -> None:
    error = app.failure("app:image", options=("--occlum-allow=name-too-long",))
    assert "The option `allow` in [occlum]: 'name-too-long' cannot be allowed" in error


def test_another_scheduler_in_one_process_tells_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As of a pantsd whose options changed: it counts its runs from the first again."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        assert told(_written(Project(tmp_path / name)), caplog, "app:image") == [
            f"WARN: app:image: {MESSAGE}"
        ]
