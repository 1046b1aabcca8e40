"""Another repository that has the plugin from the wheels, by an index, and nothing of this one."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from occlum_build.packages.testing_server import Answer, MirrorServer, served
from occlum_build.version import VERSION
from pants_runner import PantsRunner, pants_runner

LIBRARY, PLUGIN = (
    f"{name}-{VERSION}-py3-none-any.whl" for name in ("occlum_build", "pants_occlum")
)
_OURS = ("src", "rules", "3rdparty")
# In place of Pants' own launcher, which makes an environment of Pants as ./pants here has.
_LAUNCHER = '#!/bin/sh\nexec "$OCCLUM_VENV/bin/python" -m pants "$@"\n'
# As in pants.toml here, for machines whose pip has constraints (docs/troubleshooting.md).
_PIP = {
    "PANTS_PYTHON_PIP_VERSION": "latest",
    "PANTS_SUBPROCESS_ENVIRONMENT_ENV_VARS": "+['_PEX_PIP_VERSION=23.2']",
}


def built_wheels() -> Path:
    """The directory that Pants put the wheels into: the test's own, or dist/ of a run by hand."""
    for folder in (Path.cwd(), Path("dist").resolve()):
        if (folder / LIBRARY).exists():
            return folder
    raise AssertionError("no wheels: ./pants package //:occlum-build rules:pants-occlum")


@contextlib.contextmanager
def foreign_repository(
    top: Path, *, parts: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Iterator[PantsRunner]:
    """A build root in the empty directory `top` with `parts` of this project; it has no pants.toml.

    What a machine would know is in the environment: an index with the wheels, and the pex of this
    project, as Pants' own comes from GitHub.
    """
    wheels = built_wheels()
    with served(wheels) as site:
        for wheel in (LIBRARY, PLUGIN):
            _add_to_index(site, wheels / wheel)
        known = {
            "PANTS_PYTHON_REPOS_INDEXES": f"+['{site.url}/simple/']",
            "NO_SCIE_WARNING": "1",
            **_PIP,
            **_pex_cli(Path("pants.toml").read_text()),
            **(env or {}),
        }
        with pants_runner(top, parts=parts, backends=None, env=known) as runner:
            for part in _OURS:
                shutil.rmtree(runner.build_root / part)
            (runner.build_root / "pants.toml").unlink()
            runner.write("pants", _LAUNCHER)
            yield runner


def _add_to_index(site: MirrorServer, wheel: Path) -> None:
    """Have a wheel in a package index, as pip reads one (PEP 503)."""
    project = wheel.name.partition("-")[0].replace("_", "-")
    page = f'<a href="/{wheel.name}">{wheel.name}</a>'.encode()
    site.answers[f"/simple/{project}/"] = Answer(
        body=page, headers=(("Content-Type", "text/html"),)
    )


def _pex_cli(pants_toml: str) -> dict[str, str]:
    """The section [pex-cli] of this project, as variables."""
    section = pants_toml.partition("\n[pex-cli]\n")[2].partition("\n[")[0]
    (version,) = re.findall(r'^version = "(.*)"$', section, re.MULTILINE)
    known = re.findall(r'^  "(v.*)",$', section, re.MULTILINE)
    return {
        "PANTS_PEX_CLI_VERSION": version,
        "PANTS_PEX_CLI_URL_TEMPLATE": f"file:{os.environ['OCCLUM_VENV']}/pex.pex",
        "PANTS_PEX_CLI_KNOWN_VERSIONS": str(known),
    }
