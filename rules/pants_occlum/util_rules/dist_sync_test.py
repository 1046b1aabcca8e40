from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest
from pants.core.goals import package
from pants.core.goals.package import (
    BuiltPackage,
    BuiltPackageArtifact,
    Package,
    PackageFieldSet,
)
from pants.engine.fs import CreateDigest, Digest, DigestContents, FileContent, PathGlobs
from pants.engine.rules import Get, QueryRule, _uncacheable_rule, collect_rules, rule
from pants.engine.target import COMMON_TARGET_FIELDS, MultipleSourcesField, Target
from pants.engine.unions import UnionRule
from pants.testutil.rule_runner import RuleRunner

from occlum_build.sources import FILE
from pants_occlum.util_rules import dist_sync
from pants_occlum.util_rules.dist_sync import DistPlaces, SyncedTree, sync_tree
from pants_occlum.util_rules.dist_tree import TreeEntry, TreeWriter


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


LOG: list[object] = []
CONTENT = {"big": bytes(range(256)) * 64, "small": b"small"}


@rule
async def contents_of(request: ContentField) -> Contents:
    LOG.append("built")
    digest = await Get(Digest, PathGlobs([f"{request.address.spec_path}/content/*"]))
    files = await Get(DigestContents, Digest, digest)
    return Contents(tuple(file(os.path.basename(f.path), f.content, 0o751) for f in files))


@_uncacheable_rule
async def package_tree(field_set: TreeFieldSet, places: DistPlaces) -> BuiltPackage:
    contents = await Get(Contents, ContentField, field_set.content)
    LOG.append(await sync_tree(places, "x/image", contents.entries))
    manifest = await Get(Digest, CreateDigest([FileContent("x/manifest.json", b"{}")]))
    return BuiltPackage(manifest, (BuiltPackageArtifact("x/manifest.json"),))


@pytest.fixture
def rule_runner(monkeypatch: pytest.MonkeyPatch) -> RuleRunner:
    LOG.clear()
    monkeypatch.setattr(dist_sync, "BATCH_BYTES", 1 << 10)
    runner = RuleRunner(
        rules=[
            contents_of,
            package_tree,
            *dist_sync.rules(),
            *collect_rules(vars(package)),
            UnionRule(PackageFieldSet, TreeFieldSet),
            QueryRule(DistPlaces, []),
        ],
        target_types=[TreeTarget],
        isolated_local_store=True,
    )
    write_content(runner, CONTENT)
    runner.write_files({"t/BUILD": "tree(sources=[])"})
    return runner


def write_content(runner: RuleRunner, content: dict[str, bytes]) -> None:
    runner.write_files({f"t/content/{name}": data for name, data in content.items()})


def run_package(runner: RuleRunner) -> dict[str, bytes]:
    """Run the goal in a session of its own; what then is in dist."""
    assert runner.run_goal_rule(Package, args=["t"]).exit_code == 0
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


def test_index_and_lock_stand_outside_of_dist(rule_runner: RuleRunner) -> None:
    places = rule_runner.request(DistPlaces, [])
    run_package(rule_runner)
    assert places.dist_dir == os.path.join(rule_runner.build_root, "dist")
    assert sorted(os.listdir(places.dist_dir)) == ["x"]
    state = sorted(Path(places.state_dir).iterdir())
    assert [path.suffix for path in state] == [".json", ".lock"]


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


def test_batches_hold_a_file_that_is_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist_sync, "BATCH_BYTES", 10)
    entries = [
        TreeEntry(str(n), FILE, 0o644, f"{n:064x}", size) for n, size in enumerate([4, 6, 5, 30, 1])
    ]
    twin = entries[0]._replace(path="twin")
    batches = list(dist_sync._batches([*entries, twin]))
    assert [[entry.path for entry in batch] for batch in batches] == [
        ["0", "twin", "1"],
        ["2"],
        ["3"],
        ["4"],
    ]
