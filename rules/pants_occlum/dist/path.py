"""Real paths of what is written in dist, so that neither `..` nor a link leads out of it.

They are looked at when a build begins to write: who may change dist while it runs can lead it out.
"""

from __future__ import annotations

import os

from occlum_build.errors import OcclumError, Place


def real_directory(dist_dir: str, name: str) -> str:
    """The real path of the directory dist/<name>, which need not exist.

    Raises OcclumError unless it is the real dist, which may be anywhere, or below it.
    """
    path = os.path.join(dist_dir, name)
    top, real = os.path.realpath(dist_dir), os.path.realpath(path)
    if os.path.commonpath([top, real]) != top:
        raise OcclumError(
            "dist-path",
            f"leads to {real}, which is not below {top}",
            place=Place(path),
            hint="nothing was written; give the target an `output_path` without `..`, and remove "
            "links in the distribution directory that lead out of it",
        )
    return real


def real_path(dist_dir: str, name: str) -> str:
    """The real path of dist/<name>, whose last part may be a link: that is to be replaced.

    Raises OcclumError unless it is below the real dist.
    """
    folder, last = os.path.split(name)
    if last in ("", ".", ".."):
        raise OcclumError(
            "dist-path",
            "names nothing to write",
            place=Place(os.path.join(dist_dir, name)),
            hint="nothing was written; give the target an `output_path` below the distribution "
            "directory",
        )
    return os.path.join(real_directory(dist_dir, folder), last)
