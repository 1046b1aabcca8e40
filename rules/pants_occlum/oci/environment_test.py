"""An OCI image of a plain image warns of what its `env` names and the image lacks."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pants_occlum.testing import Project


@pytest.fixture
def app(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.host("zone", b"TZif")
    project.write(
        {
            "app/bom.yaml": """
                targets:
                  - {target: /usr/share/zoneinfo/Europe, copy: [{files: [
                      {name: /zone, rename: Berlin}]}]}
                """,
            "app/BUILD": """
                occlum_bom(name="bom", source="bom.yaml")
                occlum_image(name="image", boms=[":bom"])
                oci_image(name="there", image=":image", env=["TZ=Europe/Berlin"])
                oci_image(name="absent", image=":image", env=["TZ=Europe/Paris"])
                oci_image(
                    name="allowed", image=":image", env=["TZ=Europe/Paris"],
                    allow=["runtime-timezone"],
                )
                """,
        }
    )
    return project


@pytest.mark.parametrize(
    ("target", "is_warned"), [("there", False), ("absent", True), ("allowed", False)]
)
def test_a_time_zone_that_the_image_lacks(
    app: Project, caplog: pytest.LogCaptureFixture, target: str, is_warned: bool
) -> None:
    caplog.set_level(logging.INFO)
    app.run_package(f"app:{target}")
    text = "TZ=Europe/Paris names a time zone that the image does not have"
    told = [record for record in caplog.records if text in record.getMessage()]
    assert [one.levelno for one in told] == [logging.WARNING] * is_warned
