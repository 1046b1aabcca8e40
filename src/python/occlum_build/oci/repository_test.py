from __future__ import annotations

import pytest

from occlum_build.errors import OcclumError
from occlum_build.oci.repository import parse_repository


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("registry.example/app", "registry.example/app:latest"),
        ("registry.example/team/my-app:1.0", "registry.example/team/my-app:1.0"),
        ("localhost/app__x:v_1", "localhost/app__x:v_1"),
        ("build:5000/app", "build:5000/app:latest"),
    ],
)
def test_names(text: str, full: str) -> None:
    assert str(parse_repository(text)) == full
    assert parse_repository(full) == parse_repository(text)


@pytest.mark.parametrize(
    ("registry", "is_loopback"),
    [
        ("localhost", True),
        ("LocalHost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.9.9.9", True),
        ("128.0.0.1:5000", False),
        ("127.0.0.1.example", False),
        ("localhost.example", False),
    ],
)
def test_loopback(registry: str, is_loopback: bool) -> None:
    assert parse_repository(f"{registry}/app").is_loopback == is_loopback


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' names no registry"),
        ("redis", "'redis' names no registry"),
        ("team/redis:1.0", "names no registry"),
        ("registry.example", "names no registry"),
        ("registry.example/", "names no registry"),
        ("reg_istry.example/app", "names no registry"),
        ("registry.example:port/app", "names no registry"),
        ("registry.example/Team/app", "has the path 'Team/app'"),
        ("registry.example/team//app", "has the path 'team//app'"),
        ("registry.example/app:", "has the tag ''"),
        ("registry.example/app:a b", "has the tag 'a b'"),
        ("registry.example/app:-x", "has the tag '-x'"),
        ("registry.example/app@sha256:00", "has a digest"),
        ("docker://registry.example/app", "scheme\n  hint: write registry.example/app"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(OcclumError) as error:
        parse_repository(text)
    assert error.value.code == "oci"
    assert message in str(error.value)
