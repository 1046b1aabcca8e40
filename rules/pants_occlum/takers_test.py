"""Images and enclaves in artefacts of other backends: what they get, and what is said if little."""

from __future__ import annotations

import io
import shutil
import tarfile

import pytest
from pants.backend.adhoc.target_types import AdhocToolTarget
from pants.backend.docker.target_types import DockerImageTarget
from pants.engine.addresses import Address

from pants_occlum.takers import taking
from pants_occlum.testing import Project

BUILD = """
    occlum_files(name="files", target="/bin", files=["app.sh"])
    occlum_files(name="points", target="/", mkdirs=["dev", "etc", "host", "proc"])
    files(name="sources", sources=["app.sh"])
    file(name="stand_in", source="stand_in.tar.xz")
    occlum_toolchain(name="toolchain", archive=":stand_in")
    occlum_image(name="image", boms=[":files", ":points"]{image})
    occlum_enclave(name="enclave", image=":image", toolchain=":toolchain"{enclave})
    rune_bundle(name="bundle", image=":image", args=["/volume/app"], allow=["program"])
    oci_image(name="oci", image=":image", entry_point=["/volume/app"]{oci})
    """
TAKER = """
    archive(name="ship", format="tar", packages=[{packages}])
    """
WARNING = "takes what this is packaged as, which is"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("project"))
    (project.root / "app").mkdir()
    shutil.copy("testprojects/toolchain/stand_in.tar.xz", project.root / "app")
    project.write({"app/app.sh": "#!/bin/sh\n"})
    (project.root / "app/app.sh").chmod(0o755)
    return project


def shipped(
    project: Project, *packages: str, image: str = "", enclave: str = "", oci: str = ""
) -> list[str]:
    """What an archive of the packages holds."""
    named = ", ".join(map(repr, packages))
    project.write(
        {
            "app/BUILD": BUILD.format(image=image, enclave=enclave, oci=oci),
            "ship/BUILD": TAKER.format(packages=named),
        }
    )
    assert project.run_package("ship:ship").exit_code == 0
    with tarfile.open(project.root / "dist/ship/ship.tar") as archive:
        return sorted(member.name for member in archive if member.isfile())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    told = [one.getMessage() for one in caplog.records if WARNING in one.getMessage()]
    caplog.clear()
    return told


def test_what_is_given(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    packages = ("app:image", "app:enclave", "app:oci")
    assert shipped(project, *packages, image=', formats=["tar"]') == [
        "app/enclave/image.digest",
        "app/enclave/measurement.json",
        "app/enclave/occlum_instance.tar.gz",
        "app/image/image.digest",
        "app/image/image.tar",
        "app/oci/image.oci.tar",
        "app/oci/oci.digest",
    ]
    assert warnings(caplog) == []
    with tarfile.open(project.root / "dist/ship/ship.tar") as archive:
        inner = archive.extractfile("app/image/image.tar")
        assert inner is not None
        with tarfile.open(fileobj=io.BytesIO(inner.read())) as image:
            assert image.getmember("bin/app.sh").mode == 0o755


@pytest.mark.parametrize(
    ("name", "fields", "given", "hint"),
    [
        ("image", {}, "image.digest", 'add "tar" to its `formats`: then image.tar is given too'),
        (
            "enclave",
            {"enclave": ", sign=False"},
            "image.digest and measurement.json",
            "occlum_instance.tar.gz is made of signed enclaves: leave out `sign=False`",
        ),
        (
            "bundle",
            {},
            "nothing",
            "a bundle is a directory of dist/ alone: name an `oci_image` of the same instead",
        ),
        (
            "oci",
            {"oci": ', formats=["layout"]'},
            "oci.digest",
            'add "archive" to its `formats`, for image.oci.tar',
        ),
    ],
)
def test_what_is_not_given(
    project: Project,
    caplog: pytest.LogCaptureFixture,
    name: str,
    fields: dict[str, str],
    given: str,
    hint: str,
) -> None:
    for _ in range(2):  # also from memory
        assert not any("tar" in one for one in shipped(project, f"app:{name}", **fields))
        expected = f"app:{name}: `packages` of ship:ship {WARNING} {given}\n  hint: {hint}"
        assert warnings(caplog) == [expected]
    project.write({"ship/BUILD": ""})
    assert project.run_package(f"app:{name}").exit_code == 0
    assert warnings(caplog) == []


def test_addresses_as_they_may_be_written(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    image = 'formats=["dir"], boms=["app:points"]'
    taker = 'archive(name="{0}", format="tar", packages=["{1}"])\n'
    shipped(project)
    project.write(
        {
            "BUILD": f'occlum_image(name="image", {image})\n{taker.format("here", ":image")}',
            "ship/BUILD": f"occlum_image({image})\n{taker.format('own', ':ship')}"
            + taker.format("root", "//:image")
            + taker.format("app", "//app:image")
            + taker.format("short", "ship"),
        }
    )
    for address, takers in (
        ("//:image", "`packages` of //:here and `packages` of ship:root"),
        ("app:image", "`packages` of ship:app"),
        ("ship:ship", "`packages` of ship:own and `packages` of ship:short"),
    ):
        caplog.clear()
        assert project.run_package(address).exit_code == 0
        (told,) = warnings(caplog)
        assert told.startswith(f"{address}: {takers} takes what")
    project.write({"BUILD": "", "ship/BUILD": ""})


def test_it_can_be_allowed(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    shipped(project, "app:image", image=', allow=["package-part: the digest is all it needs"]')
    assert warnings(caplog) == []


def test_who_else_takes_packages(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    shipped(project, image="")
    project.write(
        {
            "ship/BUILD": """
                occlum_files(name="files", target="/", packages=["app:image"])
                occlum_image(name="nested", boms=[":files"])
                """
        }
    )
    project.run_package("app:image")
    (told,) = warnings(caplog)
    assert told.startswith("app:image: `packages` of ship:files takes")
    # A mistake elsewhere is told to those whose it is.
    project.write({"ship/BUILD": "archive(\n"})
    assert project.run_package("app:image").exit_code == 0
    project.write({"ship/BUILD": 'archive(name="ship", format="tar", packages=["nowhere:image"])'})
    assert project.run_package("app:image").exit_code == 0
    assert warnings(caplog) == []


def test_build_files_without_the_name_are_not_looked_into(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    """Pants reads BUILD files anew in each run: all those of a large project take seconds."""
    project.write({"other/BUILD": "archive(\n"})
    shipped(project, "app:image")
    (told,) = warnings(caplog)
    assert told.startswith("app:image: `packages` of ship:ship takes")
    project.write({"other/BUILD": ""})


def test_targets_of_other_backends() -> None:
    """Of those whose tools are not run here."""
    address = Address("ship", target_name="it")
    docker = DockerImageTarget({"dependencies": ["app:image", "!app:oci"]}, address)
    ((field, values),) = [(one.field, one.values) for one in taking(docker)]
    assert (field, values) == ("dependencies", ("app:image", "!app:oci"))
    tool = {"runnable": ":tool", "execution_dependencies": ["app:image"]}
    assert [one.field for one in taking(AdhocToolTarget(tool, address))] == [
        "execution_dependencies"
    ]
