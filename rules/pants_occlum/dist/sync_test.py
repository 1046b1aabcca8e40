from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import pytest
from pants.core.goals import package
from pants.core.goals.package import BuiltPackage, BuiltPackageArtifact, Package, PackageFieldSet
from pants.engine.addresses import Address
from pants.engine.fs import CreateDigest, FileContent, PathGlobs
from pants.engine.rules import QueryRule
from pants.engine.target import COMMON_TARGET_FIELDS, MultipleSourcesField, Target
from pants.engine.unions import UnionRule
from pants.testutil.rule_runner import RuleRunner

from occlum_build.errors import OcclumError
from occlum_build.files.reading import read_file
from occlum_build.process.packs import PackedFile
from occlum_build.sources.model import FILE
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import create_digest, get_digest_contents
from pants_occlum.dist import places as dist_places
from pants_occlum.dist import stored as dist_stored
from pants_occlum.dist import sync as dist_sync
from pants_occlum.dist.digest import store_files
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.packed import Packed
from pants_occlum.dist.pieces import batches, pieces_of
from pants_occlum.dist.places import DistPlaces
from pants_occlum.dist.stored import Stored, StoredRequest
from pants_occlum.dist.sync import SyncedTree, sync_file, sync_tree
from pants_occlum.dist.tree import TreeWriter
from pants_occlum.sysroot import doubt
from pants_occlum.sysroot import host as sysroot
from pants_occlum.sysroot.host import SysrootBlob, SysrootIngest


def file(path: str, content: bytes, mode: int = 0o644) -> TreeEntry:
    return TreeEntry(path, FILE, mode, hashlib.sha256(content).hexdigest(), len(content))


class ContentField(MultipleSourcesField):
    alias = "sources"


class TreeTarget(Target):
    alias = "tree"
    core_fields = (*COMMON_TARGET_FIELDS, ContentField)


@dataclass(frozen=True)
class TreeFieldSet(PackageFieldSet):
    required_fields = (ContentField,)
    content: ContentField


@dataclass(frozen=True)
class Contents:
    entries: tuple[TreeEntry, ...]
    packed: Packed | None


LOG: list[object] = []
HOST_BLOBS: list[SysrootBlob] = []
# By name of the pack and of the file: what is nowhere else in the store.
PACKS: dict[str, dict[str, bytes]] = {}
CONTENT = {"big": bytes(range(256)) * 64, "small": b"small"}


@rule
async def contents_of(request: ContentField) -> Contents:
    LOG.append("built")
    globs = PathGlobs([f"{request.address.spec_path}/content/*"])
    files = await get_digest_contents(**implicitly({globs: PathGlobs}))
    entries = [file(os.path.basename(f.path), f.content, 0o751) for f in files]
    if not PACKS:
        return Contents(tuple(entries), None)
    packs = {pack: b"".join(contents.values()) for pack, contents in PACKS.items()}
    stored = await store_files(packs)
    packed = []
    for pack, contents in PACKS.items():
        offset = 0
        for name, content in contents.items():
            entries.append(file(name, content))
            packed.append(PackedFile(name, entries[-1].sha256, len(content), pack, offset))
            offset += len(content)
    return Contents(tuple(entries), Packed(tuple(stored.items()), tuple(packed)))


def host_files(_: Collection[str]) -> SysrootIngest:
    return SysrootIngest("/", tuple(HOST_BLOBS))


@_uncacheable_rule
async def package_tree(field_set: TreeFieldSet, places: DistPlaces) -> BuiltPackage:
    contents = await contents_of(field_set.content)
    LOG.append(await sync_tree(places, "x/image", contents.entries, host_files, contents.packed))
    manifest = await create_digest(CreateDigest([FileContent("x/manifest.json", b"{}")]))
    return BuiltPackage(manifest, (BuiltPackageArtifact("x/manifest.json"),))


