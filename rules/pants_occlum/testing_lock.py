"""For tests of lock files: a project with one image whose sysroot has a lock file and packages."""

from __future__ import annotations

from pathlib import Path

from pants.core.goals.generate_lockfiles import GenerateLockfilesGoal

from pants_occlum.testing import Project

_BUILD = """
occlum_sysroot(name="host", root="{root}", lockfile="./host.lock")
occlum_bom(name="bom", source="bom.yaml", loader_config="/loader.config")
occlum_image(name="image", boms=[":bom"], sysroot=":host", formats=["dir", "tar"])
"""
_STATUS = """\
Package: tool
Status: install ok installed
Architecture: amd64
Version: {version}
"""


class LockProject(Project):
    """app:image of app/bom.yaml, and app:host with app/host.lock."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__(tmp_path)
        self.build = _BUILD.format(root=self.sysroot)
        self.write({"app/BUILD": self.build})
        self.host("loader.config")

    def copy(self, what: str) -> None:
        """Let the BOM copy to the root."""
        self.write({"app/bom.yaml": f"targets: [{{target: /, copy: [{{{what}}}]}}]\n"})

    def dpkg(self, version: str, *paths: str) -> None:
        """Make dpkg's database say that the package `tool` brought the paths."""
        self.host("var/lib/dpkg/status", _STATUS.format(version=version).encode())
        self.host("var/lib/dpkg/info/tool.list", "".join(f"{one}\n" for one in paths).encode())

    def install(self, version: str, content: bytes) -> None:
        """Put the package `tool`, with one program, into the sysroot."""
        self.dpkg(version, "/usr/bin/tool")
        self.host("usr/bin/tool", content, 0o755)

    def pin(self, *args: str, options: tuple[str, ...] = ()) -> str:
        """Write the lock file; what the run printed."""
        ran = self.run(GenerateLockfilesGoal, "--resolve=app:host", *args, options=options)
        assert ran.exit_code == 0
        return ran.stderr

    @property
    def lock(self) -> Path:
        return self.root / "app/host.lock"
