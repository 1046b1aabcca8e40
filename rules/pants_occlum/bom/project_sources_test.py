from __future__ import annotations

from pathlib import Path

import pytest

from pants_occlum.testing import Project

IMAGE = """
occlum_image(name="image", boms=[":files"])
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("named", "others", "chain"),
    [
        ('packages=["app:image"]', "", "app:image"),
        ('dependencies=["app:image"]', "", "app:image"),
        (
            'packages=["b:image"]',
            f'occlum_files(name="files", target="/", packages=["app:image"]){IMAGE}',
            "b:image -> b:files -> app:image",
        ),
        (
            'packages=["b:archive"]',
            'archive(name="archive", format="tar", packages=["app:image"])',
            "b:archive -> app:image",
        ),
        (
            'packages=["b:one", "b:enclave"]',
            """
            archive(name="one", format="tar")
            occlum_enclave(name="enclave", image="app:image")
            """,
            "b:enclave -> app:image",
        ),
    ],
)
def test_an_image_that_would_be_made_of_itself(
    project: Project, named: str, others: str, chain: str
) -> None:
    project.write(
        {
            "app/BUILD": f'occlum_files(name="files", target="/", {named}){IMAGE}',
            "b/BUILD": others,
            "b/a.txt": "",
            "b/loop.txt": "",
        }
    )
    assert project.failure("app:image") == (
        f"app:files would have in it what is made of it: app:files -> {chain} -> app:files. Take "
        f"{chain.partition(' ')[0]} out of its 'packages' or 'dependencies'."
    )


def test_packages_that_lead_back_but_are_not_built_of_it(project: Project) -> None:
    """An archive of an image may go into another image; of `files` it has the sources alone."""
    project.write(
        {
            "app/BUILD": f"""
occlum_files(name="files", target="/", packages=["b:image", "b:archive"])
{IMAGE}""",
            "b/BUILD": f"""
occlum_files(name="files", target="/", files=["./a.txt"], dependencies=[":text"])
files(name="text", sources=["a.txt"])
archive(name="archive", format="tar", packages=[":image"], files=[":loop"])
file(name="loop", source="loop.txt", dependencies=["app:image"])
{IMAGE}""",
            "b/a.txt": "",
            "b/loop.txt": "",
        }
    )
    project.package("app:image")


def test_an_enclave_is_not_made_of_what_it_boots(project: Project) -> None:
    project.write(
        {
            "app/BUILD": f"""
occlum_files(name="files", target="/", packages=["b:template"])
{IMAGE}""",
            "b/BUILD": f"""
occlum_files(name="files", target="/", mkdirs=["bin"])
occlum_rootfs(name="rootfs", image="app:image", lower="lower", upper="upper")
occlum_enclave(name="template", image=":image", boot=":rootfs", init="init")
{IMAGE}""",
            "b/init": "",
        }
    )
    assert "the toolchain has no version-header" in project.failure("app:image")
