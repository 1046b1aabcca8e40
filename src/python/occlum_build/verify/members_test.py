"""Archives of others: nothing is written outside, nothing followed, and nothing taken twice."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.files import tar_reader
from occlum_build.occlum.package import package
from occlum_build.verify.members import MAX_DEPTH, Merged, opened, unpack
from occlum_build.verify.testing import copied, differing, verified


def archive_of(path: Path, *members: tuple[str, bytes | str]) -> Path:
    """An archive of files, and of links where the content is a text; directories end with `/`."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            _add(tar, name, content)
    return path


def _add(tar: tarfile.TarFile, name: str, content: bytes | str) -> None:
    info = tarfile.TarInfo(name.rstrip("/"))
    if name.endswith("/"):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(info)
    elif isinstance(content, str):
        info.type, info.linkname = tarfile.SYMTYPE, content
        tar.addfile(info)
    else:
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))


def merged_of(*archives: Path) -> Merged:
    merged = Merged()
    for archive in archives:
        with opened(archive) as stream:
            merged.add(tar_reader.members_of(stream), is_layer=True)
    return merged


def with_more(built: Path, tmp_path: Path, *members: tuple[str, bytes | str]) -> Path:
    """The archive of an instance with more members at its end."""
    plain, packed = tmp_path / "app.tar", tmp_path / "app.tar.gz"
    package(built, packed, "app")
    with tarfile.open(packed) as old, tarfile.open(plain, "w") as new:
        for member in old:
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
        for name, content in members:
            _add(new, name, content)
    return plain


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("app/build/mount/.ROOT_MAC", b"twice"),
        ("app/build/../build/x", b"not in normal form"),
        ("/app/build/x", b"absolute"),
        ("app//build/x", b"two slashes"),
        ("app/Occlum.json/x", b"below a file"),
        ("app/build/bin/occlum-run/x", b"below a link"),
        ("../x", b"above"),
        ("app/../../x", b"above"),
    ],
)
def test_names_that_programs_take_for_others(
    built: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    archive = with_more(built, tmp_path, (name, content))
    before = sorted(tmp_path.iterdir())
    rows = differing(verified(archive))
    assert ("names in the archive", name) in [(row.what, row.stated) for row in rows]
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("pax_headers", [{}, {"path": "app/run/x/"}])
def test_a_file_whose_name_ends_in_a_slash(
    built: Path, tmp_path: Path, pax_headers: dict[str, str]
) -> None:
    """tar makes a directory of it, Python a file."""
    archive = with_more(built, tmp_path)
    info = tarfile.TarInfo("app/run/x/")
    info.size, info.type, info.pax_headers = 1, tarfile.REGTYPE, pax_headers
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(b"x"))
    content = archive.read_bytes()
    end = len(content.rstrip(b"\0"))
    archive.write_bytes(content[: end + -end % 512] + out.getvalue())
    rows = differing(verified(archive))
    assert [(row.what, row.stated) for row in rows] == [("names in the archive", "app/run/x/")]


