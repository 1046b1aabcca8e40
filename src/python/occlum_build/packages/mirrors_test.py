from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.packages import http_files
from occlum_build.packages.mirrors import Mirrors, Nowhere, gone
from occlum_build.packages.testing_server import Answer, nobody_listens, served
from occlum_build.packages.urls import Wanted

CONTENT = b"bytes of a package\n" * 5000
PATH = "pool/main/g/g++_1.deb"
QUOTED = "/pool/main/g/g%2B%2B_1.deb"
DEB = Wanted(PATH, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), "", "g++ 1")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "mirror" / PATH).parent.mkdir(parents=True)
    (tmp_path / "mirror" / PATH).write_bytes(CONTENT)
    return tmp_path / "mirror"


def reasons(mirrors: Mirrors, target: Path, wanted: Wanted = DEB) -> list[str]:
    """Why a file is nowhere to be had; its place and the directory are as they were."""
    failures = mirrors.file(wanted, target)
    assert bool(failures) != target.exists()
    assert [path.name for path in target.parent.iterdir()] == ([] if failures else [target.name])
    return [one.reason for one in failures]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache/g.deb"


def test_a_file_comes_from_the_first_mirror_that_has_it(root: Path, target: Path) -> None:
    empty = root.parent / "empty"
    empty.mkdir()
    with served(root) as server, served(empty) as other:
        mirrors = Mirrors([f"file:{empty}", other.url, f"{server.url}/", "file:/never"])
        assert reasons(mirrors, target) == []
        assert target.read_bytes() == CONTENT
        assert server.asked == other.asked == [QUOTED]


def test_a_file_comes_from_a_directory(root: Path, target: Path) -> None:
    assert reasons(Mirrors([str(root)]), target) == []
    assert target.read_bytes() == CONTENT


LIES: dict[str, Answer] = {
    "404": Answer(404, b"no"),
    "403": Answer(403, b"no"),
    "503": Answer(503, b"later"),
    f"other bytes, sha256 {hashlib.sha256(b'x' * len(CONTENT)).hexdigest()}": Answer(
        body=b"x" * len(CONTENT)
    ),
    f"has more than {len(CONTENT):,} bytes": Answer(body=b"<html>" * len(CONTENT)),
    f"has 6 bytes, not {len(CONTENT):,}": Answer(body=b"<html>"),
    "the connection ended within the file": Answer(body=CONTENT[:-9], length=len(CONTENT)),
    "redirects that lead nowhere": Answer(302, headers=(("Location", "file:///etc/passwd"),)),
    "it redirects to ftp://127.0.0.1/x": Answer(302, headers=(("Location", "ftp://127.0.0.1/x"),)),
}


@pytest.mark.parametrize("reason", LIES)
def test_whatever_a_mirror_answers_the_next_one_is_asked(
    reason: str, root: Path, target: Path
) -> None:
    with served(root) as server:
        server.answers[QUOTED] = LIES[reason]
        assert reasons(Mirrors([server.url]), target) == [reason]
        assert reasons(Mirrors([server.url, str(root)]), target) == []


def test_a_circle_of_redirects_ends(root: Path, target: Path) -> None:
    with served(root) as server:
        server.answers[QUOTED] = Answer(302, headers=(("Location", QUOTED),))
        assert reasons(Mirrors([server.url]), target) == ["redirects that lead nowhere"]
        assert len(server.asked) < 10


def test_a_redirect_to_where_the_file_is(root: Path, target: Path) -> None:
    with served(root) as server, served(root) as first:
        first.answers[QUOTED] = Answer(302, headers=(("Location", server.url + QUOTED),))
        assert reasons(Mirrors([first.url]), target) == []


def test_a_mirror_that_refuses_is_left_out_after_two_times(root: Path, target: Path) -> None:
    url = nobody_listens()
    mirrors = Mirrors([url])
    assert reasons(mirrors, target) == ["Connection refused"]
    assert reasons(mirrors, target) == ["Connection refused"]
    assert reasons(mirrors, target) == ["left out after 2 failures"]


