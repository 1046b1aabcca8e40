"""Who sets LD_LIBRARY_PATH warns of a library that it does not lead to."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pants_occlum.testing import Project

LOADER = Path("/lib64/ld-linux-x86-64.so.2")
LIBC = Path("/lib/x86_64-linux-gnu/libc.so.6")
CODE_TEXT = "library libc.so.6, needed by /bin/true, is in the image at /opt/my/lib/libc.so.6"

pytestmark = pytest.mark.skipif(not LIBC.exists(), reason="the machine is no Debian for x86-64")


@pytest.fixture
def app(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.host("bin/true", Path("/bin/true").read_bytes(), 0o755)
    project.host("lib64/ld-linux-x86-64.so.2", LOADER.read_bytes(), 0o755)
    project.host("opt/libc.so.6", LIBC.read_bytes())
    project.write(
        {
            "app/bom.yaml": """
                targets:
                  - {target: /bin, copy: [{files: [/bin/true]}]}
                  - {target: /opt/my/lib, copy: [{files: [/opt/libc.so.6]}]}
                """,
            "app/BUILD": """
                occlum_bom(name="bom", source="bom.yaml")
                occlum_image(name="image", boms=[":bom"])
                occlum_image(name="allowing", boms=[":bom"], allow=["library-elsewhere"])
                oci_image(name="oci", image=":image", entry_point=["/bin/true"])
                oci_image(name="of_allowing", image=":allowing", entry_point=["/bin/true"])
                oci_image(
                    name="set",
                    image=":image",
                    entry_point=["/bin/true"],
                    env=["LD_LIBRARY_PATH=/x:/opt/my/lib"],
                )
                """,
        }
    )
    return project


@pytest.mark.parametrize(
    ("target", "is_warned"),
    [("image", True), ("allowing", False), ("oci", True), ("of_allowing", False), ("set", False)],
)
def test_warning_of_a_library_elsewhere(
    app: Project, caplog: pytest.LogCaptureFixture, target: str, is_warned: bool
) -> None:
    caplog.set_level(logging.INFO)
    app.run_package(f"app:{target}")
    told = [record for record in caplog.records if CODE_TEXT in record.getMessage()]
    assert [one.levelno for one in told] == [logging.WARNING] * is_warned
