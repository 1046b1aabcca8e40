"""The key files that options name, so that none of them is taken for a file of an image."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from pants.base.build_root import BuildRoot
from pants.engine.rules import Rule

from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules
from pants_occlum.subsystem import OcclumSubsystem


@dataclass(frozen=True)
class OwnKeys:
    """What the key files are: device and inode of each, and the paths of those in the project."""

    files: frozenset[tuple[int, int]] = frozenset()
    project_paths: frozenset[str] = frozenset()


# Looked at in each session, as a key file may be another one.
@_uncacheable_rule
async def own_keys(occlum: OcclumSubsystem, build_root: BuildRoot) -> OwnKeys:
    root = os.path.realpath(build_root.path)
    files, project_paths = [], []
    for option in (occlum.image_key_file, occlum.sign_key_file):
        path = os.path.realpath(os.path.expanduser(option)) if option else ""
        try:
            found = os.stat(path)
        except OSError:
            continue  # whoever needs the key tells
        files.append((found.st_dev, found.st_ino))
        if path.startswith(f"{root}/"):
            project_paths.append(os.path.relpath(path, root))
    return OwnKeys(frozenset(files), frozenset(project_paths))


def rules() -> Iterable[Rule]:
    return collect_rules()
