from __future__ import annotations

from pathlib import Path

import pytest

from pants_occlum.testing import Project

APP = """
    occlum_files(name="files", target="/bin", files=["app.sh"])
    occlum_image(name="image", boms=[":files"])
    file(name="source", source="app.sh")
    files(name="two", sources=["app.sh", "other.sh"])
    """


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def failure(project: Project, enclave: str, more: str = "") -> str:
    project.write({"app/app.sh": "", "app/other.sh": ""})
    build = "\n".join(line.strip() for line in APP.splitlines())
    project.write({"app/BUILD": f'{build}\n{more}\nocclum_enclave(name="enclave", {enclave})\n'})
    return project.failure("app:enclave")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("", "The 'image' field in target app:enclave must be defined"),
        ('image=[":image", ":other"]', "'image' field in target app:enclave takes the address of"),
        ('image=":source"', "must be an `occlum_image`, but app:source is a `file`"),
        (
            'image=":image", toolchain=":image"',
            "app:image is a `occlum_image`, but the `toolchain`",
        ),
        (
            'image=":image", config={"env": {1}}',
            "'config' field in target app:enclave must hold what",
        ),
        ('image=":image", config="a.json"', "'config' field in target app:enclave must be a dict"),
        ('image=":image", sgx_mode="SIMULATION"', "'sgx_mode' field in target app:enclave"),
        ('image=":image", expected_mrenclave="12"', "must be 64 hex digits, not '12'"),
        ('image=":image", buildin_image_key=True', "app:enclave needs `encrypt=True`"),
    ],
)
def test_mistakes_in_an_enclave(project: Project, fields: str, message: str) -> None:
    assert message in failure(project, fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("", "app:tools must have one of `root`, `archive` and `sysroot`"),
        (
            'root="/opt/occlum", archive=":source"',
            "must have one of `root`, `archive` and `sysroot`",
        ),
        ('root="tools"', "must be an absolute path, not 'tools'; for a toolchain in the project"),
        ('archive=":two"', "must be a target with one file, not 2"),
        (
            'archive=":source"',
            "The 'archive' field in target app:tools cannot be used. Unpack the toolchain "
            "app/app.sh failed:\n\napp/app.sh: no usable tar",
        ),
    ],
)
def test_mistakes_in_a_toolchain(project: Project, fields: str, message: str) -> None:
    toolchain = f'occlum_toolchain(name="tools", {fields})'
    assert message in failure(project, 'image=":image", toolchain=":tools"', toolchain)