def test_a_link_in_place_of_a_file_is_not_followed(built: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes((built / "Occlum.json").read_bytes())
    archive = with_more(built, tmp_path, ("app/Occlum.json", str(secret)))
    rows = differing(verified(archive))
    assert ("Occlum.json", "is symlink, not a file") in [(row.about, row.note) for row in rows]


def test_very_deep_and_very_long_names(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    assert verified(with_more(built, tmp_path, ("app/run/" + "d/" * 1_500 + "f", b"x"))).agrees
    for name in ("app/run/" + "n" * 256, "app/run/" + "d/" * 3_000 + "f"):
        archive = with_more(built, tmp_path, (name, b"x"))
        try:
            assert not verified(archive).agrees
        except OcclumError as error:
            assert "a name that no file can have" in str(error)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("folder", ["x", "initfs", "build/mount/__ROOT"])
def test_a_file_below_very_many_directories_is_not_unpacked(
    built: Path, tmp_path: Path, folder: str
) -> None:
    depth = MAX_DEPTH - folder.count("/") - 1
    assert verified(with_more(built, tmp_path, (f"app/{folder}/{'d/' * depth}f", b"x"))).rows
    archive = with_more(built, tmp_path, (f"app/{folder}/{'d/' * (depth + 1)}f", b"x"))
    with pytest.raises(OcclumError, match="a file below more than 200 directories"):
        verified(archive)


def test_directories_are_made_only_for_files_that_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = "/".join("abcdefghij")
    names = ["image/x/y/f", "image/x/z/", *(f"run/{n}/{below}" for n in range(500))]
    archive = archive_of(tmp_path / "a.tar", *((name, b"x") for name in names))
    merged = merged_of(archive)
    out = tmp_path / "out"
    out.mkdir()
    files = unpack([archive], merged, "", out)
    assert [path.relative_to(out).as_posix() for path in sorted(out.rglob("*"))] == [
        *("image", "image/x", "image/x/y", "image/x/y/f")
    ]
    assert len(files.listed) == 6 + 500 * 11
    assert files.kind("image/x/z") == files.kind("run/0/a") == "dir"
    monkeypatch.setattr("occlum_build.verify.members.MAX_PATH_BYTES", 1_000)
    with pytest.raises(OcclumError, match="more names than are read"):
        merged.listing("")


@pytest.mark.parametrize("path", ["build", "build/mount", "build/mount/__ROOT"])
def test_links_in_an_instance_are_not_followed(built: Path, tmp_path: Path, path: str) -> None:
    instance = copied(built, tmp_path / "app")
    (instance / path).rename(tmp_path / "elsewhere")
    (instance / path).symlink_to(tmp_path / "elsewhere")
    try:
        assert not verified(instance).agrees
    except OcclumError as error:  # without a PAL it is none
        assert path == "build", error


def test_links_in_a_secure_file_system_are_not_followed(built: Path, tmp_path: Path) -> None:
    instance = copied(built, tmp_path / "app")
    for folder in ("mount", "initfs"):
        metadata = instance / "build" / folder / "__ROOT/metadata"
        metadata.rename(tmp_path / folder)
        metadata.symlink_to(tmp_path / folder)
    told = [(row.about, row.stated) for row in differing(verified(instance))]
    assert ("build/mount/__ROOT/metadata", "symlink") in told
    assert ("build/initfs/__ROOT/metadata", "symlink") in told


def test_no_more_than_a_bound_is_unpacked(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = with_more(built, tmp_path, ("app/initfs/large", bytes(1 << 20)))
    assert [row.about for row in differing(verified(archive))] == ["initfs/large"]
    monkeypatch.setattr(tar_reader, "MAX_BYTES", 1 << 20)
    with pytest.raises(OcclumError, match="it holds more than"):
        verified(archive)
    monkeypatch.setattr(tar_reader, "MAX_BYTES", 8 << 30)
    monkeypatch.setattr(tar_reader, "MAX_MEMBERS", 10)
    with pytest.raises(OcclumError, match="more than 10 members"):
        verified(archive)


def test_no_more_directories_than_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = archive_of(tmp_path / "a.tar", *((f"{n}/{'d/' * 1_000}f", b"") for n in range(9)))
    monkeypatch.setattr("occlum_build.verify.members.MAX_NODES", 5_000)
    with pytest.raises(OcclumError, match="more names than are read"):
        merged_of(archive)


def test_archives_that_hold_no_instance_or_two(built: Path, tmp_path: Path) -> None:
    with pytest.raises(OcclumError, match="no instance with a signed enclave"):
        verified(archive_of(tmp_path / "a.tar", ("x", b"x")))
    signed = "build/lib/libocclum-libos.signed.so"
    two = archive_of(tmp_path / "b.tar", (f"a/{signed}", b""), (f"b/{signed}", b""))
    with pytest.raises(OcclumError, match="more than one instance"):
        verified(two)


def test_layers_replace_and_remove(tmp_path: Path) -> None:
    first = archive_of(
        tmp_path / "1.tar",
        *(("a/", b""), ("a/x", b"1"), ("a/y", b"1"), ("b/", b""), ("b/x", b"1")),
        *(("c/", b""), ("c/x", b"1"), ("d/", b""), ("d/x", b"1")),
    )
    second = archive_of(
        tmp_path / "2.tar",
        *(("a/.wh.x", b""), ("a/y", b"2"), ("b/.wh..wh..opq", b""), ("b/z", b"2"), ("c", b"2")),
        *((".wh.d", b""),),
    )
    listing = merged_of(first, second).listing("")
    assert {path: node.archive for path, node in sorted(listing.items())} == {
        "a": 0,
        "a/y": 1,
        "b": 0,
        "b/z": 1,
        "c": 1,
    }


def test_a_hard_link_is_what_it_names(built: Path, tmp_path: Path) -> None:
    plain, packed = tmp_path / "app.tar", tmp_path / "app.tar.gz"
    package(built, packed, "app")
    with tarfile.open(packed) as old, tarfile.open(plain, "w") as new:
        for member in old:
            if member.name == "app/Occlum.json":
                other = tarfile.TarInfo("other")
                other.size = member.size
                new.addfile(other, old.extractfile(member))
                member.type, member.linkname, member.size = tarfile.LNKTYPE, "other", 0
                new.addfile(member)
            else:
                new.addfile(member, old.extractfile(member) if member.isfile() else None)
    assert verified(plain).agrees
