"""`report` of images: the page is written beside the image, and has what was found of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pants_occlum.testing import Project

FILES = {
    "app/bom.yaml": "targets: [{target: /bin, copy: [{files: [../run.sh]}]}]",
    "app/BUILD": """
        occlum_bom(name="bom", source="bom.yaml")
        occlum_image(name="image", boms=[":bom"], report=True)
        files(name="files", sources=["run.sh"])
        """,
    "app/run.sh": "#!/bin/nothing\n",
}


def data(page: Path) -> Any:
    text = page.read_text(encoding="ascii")
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    return json.loads(found)


def test_report_beside_the_image(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(FILES)
    folder = project.package("app:image")
    made = data(folder / "report.html")
    assert made["name"] == "app:image" and made["measurement"] is None
    assert made["digest"] == (folder / "image.digest").read_text().strip()
    assert made["entries"]["path"] == ["/bin", "/bin/run.sh"]
    assert made["graph"]["path"] == []
    (problem,) = made["problems"]
    assert problem["place"] == "app/bom.yaml:1:42" and "execute bit" in problem["message"]
    first = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    assert (project.package("app:image") / "report.html").read_bytes() == first

    build = FILES["app/BUILD"].replace(", report=True", "")
    project.write({"app/BUILD": build})
    (folder / "report.html").unlink()
    assert not (project.package("app:image") / "report.html").exists()
