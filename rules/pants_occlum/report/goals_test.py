from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pants.engine.internals.scheduler import ExecutionError

from occlum_build.image.testing_schema import check_json
from pants_occlum.report.goals.diff import OcclumDiff
from pants_occlum.report.goals.size import OcclumSize
from pants_occlum.report.goals.why import OcclumWhy
from pants_occlum.testing import Project

APP = {
    "app/bom.yaml": """
        targets:
          - target: /bin
            copy:
              - files: [/bin/tool]
          - target: /data
            copy:
              - dirs: [../conf]
        """,
    "app/BUILD": """
        occlum_bom(name="bom", source="bom.yaml")
        occlum_image(name="image", boms=[":bom"])
        occlum_rootfs(name="rootfs", image=":image", lower="/a", upper="/b")
        occlum_image(name="other", boms=[":bom"])
        files(name="files", sources=["conf/**"])
        """,
    "app/conf/one": "1" * 1000,
    "app/conf/two": "1" * 1000,
}
TOOL = Path("/bin/true")


@pytest.fixture
def app(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write(APP)
    project.host("bin/tool", TOOL.read_bytes(), 0o755)
    for library in ("lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/libc.so.6"):
        project.host(library)
        shutil.copy(f"/{library}", project.sysroot / library)
    return project


def failure(app: Project, goal: type, *args: str) -> str:
    with pytest.raises(ExecutionError) as caught:
        app.run(goal, *args)
    errors: tuple[Exception, ...] = caught.value.wrapped_exceptions
    return str(errors[0])


def test_why(app: Project) -> None:
    found = app.run(OcclumWhy, "app:image", "--", "libc.so.6")
    assert (found.exit_code, found.stderr) == (0, "")
    lines = found.stdout.splitlines()
    assert lines[1:3] == ["  app/bom.yaml:5:17 copies /bin/tool", "  -> /bin/tool"]
    assert lines[3].startswith("  -> DT_NEEDED libc.so.6, found by ")
    found = app.run(OcclumWhy, "--json", "--all", "app:rootfs", "--", "/data/conf", "none")
    value = json.loads(found.stdout)
    check_json(value, "occlum_build.report", "why.schema.json")
    assert value["image"] == "app:image"
    assert found.exit_code == 1
    assert found.stderr.startswith("error: none: the image does not have it; looked for\n  1. ")


def test_why_of_what_has_no_image(app: Project) -> None:
    assert "was not told what to look for" in failure(app, OcclumWhy, "app:image")
    assert "'' asks for nothing." in failure(app, OcclumWhy, "app:image", "--", "")
    assert "and none was named" in failure(app, OcclumWhy, "app:files", "--", "x")
    several = failure(app, OcclumWhy, "app:", "--", "x")
    assert "takes one image, not 3: app:image, app:other and app:rootfs." in several


def test_diff(app: Project) -> None:
    kept = app.package("app:image").relative_to(app.root)
    found = app.run(OcclumDiff, f"--against={kept}", "app:image")
    assert (found.exit_code, found.stdout) == (0, "the image does not move MRENCLAVE\n")
    assert app.run(OcclumDiff, "--against=app:other", "app:image").exit_code == 0
    app.write({"app/conf/one": "2"})
    found = app.run(OcclumDiff, f"--against={kept}/manifest.json", "app:image")
    assert found.exit_code == 1
    assert found.stdout.splitlines()[:2] == [
        "another content of what BOM line app/bom.yaml:8:16 brings: 1 changed, -999 bytes",
        "  changed /data/conf/one: 1,000 -> 1 bytes",
    ]
    found = app.run(OcclumDiff, "--json", f"--against={kept}", "app:rootfs")
    value = json.loads(found.stdout)
    check_json(value, "occlum_build.report", "diff.schema.json")
    assert (value["old"]["name"], value["new"]["name"]) == (str(kept), "app:rootfs")


def test_diff_with_nothing_to_compare(app: Project) -> None:
    assert "was not told what to compare with" in failure(app, OcclumDiff, "app:image")
    assert "is no file, and no address" in failure(app, OcclumDiff, "--against=x", "app:image")
    assert "none was named" in failure(app, OcclumDiff, "--against=app:files", "app:image")
    assert "app has no manifest.json" in failure(app, OcclumDiff, "--against=app", "app:image")


def test_size(app: Project) -> None:
    found = app.run(OcclumSize, "app:image", "app:other")
    assert found.exit_code == 0
    assert app.run(OcclumSize, "app:image", "app:other", "app:rootfs").stdout == found.stdout
    heads = [line for line in found.stdout.splitlines() if line.startswith("app:")]
    assert [line.split(": ")[0] for line in heads] == ["app:image", "app:other"]
    assert "1,000  2 times: /data/conf/one, /data/conf/two" in found.stdout
    found = app.run(OcclumSize, "--json", "--max=1KB", "app:image")
    assert found.exit_code == 1
    assert found.stderr.startswith("error: app:image has ")
    check_json(json.loads(found.stdout), "occlum_build.report", "size.schema.json")


def test_size_with_wrong_options(app: Project) -> None:
    assert "'x' is no size" in failure(app, OcclumSize, "--max=x", "app:image")
    assert "takes one image, not 2" in failure(app, OcclumSize, "--json", "app:image", "app:other")
