"""Where processes run, and the errors before the first of them where ours cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from pants_occlum.testing import Project

BASE_PATH = "--remote-execution-append-only-caches-base-path"
# Nobody listens there: whatever were sent would fail.
REMOTE = (
    "--remote-execution",
    "--remote-execution-address=grpc://127.0.0.1:9",
    "--remote-store-address=grpc://127.0.0.1:9",
)
NAMES = "--environments-preview-names={'named': '//:environment'}"


def project_with(tmp_path: Path, *options: str, environment: str = "") -> Project:
    """An image of a program, whose facts a process reads, in the environment where one is given."""
    project = Project(tmp_path, bootstrap_args=options)
    project.host("loader.config")
    project.host("bin/app", Path("/proc/self/exe").read_bytes(), 0o755)
    fields = 'environment="named"' if environment else ""
    project.write(
        {
            "BUILD": environment,
            "app/bom.yaml": "targets: [{target: /bin, copy: [{files: [/bin/app]}]}]",
            "app/BUILD": f"""
                occlum_bom(name="bom", source="bom.yaml", loader_config="/loader.config")
                occlum_image(name="image", boms=[":bom"], {fields})
                """,
        }
    )
    return project


@pytest.mark.parametrize("options", [(), (f"{BASE_PATH}=caches",)])
def test_remote_execution_without_a_place_of_the_link(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    error = project_with(tmp_path, *REMOTE, *options).failure("app:image")
    assert "app:image cannot be built" in error
    assert "[GLOBAL].remote_execution_append_only_caches_base_path is" in error
    assert "occlum_python/python is a link to a CPython 3.9" in error


def test_docker(tmp_path: Path) -> None:
    docker = 'docker_environment(name="environment", image="debian@sha256:0")'
    project = project_with(tmp_path, NAMES, environment=docker)
    error = project.failure("app:image")
    assert "app:image cannot be built" in error
    assert "the environment `named` is a `docker_environment`" in error


def test_a_remote_environment_for_another_platform(tmp_path: Path) -> None:
    remote = 'remote_environment(name="environment", platform="linux_arm64")'
    project = project_with(tmp_path, *REMOTE, f"{BASE_PATH}=/caches", NAMES, environment=remote)
    error = project.failure("app:image")
    assert "is a `remote_environment` for linux_arm64, and images are made on" in error


def test_a_local_environment_runs_here_with_remote_execution(tmp_path: Path) -> None:
    local = 'local_environment(name="environment")'
    project = project_with(tmp_path, *REMOTE, NAMES, environment=local)
    # As a process has read here; remotely it would have come to nobody.
    assert "/bin/app needs the loader /lib64/ld-linux" in project.failure("app:image")


def test_variables_are_those_of_this_machine(tmp_path: Path) -> None:
    project = project_with(tmp_path, *REMOTE, f"{BASE_PATH}=/caches")
    project.write(
        {
            "app/bom.yaml": "targets: [{target: /$WHAT, mkdirs: [etc]}]",
            "app/BUILD": """
                occlum_bom(name="bom", source="bom.yaml", env=["WHAT"])
                occlum_image(name="image", boms=[":bom"])
                """,
        }
    )
    image = project.package("app:image", env={"WHAT": "given"})
    assert (image / "image/given/etc").is_dir()
