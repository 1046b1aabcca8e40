from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from pants.engine.addresses import Address

from occlum_build.errors import OcclumError
from occlum_build.occlum.encrypted_cache import Limits
from pants_occlum.enclave.keys import ImageKey, ImageKeyRequest, image_key
from pants_occlum.testing import run_alone


def _image_key(
    tmp_path: Path,
    *,
    remote_execution: bool = False,
    mode: int = 0o600,
    encrypted_cache: bool = True,
    cache_dir: str = "",
) -> ImageKey:
    key = tmp_path / "key"
    key.write_text("-".join(["5a"] * 16) + "\n")
    key.chmod(mode)
    found = run_alone(
        image_key,
        ImageKeyRequest(Address("app", target_name="enclave")),
        SimpleNamespace(
            image_key_file=str(key),
            encrypted_cache=encrypted_cache,
            encrypted_cache_dir=cache_dir or None,
            encrypted_cache_mb=2,
            encrypted_cache_days=-1,
        ),
        SimpleNamespace(remote_execution=remote_execution),
        SimpleNamespace(val=tmp_path / "caches"),
    )
    assert isinstance(found, ImageKey)
    return found


def test_key_is_known_by_a_link_of_its_fingerprint(tmp_path: Path) -> None:
    key = _image_key(tmp_path)
    (link,) = (tmp_path / "caches/occlum_image_key").iterdir()
    assert link.name == key.fingerprint
    assert link.resolve() == (tmp_path / "key").resolve()


def test_the_encrypted_cache_is_as_it_is_asked_for(tmp_path: Path) -> None:
    cache = _image_key(tmp_path, cache_dir=f"{tmp_path}/own").cache
    assert cache is not None
    assert cache.folder == f"{tmp_path}/own"
    assert cache.limits == Limits(2_000_000, 0)
    assert cache.key not in repr(cache)
    assert _image_key(tmp_path, encrypted_cache=False).cache is None
    with pytest.raises(OcclumError, match=r"encrypted_cache_dir must be an absolute path"):
        _image_key(tmp_path, cache_dir="own")


def test_encrypting_is_refused_with_remote_execution(tmp_path: Path) -> None:
    with pytest.raises(OcclumError, match="on this machine only"):
        _image_key(tmp_path, remote_execution=True)
    assert not (tmp_path / "caches").exists()


def test_a_key_file_is_told_with_its_option(tmp_path: Path) -> None:
    with pytest.raises(OcclumError) as caught:
        _image_key(tmp_path, remote_execution=False, mode=0o644)
    told = str(caught.value.problems[0])
    assert told.endswith("hint: chmod 600 it; [occlum].image_key_file names it")


@pytest.mark.parametrize("value", ["", "a/relative/one"])
def test_where_the_encrypted_cache_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert _folder_of(_image_key(tmp_path)) == tmp_path / "xdg/pants-occlum/encrypted"
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert _folder_of(_image_key(tmp_path)) == tmp_path / ".cache/pants-occlum/encrypted"


def test_runs_with_different_encrypted_caches_keep_apart(tmp_path: Path) -> None:
    """As they may run at once, with the same named caches."""
    for name in ("a", "b"):
        key = _image_key(tmp_path, cache_dir=f"{tmp_path}/{name}")
        assert key.cache is not None
        place, *_ = key.cache.arguments("entry")
        link = tmp_path / "caches/occlum_encrypted" / Path(place).name
        assert link.resolve() == tmp_path / name
    assert len([*(tmp_path / "caches/occlum_encrypted").iterdir()]) == 2


def test_the_key_of_the_encrypted_cache_is_not_shown(tmp_path: Path) -> None:
    key = _image_key(tmp_path)
    assert key.cache is not None
    assert key.cache.key
    shown = f"{key} {key!r} {key.cache} {key.cache.arguments('entry')}"
    assert key.cache.key not in shown


def _folder_of(key: ImageKey) -> Path:
    assert key.cache is not None
    return Path(key.cache.folder)


def test_a_relative_encrypted_cache_is_told_with_its_own_option(tmp_path: Path) -> None:
    with pytest.raises(OcclumError) as caught:
        _image_key(tmp_path, cache_dir="cache")
    told = str(caught.value.problems[0])
    assert "[occlum].encrypted_cache_dir must be an absolute path, not 'cache'" in told
    assert "image_key_file" not in told
