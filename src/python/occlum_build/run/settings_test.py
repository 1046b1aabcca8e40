from __future__ import annotations

from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.run.settings import RunSettings, settings_of
from occlum_build.run.spec import Mount
from occlum_build.sgx.config import check, default_config, merge, parse_json

ROOT_MOUNT = """{"type": "unionfs", "target": "/", "options": {"layers": [
    {"type": "sefs", "target": "/", "options": {"MAC": ""}}, {"type": "sefs", "target": "/"}]}}"""


def settings(patch: str, folder: Path) -> RunSettings:
    document = merge(default_config(), parse_json(patch.encode(), "Occlum.json"))
    return settings_of(document, check(document), str(folder))


def test_the_default_configuration(tmp_path: Path) -> None:
    found = settings("{}", tmp_path)
    assert found.env == ("OCCLUM=yes",)
    assert found.untrusted == ("EXAMPLE",)
    assert found.memory_bytes == 300 << 20
    assert found.mounts == (Mount("/host", f"{tmp_path}/."),)
    assert found.notes == ()


def test_the_environment_is_merged_as_in_the_enclave(tmp_path: Path) -> None:
    env = '{"env": {"default": ["A=1", "B=2=3", "no value", "=x"], "untrusted": ["B", "C", "D"]}}'
    found = settings(env, tmp_path)
    outside = {"A": "not", "B": "b", "C": "c", "E": "not"}
    assert found.with_env(outside).env == ("A=1", "B=b", "C=c")
    found.check_outside(["B", "C"])
    with pytest.raises(OcclumError, match="the enclave takes no A, Z from outside"):
        found.check_outside(["Z", "A", "B"])


def test_without_a_configuration_any_variable_may_come(tmp_path: Path) -> None:
    found = RunSettings()
    found.check_outside(["A"])
    assert found.with_env({"A": "1"}).env == ("A=1", "OCCLUM=yes")


def test_mounts(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    mounts = (
        ROOT_MOUNT,
        '{"type": "hostfs", "target": "/in", "source": "in"}',
        '{"type": "ramfs", "target": "/tmp"}',
        '{"type": "sefs", "target": "/data", "source": "./run/data"}',
        '{"type": "unionfs", "target": "/u//", "options": {"layers": []}}',
        '{"type": "procfs", "target": "/proc"}',
    )
    found = settings(f'{{"mount": [{", ".join(mounts)}]}}', tmp_path)
    assert found.mounts == (
        Mount("/in", f"{tmp_path}/in"),
        Mount("/tmp"),
        Mount("/data"),
        Mount("/u//"),
    )
    (note,) = found.notes
    assert note.message.endswith("is lost: /data ('sefs'), /u ('unionfs')")


def test_a_directory_of_the_host_that_is_not_there(tmp_path: Path) -> None:
    mount = '{"type": "hostfs",\n "target": "/in", "source": "gone"}'
    with pytest.raises(OcclumError) as raised:
        settings(f'{{"mount": [{ROOT_MOUNT},\n{mount}]}}', tmp_path)
    (problem,) = raised.value.problems
    assert str(problem.place) == "Occlum.json:3:1"
    assert f"$.mount[1]: the hostfs shows {tmp_path}/gone, which is no directory" in str(problem)
