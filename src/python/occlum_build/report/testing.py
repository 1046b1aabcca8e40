"""Images for tests, of BOMs and source trees that are made up in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from occlum_build.elf.interpreter import GLIBC_LOADER
from occlum_build.image.graph import GRAPH, graph_of, graph_text
from occlum_build.image.manifest import OfPackages, manifest_text
from occlum_build.image.plan import ImagePlan, PlanOptions
from occlum_build.image.testing import SHARED_OBJECT, Files, TreeView, library, plan_bom, program
from occlum_build.report.model import KnownImage
from occlum_build.report.read import MANIFEST, image_of

CONFIG = f"{GLIBC_LOADER} /d"
BOM = """\
targets:
  - target: /bin
    copy:
      - files: [a, b]
  - target: /
    copy:
      - dirs: [data]
    mkdirs: [data/tmp]
    createlinks:
      - {src: ../bin/a, linkname: data/link}
"""
FILES: Files = {
    "ws/a": program("libx.so"),
    "ws/b": program("liby.so"),
    "ws/data/one": b"1" * 100,
    "ws/data/two": b"1" * 100,
    "ws/data/sub/three": b"333",
    GLIBC_LOADER: SHARED_OBJECT,
    "/d/libx.so": library("liby.so", "libgone.so"),
    "/d/liby.so": library(),
}
PACKAGES = {"/d/libx.so": ("libx1", "1.0-1"), "/d/liby.so": ("liby", "2:3.0")}


class Made:
    """An image that was planned: its manifest and graph as text, and as they are read."""

    def __init__(
        self, bom: str = BOM, files: Files = FILES, packages: OfPackages = PACKAGES
    ) -> None:
        options = PlanOptions(allow_missing=("libgone.so",))
        planned = plan_bom(bom, files, config=CONFIG, options=options)
        if planned.errors:
            raise ValueError(planned.errors)
        self.plan: ImagePlan = planned.plan
        sources = TreeView(files)
        self.manifest = manifest_text(self.plan.entries, sources.sha256, packages)
        self.graph = graph_of(self.plan)

    @property
    def image(self) -> KnownImage:
        return image_of(self.manifest.full, "app:image", self.graph)

    def write(self, folder: Path, more: Mapping[str, bytes] | None = None) -> Path:
        """The files that `package` writes beside an image, and others."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).write_bytes(self.manifest.full)
        (folder / GRAPH).write_bytes(graph_text(self.graph, self.manifest.digest))
        for name, content in (more or {}).items():
            (folder / name).write_bytes(content)
        return folder