@pytest.fixture
def rule_runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RuleRunner:
    LOG.clear()
    HOST_BLOBS.clear()
    PACKS.clear()
    monkeypatch.setattr(dist_sync, "BATCH_BYTES", 1 << 10)
    runner = RuleRunner(
        rules=[
            contents_of,
            package_tree,
            *dist_places.rules(),
            *dist_stored.rules(),
            *doubt.rules(),
            *sysroot.rules(),
            *collect_rules(vars(package)),
            UnionRule(PackageFieldSet, TreeFieldSet),
            QueryRule(DistPlaces, []),
            QueryRule(Contents, [ContentField]),
            QueryRule(Stored, [StoredRequest]),
        ],
        target_types=[TreeTarget],
        bootstrap_args=[f"--local-store-dir={tmp_path}/store"],
    )
    runner.set_options([f"--local-store-dir={tmp_path}/store"])
    write_content(runner, CONTENT)
    runner.write_files({"t/BUILD": "tree(sources=[])"})
    return runner


def write_content(runner: RuleRunner, content: dict[str, bytes]) -> None:
    runner.write_files({f"t/content/{name}": data for name, data in content.items()})


def run_package(runner: RuleRunner) -> dict[str, bytes]:
    """Run the goal in a session of its own; what then is in dist."""
    store = runner.request(DistPlaces, []).store_dir
    options = (f"--local-store-dir={store}",)
    assert runner.run_goal_rule(Package, global_args=options, args=["t"]).exit_code == 0
    tree = Path(runner.build_root, "dist/x/image")
    return {path.name: path.read_bytes() for path in sorted(tree.iterdir())}


def test_deleted_dist_comes_back_while_all_else_is_memoised(rule_runner: RuleRunner) -> None:
    dist = Path(rule_runner.build_root, "dist/x")
    assert run_package(rule_runner) == CONTENT
    assert run_package(rule_runner) == CONTENT
    assert ["built", SyncedTree(2, 0), SyncedTree(0, 0)] == LOG
    shutil.rmtree(dist)
    assert run_package(rule_runner) == CONTENT
    assert LOG[3:] == [SyncedTree(2, 0)]
    assert stat.S_IMODE((dist / "image/small").stat().st_mode) == 0o751
    assert (dist / "manifest.json").read_bytes() == b"{}"


def test_edit_is_synced_once_and_alone(rule_runner: RuleRunner) -> None:
    run_package(rule_runner)
    write_content(rule_runner, {"small": b"edited"})
    assert run_package(rule_runner) == {**CONTENT, "small": b"edited"}
    assert ["built", SyncedTree(2, 0), "built", SyncedTree(1, 0)] == LOG


@pytest.fixture
def host(rule_runner: RuleRunner, tmp_path: Path) -> Path:
    """A directory of the host whose two files have the contents that are packaged."""
    for name, data in CONTENT.items():
        (tmp_path / name).write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        HOST_BLOBS.append(SysrootBlob(str(tmp_path / name), sha256, len(data)))
    return tmp_path


