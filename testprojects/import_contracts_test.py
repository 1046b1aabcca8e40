"""`./pants lint` keeps the layers of the library and of the backend, as pyproject.toml has them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from pants_runner import PantsResult, PantsRunner, pants_runner

PARTS = ("pyproject.toml", "3rdparty/python/import-linter.lock")
ERRORS = "src/python/occlum_build/errors.py"
ELF_READER = "src/python/occlum_build/elf/read.py"
SUBSYSTEM = "rules/pants_occlum/subsystem.py"
ANNEX = "rules/pants_occlum/annex.py"


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    with pants_runner(tmp_path_factory.mktemp("pants"), parts=PARTS, backends=None) as runner:
        yield runner


def test_contracts_of_this_project_are_kept(pants: PantsRunner) -> None:
    assert "3 kept, 0 broken" in _lint(pants, "::").expect(0).stderr


def test_other_files_are_no_reason_to_run(pants: PantsRunner) -> None:
    assert "Contracts" not in _lint(pants, "pants.toml").expect(0).stderr


def test_imports_upwards_are_named_wherever_they_are(pants: PantsRunner) -> None:
    with (
        _added_import(pants, ELF_READER, "occlum_build.cli.main"),
        _added_import(pants, ERRORS, "pants.util.strutil"),
        _added_import(pants, SUBSYSTEM, "pants_occlum.register"),
    ):
        output = _lint(pants, ERRORS).expect(1).stderr

    assert "The library knows nothing of Pants BROKEN" in output
    assert "occlum_build.errors -> pants (l." in output
    assert "Layers of the library BROKEN" in output
    assert "occlum_build.elf.read -> occlum_build.cli.main (l." in output
    assert "Layers of the backend BROKEN" in output
    assert "pants_occlum.subsystem -> pants_occlum.register (l." in output


def test_a_new_module_must_be_placed(pants: PantsRunner) -> None:
    new = [pants.write(path, "") for path in ("src/python/occlum_build/extra.py", ANNEX)]
    output = _lint(pants, ERRORS).expect(1).stderr
    for file in new:
        file.unlink()

    assert "occlum_build.extra" in output
    assert "pants_occlum.annex" in output


def _lint(pants: PantsRunner, files: str) -> PantsResult:
    return pants.run("lint", "--only=import-linter", files)


@contextlib.contextmanager
def _added_import(pants: PantsRunner, path: str, module: str) -> Iterator[None]:
    """Let a module import another one, where that does not break ./pants itself."""
    text = (pants.build_root / path).read_text(encoding="utf-8")
    pants.write(path, f"{text}\n\ndef _import() -> None:\n    import {module}\n")
    yield
    pants.write(path, text)
