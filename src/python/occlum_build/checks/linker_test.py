from __future__ import annotations

from occlum_build.checks.linker import RootSources
from occlum_build.checks.testing import root_of
from occlum_build.sources.model import DIR, Sources


def test_a_root_as_sources_answers_all_that_can_be_asked() -> None:
    sources: Sources = RootSources(root_of({"/bin/app": b"text", "/link": "-> bin"}))
    root, link = sources.lstat("/"), sources.lstat("/link")
    assert root is not None and root.kind == DIR
    assert link is not None and link.target == "bin"
    assert sources.lstat("/none") is None
    assert sources.read("/bin/app") == b"text"
    assert (sources.names("/bin"), sources.sha256("/bin/app"), sources.malformed("/bin")) == (
        (),
        "",
        "",
    )