def test_host_files_are_copied_and_not_stored(
    rule_runner: RuleRunner, host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(TreeWriter, "put")
    assert run_package(rule_runner) == CONTENT


def test_host_file_that_has_changed_is_told(rule_runner: RuleRunner, host: Path) -> None:
    (host / "small").write_bytes(b"SMALL")
    with pytest.raises(Exception, match="small is not what it was when the run began"):
        run_package(rule_runner)
    (host / "small").write_bytes(CONTENT["small"])
    assert run_package(rule_runner) == CONTENT


def test_much_is_written_by_a_process(
    rule_runner: RuleRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(TreeWriter, "put")
    monkeypatch.setattr(dist_sync, "MOST_BYTES_IN_MEMORY", 1 << 10)
    assert run_package(rule_runner) == CONTENT
    places = rule_runner.request(DistPlaces, [])
    assert [p.suffix for p in sorted(Path(places.state_dir).iterdir())] == [".lock", ".rows"]


@pytest.mark.parametrize("most_bytes", [1 << 10, 1 << 20])
def test_files_in_packs(
    rule_runner: RuleRunner, monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    monkeypatch.setattr(dist_sync, "MOST_BYTES_IN_MEMORY", most_bytes)
    PACKS["0"] = {"a": b"a" * 3000, "b": b"", "c": b"c"}
    PACKS["1"] = {"d": b"d" * 5000}
    assert run_package(rule_runner) == {**PACKS["0"], **CONTENT, **PACKS["1"]}
    shutil.rmtree(Path(rule_runner.build_root, "dist"))
    assert run_package(rule_runner) == {**PACKS["0"], **CONTENT, **PACKS["1"]}


LARGE = bytes(range(256)) * 4096  # beyond 512 KiB, in a file of its own in the store


def test_files_in_large_packs_are_read_where_the_store_has_them(
    rule_runner: RuleRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(dist_sync, "_write_by_process")
    monkeypatch.setattr(dist_sync, "MOST_BYTES_IN_MEMORY", 1 << 10)
    write_content(rule_runner, {"big": b""})
    PACKS["0"] = {str(number): os.urandom(100_000) for number in range(20)}
    written = run_package(rule_runner)
    assert {name: written[name] for name in PACKS["0"]} == PACKS["0"]


def stored_file(runner: RuleRunner, content: bytes) -> Path:
    places = runner.request(DistPlaces, [])
    sha256 = hashlib.sha256(content).hexdigest()
    return Path(places.store_dir, "immutable/files", sha256[:2], sha256)


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)


@pytest.mark.parametrize("most_bytes", [1 << 10, 64 << 20])
@pytest.mark.parametrize("is_packed", [False, True])
def test_damaged_store_is_told_and_damages_nothing(
    rule_runner: RuleRunner, monkeypatch: pytest.MonkeyPatch, most_bytes: int, is_packed: bool
) -> None:
    monkeypatch.setattr(dist_sync, "MOST_BYTES_IN_MEMORY", most_bytes)
    if is_packed:
        PACKS["0"] = {"a": b"a" * 3000, "large": LARGE}
    else:
        write_content(rule_runner, {"large": LARGE})
    content = b"a" * 3000 + LARGE if is_packed else LARGE
    # What is in the store, and in no other sync's memory.
    rule_runner.request(Contents, [content_field(rule_runner)])
    file = stored_file(rule_runner, content)
    flip_a_byte(file)
    with pytest.raises(Exception) as error:
        run_package(rule_runner)
    assert f"Pants' local store is damaged: {file} has another content" in str(error.value)
    assert "remove it, and run Pants once with --no-pantsd" in str(error.value)
    tree = Path(rule_runner.build_root, "dist/x/image")
    assert "large" not in os.listdir(tree)
    file.write_bytes(content)  # as when it is made anew
    assert run_package(rule_runner)["large"] == LARGE


def content_field(runner: RuleRunner) -> ContentField:
    return runner.get_target(Address("t")).get(ContentField)


def test_damaged_artefact_is_told_before_it_is_written(rule_runner: RuleRunner) -> None:
    digest = rule_runner.make_snapshot({"large": LARGE.decode("latin-1"), "small": "1"}).digest
    content = LARGE.decode("latin-1").encode()
    request = StoredRequest(digest)
    assert rule_runner.request(Stored, [request]) == Stored(digest)
    file = stored_file(rule_runner, content)
    flip_a_byte(file)
    store = rule_runner.request(DistPlaces, []).store_dir
    rule_runner.set_options([f"--local-store-dir={store}"])  # another session
    with pytest.raises(Exception, match=f"{file} has another content"):
        rule_runner.request(Stored, [request])


def test_a_file_that_changes_after_it_was_found_right(
    rule_runner: RuleRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = rule_runner.request(DistPlaces, [])
    path = Path(places.dist_dir, "x/manifest.json")
    monkeypatch.setattr(dist_sync, "SETTLED_NS", -(1 << 60))
    reads: list[str] = []

    def read(file: str, most: int) -> bytes:
        reads.append(file)
        return read_file(file, most)

    monkeypatch.setattr(dist_sync, "read_file", read)
    for _ in range(4):
        sync_file(places, "x/manifest.json", b"{}")
    assert reads == [str(path)]
    time.sleep(0.02)  # a tick of the clock of files
    changes: list[Callable[[], object]] = [
        lambda: path.write_bytes(b"[]"),
        lambda: path.chmod(0o600),
        path.unlink,
    ]
    for change in changes:
        change()
        sync_file(places, "x/manifest.json", b"{}")
        assert path.read_bytes() == b"{}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
    sync_file(places, "x/manifest.json", b"[]")
    assert path.read_bytes() == b"[]"


def test_what_may_still_change_unseen_is_read_again(
    rule_runner: RuleRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = rule_runner.request(DistPlaces, [])
    path = Path(places.dist_dir, "x/manifest.json")
    known = dist_sync._synced_files
    for settled_ns, is_known in ((1 << 60, False), (-(1 << 60), True)):
        monkeypatch.setattr(dist_sync, "SETTLED_NS", settled_ns)
        for _ in range(3):
            sync_file(places, "x/manifest.json", b"{}")
        assert (str(path) in known) is is_known


def test_file_is_synced(rule_runner: RuleRunner) -> None:
    places = rule_runner.request(DistPlaces, [])
    path = Path(places.dist_dir, "x/manifest.json")
    sync_file(places, "x/manifest.json", b"{}")
    inode = path.stat().st_ino
    sync_file(places, "x/manifest.json", b"{}")
    assert path.stat().st_ino == inode

    def make_link(file: Path) -> None:
        file.symlink_to("other")

    def make_setuid(file: Path) -> None:
        file.write_bytes(b"[]")
        file.chmod(0o4777)

    makers: list[Callable[[Path], object]] = [Path.touch, Path.mkdir]
    makers += [os.mkfifo, make_link, make_setuid]
    for make in makers:
        path.unlink()
        make(path)
        sync_file(places, "x/manifest.json", b"[]")
        assert not path.is_symlink() and path.read_bytes() == b"[]"
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        assert os.listdir(path.parent) == ["manifest.json"]


def test_file_below_a_file(rule_runner: RuleRunner) -> None:
    places = rule_runner.request(DistPlaces, [])
    Path(places.dist_dir).mkdir()
    Path(places.dist_dir, "x").write_text("mine")
    with pytest.raises(OcclumError) as error:
        sync_file(places, "x/manifest.json", b"{}")
    assert str(error.value.problems[0].place) == os.path.join(places.dist_dir, "x")
    assert error.value.problems[0].hint.endswith("remove it")


def test_index_and_lock_stand_outside_of_dist(rule_runner: RuleRunner) -> None:
    places = rule_runner.request(DistPlaces, [])
    run_package(rule_runner)
    assert places.dist_dir == os.path.join(rule_runner.build_root, "dist")
    assert sorted(os.listdir(places.dist_dir)) == ["x"]
    state = sorted(Path(places.state_dir).iterdir())
    assert [path.suffix for path in state] == [".lock", ".rows"]


def test_error_while_writing_keeps_what_is_done(
    rule_runner: RuleRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = TreeWriter.put

    def no_space(self: TreeWriter, entry: TreeEntry, content: bytes) -> None:
        if entry.path == second:
            raise OSError(errno.ENOSPC, "No space left on device")
        put(self, entry, content)

    # The batches come in the order of the digests.
    second = max(CONTENT, key=lambda name: hashlib.sha256(CONTENT[name]).hexdigest())
    monkeypatch.setattr(TreeWriter, "put", no_space)
    with pytest.raises(Exception, match="No space left on device"):
        run_package(rule_runner)
    monkeypatch.setattr(TreeWriter, "put", put)
    rule_runner.run_goal_rule(Package, args=["t"])
    assert ["built", SyncedTree(1, 0)] == LOG


def test_batches_hold_a_file_that_is_larger() -> None:
    entries = [
        TreeEntry(str(n), FILE, 0o644, f"{n:064x}", size) for n, size in enumerate([4, 6, 5, 30, 1])
    ]
    twin = entries[0]._replace(path="twin")
    found = list(batches(pieces_of([*entries, twin], None), 10))
    assert [[entry.path for piece in batch for entry, _ in piece.entries] for batch in found] == [
        ["0", "twin", "1"],
        ["2"],
        ["3"],
        ["4"],
    ]
