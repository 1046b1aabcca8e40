"""A working directory for tests of `packages`: a small signed archive, its keyring, a request."""

from __future__ import annotations

from pathlib import Path

import pytest

from occlum_build.cli.main import main
from occlum_build.packages.testing_archive import Archive, keyring
from occlum_build.packages.testing_debs import Item, deb_of, link

MASTER = "./usr/share/base-passwd/passwd.master"
ALTERNATIVE = "#!/bin/sh\nupdate-alternatives --install /usr/bin/x x /usr/bin/app 1\nadduser app\n"
CONFIG = """\
archives:
- {name: debian, mirrors: ["file:mirror"], suites: [stable], components: [main], keyring: keys.asc}
packages: [app]
"""


class PackagesWorkspace:
    """`c.yaml` asks for `app`, which needs `base-passwd`; the archive is below `mirror`."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path, self.capsys = path, capsys
        self.archive = Archive(path / "mirror")
        self.update()
        (path / "keys.asc").write_bytes(keyring())
        self.configure()

    def configure(self, more: str = "", mirror: str = "") -> None:
        """Write the configuration, with more lines."""
        text = CONFIG.replace("file:mirror", mirror or f"file:{self.path}/mirror")
        (self.path / "c.yaml").write_text(text + more)

    def update(self, version: str = "1", content: bytes = b"#!/bin/x\n") -> None:
        """Let the archive have a version of app, and no other."""
        app = self.archive.deb(
            "app",
            version,
            items=[Item("./bin/app", content, 0o755), link("./usr/bin/other", "app")],
            scripts={"postinst": ALTERNATIVE},
            fields={"Depends": "base-passwd"},
        )
        root = b"root:*:0:0::/root:/bin/sh\n"
        base = self.archive.deb("base-passwd", items=[Item(MASTER, root)])
        self.archive.suite("stable", [app, base])

    def own_deb(self, name: str = "own", content: bytes = b"own") -> None:
        """A .deb of the project in `debs`."""
        (self.path / "debs").mkdir(exist_ok=True)
        data = deb_of(name, "1", items=[Item(f"./opt/{name}", content)])
        (self.path / f"debs/{name}.deb").write_bytes(data)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output and error of `packages`."""
        try:
            code = main(["packages", *arguments])
        except SystemExit as usage:
            code = usage.code if isinstance(usage.code, int) else -1
        out, err = self.capsys.readouterr()
        return code, out, err

    def done(self, *arguments: str) -> tuple[str, str]:
        """Standard output and error of a run that succeeds."""
        code, out, err = self.run(*arguments)
        assert code == 0, err
        return out, err

    def failed(self, *arguments: str) -> str:
        """Standard error of a run that fails, with a hint, and says nothing else."""
        code, out, err = self.run(*arguments)
        assert (code, out) == (1, ""), err
        assert "\n  hint: " in err
        return err

    def files(self) -> list[str]:
        """Names in the working directory, but of the archive and the cache."""
        return sorted(
            one.name for one in self.path.iterdir() if one.name not in (".cache", "mirror")
        )
