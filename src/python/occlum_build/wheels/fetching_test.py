from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.packages.testing_server import nobody_listens, served
from occlum_build.wheels.fetching import fetch_wheels
from occlum_build.wheels.lock import Wheel

CONTENT = b"bytes of a wheel\n" * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "a-1.0+x-py3-none-any.whl"
BELOW = "packages/ab/cd/" + NAME


def wheel(url: str, sha256: str = SHA256) -> Wheel:
    return Wheel("a", "1.0+x", NAME, url, sha256)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "site" / BELOW).parent.mkdir(parents=True)
    (tmp_path / "site" / BELOW).write_bytes(CONTENT)
    return tmp_path / "site"


def test_the_url_of_the_lock(root: Path, tmp_path: Path) -> None:
    with served(root) as server:
        url = f"{server.url}/{BELOW.replace('+', '%2B')}#sha256={SHA256}"
        for _ in range(2):
            found = fetch_wheels([wheel(url)], tmp_path / "cache", [], {})
            assert found == {SHA256: tmp_path / f"cache/{SHA256}.whl"}
            assert found[SHA256].read_bytes() == CONTENT
        assert server.asked == [f"/{BELOW.replace('+', '%2B')}"]


@pytest.mark.parametrize("host", ["", "localhost"])
def test_a_file_of_the_lock(root: Path, tmp_path: Path, host: str) -> None:
    url = f"file://{host}{root}/{BELOW.replace('+', '%2B')}"
    found = fetch_wheels([wheel(url)], tmp_path / "cache", [], {})
    assert found[SHA256].read_bytes() == CONTENT


@pytest.mark.parametrize(
    "mirror", ["file:{root}/packages/ab/cd/{{name}}", "{root}", "file:{root}/{{path}}"]
)
def test_mirrors_come_first(root: Path, tmp_path: Path, mirror: str) -> None:
    with served(root) as server:
        url = f"{server.url}/{BELOW}"
        found = fetch_wheels([wheel(url)], tmp_path / "cache", [mirror.format(root=root)], {})
        assert found[SHA256].read_bytes() == CONTENT
        assert server.asked == []


def test_a_damaged_file_is_fetched_anew(root: Path, tmp_path: Path) -> None:
    url = f"file://{root}/{BELOW}"
    found = fetch_wheels([wheel(url)], tmp_path / "cache", [], {})
    found[SHA256].write_bytes(b"x" * len(CONTENT))
    assert fetch_wheels([wheel(url)], tmp_path / "cache", [], {}) == found
    assert found[SHA256].read_bytes() == CONTENT


def failure(tmp_path: Path, *urls: str, mirrors: tuple[str, ...] = ()) -> str:
    with pytest.raises(OcclumError) as caught:
        fetch_wheels([wheel(url) for url in urls], tmp_path / "cache", mirrors, {})
    assert caught.value.code == "wheel-gone"
    assert "a 1.0+x (" in str(caught.value) and "is nowhere to be had" in str(caught.value)
    assert "[occlum].wheel_mirrors" in str(caught.value)
    return str(caught.value)


def test_a_path_mapping_needs_a_mirror(root: Path, tmp_path: Path) -> None:
    url = "file://${WHEELS_DIR}/" + NAME
    assert f"{url}: a path mapping" in failure(tmp_path, url)
    text = failure(tmp_path, url, mirrors=(f"file:{root}/{{name}}",))
    assert "not there" in text and "a path mapping" in text
    mirrors = [f"file:{root}/packages/ab/cd/{{name}}"]
    found = fetch_wheels([wheel(url)], tmp_path / "cache", mirrors, {})
    assert found[SHA256].read_bytes() == CONTENT


def test_a_path_mapping_of_a_wheel_that_is_in_the_cache(root: Path, tmp_path: Path) -> None:
    found = fetch_wheels([wheel(f"file://{root}/{BELOW}")], tmp_path / "cache", [], {})
    mapped = wheel("file://${WHEELS_DIR}/" + NAME)
    assert fetch_wheels([mapped], tmp_path / "cache", [], {}) == found


def test_all_that_was_asked_is_told(root: Path, tmp_path: Path) -> None:
    nobody = nobody_listens()
    text = failure(tmp_path, f"{nobody}/x.whl", mirrors=(f"file:{root}",))
    assert f"  file:{root}: not there" in text
    assert f"  {nobody}/{{path}}: Connection refused" in text


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("git+https://host/a", "neither http:, https: nor file:"),
        ("https://me:secret@host/a.whl", "a name or a password"),
        ("http://[::1/a.whl", "Invalid IPv6"),
        ("file://host/a.whl", "neither http:"),
        ("file:///a%00b/a.whl", "a path with a NUL"),
    ],
)
def test_urls_that_are_wrong(tmp_path: Path, url: str, words: str) -> None:
    assert words in failure(tmp_path, url)


@pytest.mark.parametrize(
    "url",
    [
        "https://me:secret@host/a.whl",
        "git+https://me:secret@host/a",
        "https://me:secret@[::1/a.whl",
        "https://me:secret@host/${X}/a.whl",
        "https://me:secret@host/a%00.whl",
    ],
)
def test_no_password_is_told(tmp_path: Path, url: str) -> None:
    assert "secret" not in failure(tmp_path, url)