def test_a_mirror_that_lies_is_left_out_and_one_without_the_file_is_not(
    root: Path, target: Path
) -> None:
    with served(root) as liar, served(root.parent / "cache") as empty:
        liar.answers[QUOTED] = Answer(body=b"<html>")
        mirrors = Mirrors([liar.url, empty.url])
        for _ in range(4):
            reasons(mirrors, target)
        assert (len(liar.asked), len(empty.asked)) == (2, 4)


def test_what_answers_no_http(root: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_files, "SECONDS_OF_SILENCE", 0.2)
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert reasons(Mirrors([url]), target) == ["no answer in time"]


def test_a_mirror_that_drips_is_too_slow(
    root: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_files, "SECONDS_OF_A_FILE", -1000)
    with served(root) as server:
        assert reasons(Mirrors([server.url]), target) == ["it is slower than 16 KiB/s"]


def test_odd_files_of_a_directory(root: Path, target: Path) -> None:
    (root / PATH).unlink()
    mirrors = Mirrors([str(root)])
    assert reasons(mirrors, target) == ["not there"]
    (root / PATH).mkdir()
    assert "it is not a regular file" in reasons(mirrors, target)[0]


def test_a_text_is_the_first_one_that_is_accepted(root: Path) -> None:
    def check(data: bytes) -> bytes:
        if data != b"right":
            raise OcclumError("archive-signature", f"{data!r} is not right")
        return data

    with served(root) as liar, served(root) as server:
        liar.answers["/x"] = Answer(body=b"wrong")
        server.answers["/x"] = Answer(body=b"right")
        assert Mirrors([liar.url, server.url]).text(Wanted("x"), check) == b"right"
        with pytest.raises(OcclumError, match="b'wrong' is not right"):
            Mirrors([liar.url, str(root)]).text(Wanted("x"), check)
        with pytest.raises(Nowhere) as raised:
            Mirrors([str(root), "/{sha256}"]).text(Wanted("x"), check)
    found = [one.reason for one in raised.value.failures]
    assert found == ["not there", "needs a SHA-256, which is not known here"]


def test_a_text_is_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("occlum_build.packages.mirrors.ARCHIVE_RELEASE_BYTES", 1 << 10)
    with pytest.raises(Nowhere) as raised:
        Mirrors([str(root)]).text(Wanted(PATH), lambda data: data)
    assert [one.reason for one in raised.value.failures] == ["has more than 1 KiB"]


def test_no_mirror_has_nothing(target: Path) -> None:
    failures = Mirrors([]).file(DEB, target)
    assert [one.reason for one in failures] == ["no mirror is named"]
    assert str(gone(DEB, failures, also=["cache: no"])).splitlines()[1:] == [
        "  no mirror is named",
        "  cache: no",
    ]
    with pytest.raises(Nowhere) as raised:
        Mirrors([]).text(Wanted("x"), bytes)
    assert [one.reason for one in raised.value.failures] == ["no mirror is named"]


def test_what_is_nowhere_to_be_had_is_told_with_all_that_was_asked(
    root: Path, target: Path
) -> None:
    (root / PATH).unlink()
    with served(root) as server:
        failures = Mirrors([f"file:{root}", server.url, "http://m/{snapshot}"]).file(DEB, target)
        problem = gone(DEB, failures, also=["remote cache: has not got it"], hint="what to do")
        assert problem.code == "package-gone"
        assert str(problem).splitlines() == [
            f"g++ 1 ({PATH}, sha256 {DEB.sha256}) is nowhere to be had",
            f"  file:{root}: not there",
            f"  {server.url}: 404",
            "  http://m/{snapshot}: needs a date, which is not known here",
            "  remote cache: has not got it",
            "  hint: what to do",
        ]


def test_a_file_whose_size_nobody_knows(
    root: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = DEB._replace(size=-1)
    told: list[int] = []
    with served(root) as server:
        mirrors = Mirrors([server.url], lambda _, expected: told.append(expected))
        mirrors.expect(wanted.size)
        assert reasons(mirrors, target, wanted) == []
        assert (target.read_bytes(), set(told)) == (CONTENT, {0})
        target.unlink()
        assert "other bytes" in reasons(mirrors, target, wanted._replace(sha256="0" * 64))[0]
        monkeypatch.setattr("occlum_build.packages.mirrors.DOWNLOAD_BYTES", 1024)
        assert reasons(mirrors, target, wanted) == ["has more than 1 KiB"]
