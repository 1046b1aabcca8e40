"""Where a script is: its working directory, and paths relative to the root of the project."""

from __future__ import annotations

import posixpath
import re

# What stands for the root in values of variables, so that they go on being absolute paths.
ROOT = "/.root-of-the-project"
# How scripts find their own directory, and where they are.
_OWN_DIRECTORY = re.compile(
    r"\$\(\s*cd\s[^()]*\$\(\s*dirname\s[^()]*\)[^()]*\)"
    r"|\$\(\s*dirname\s+(?:--\s+)?\"?(?:\$0|\$\{BASH_SOURCE(?:\[0\])?\}|\$BASH_SOURCE)\"?\s*\)"
    r"|\$\(\s*dirname\s[^()]*\$\(\s*(?:readlink|realpath)\s[^()]*\)[^()]*\)"
)
_HERE = re.compile(
    r"\$\(\s*pwd(?:\s+-[LP])?\s*\)|`\s*pwd\s*`|\$\(\s*(?:realpath|readlink -f)\s+\.\s*\)"
)


def with_places(script: str, directory: str) -> str:
    """A script with its usual ways to ask for its directory replaced; lines stay where they are."""
    script = _OWN_DIRECTORY.sub(lambda match: ROOT + "\n" * match[0].count("\n"), script)
    script = script.replace(ROOT, posixpath.join(ROOT, directory).rstrip("/"))
    return _HERE.sub("${PWD}", script)


def joined(directory: str | None, path: str) -> str | None:
    """A path of a script relative to the root; an absolute one as it is; None where it is unknown.

    None too for what leads out of the root.
    """
    if path == ROOT or path.startswith(f"{ROOT}/"):
        directory, path = "", path[len(ROOT) + 1 :]
    elif path.startswith("/"):
        return posixpath.normpath(path)
    if directory is None:
        return None
    found = posixpath.normpath(posixpath.join(directory, path))
    if found == ".." or found.startswith("../"):
        return None
    return "" if found == "." else found


def is_below(path: str | None, directory: str) -> bool:
    """Is a path this directory, or in it?"""
    return path is not None and (path == directory or path.startswith(f"{directory}/"))
