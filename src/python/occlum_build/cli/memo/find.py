"""Finds the memo of a run of `copy-bom`, and compares what it knows with what is there.

Nothing is imported here that is not built in (model.py).
"""

from __future__ import annotations

import posix
import sys
from posix import lstat

from occlum_build.cli.memo.model import FIELDS, Memo, decode, hashed, hashed_texts
from occlum_build.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` itself takes its time
    from collections.abc import Sequence

MEMO_BYTES = 128 << 20
NAME = "copy-bom-"  # of each memo's file, before its key
OPTION = "--no-memo"
_OTHERS_WRITE, _OTHERS_USE = 0o022, 0o077
_TYPE, _DIRECTORY, _FILE = 0o170000, 0o040000, 0o100000
_OPEN = 0o2000000 | posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK  # O_CLOEXEC first
_NOT_THERE = (2, 20, 36, 40)  # ENOENT, ENOTDIR, ENAMETOOLONG, ELOOP: as sources.os has it

# Where the run that is under way keeps what it finds; "" where it keeps nothing.
memo_file = ""


def attempt(arguments: Sequence[str]) -> int | None:
    """The exit code of a run that a memo knows, None where it must be made in the usual way."""
    global memo_file
    if OPTION in arguments or not _has_plain_streams():
        return None
    memo_file = _file_of(arguments)
    memo = load(memo_file) if memo_file else None
    if memo is None or not sources_are_same(memo):
        return None
    if memo.of_own and image_is_same(memo):
        tell(memo.told)
        return 0
    if memo.of_none and not _is_there(memo.root):
        from occlum_build.cli.memo.image import write_image

        return write_image(memo, memo_file)
    return None


def tell(text: str) -> None:
    """Tell once more what a run told, escaped; what standard error does not take is lost."""
    data = text.encode("utf-8", "backslashreplace")
    try:
        while data:
            data = data[posix.write(2, data) :]
    except OSError:
        return


def _has_plain_streams() -> bool:
    """Are all streams there, and is what is written to them UTF-8, as names of files are?"""
    try:
        for number in range(3):
            posix.fstat(number)
    except OSError:
        return False
    if b"PYTHONIOENCODING" in posix.environ and not sys.flags.ignore_environment:
        return False
    return sys.getfilesystemencoding() == "utf-8"


def directory() -> str:
    """Where memos are, "" where they have no place."""
    home = _variable("XDG_CACHE_HOME")
    if not home.startswith("/"):  # relative ones are to be ignored
        home = _variable("HOME")
        home = f"{home.rstrip('/')}/.cache" if home.startswith("/") else ""
    return home and f"{home.rstrip('/')}/occlum-build"


def is_ours(path: str) -> bool:
    """Is it a directory of this user that nobody else can write to?"""
    try:
        found = lstat(path)
    except (OSError, ValueError):
        return False
    is_directory = found.st_mode & _TYPE == _DIRECTORY
    return is_directory and found.st_uid == posix.geteuid() and not found.st_mode & _OTHERS_WRITE


def _file_of(arguments: Sequence[str]) -> str:
    """The file of a run's memo: by all that makes it another run but for files and variables."""
    above = directory()
    try:
        here = posix.getcwd()
    except OSError:
        return ""
    if not above:
        return ""
    who = f"{posix.geteuid()} {posix.getegid()}"
    tool = (VERSION, sys.version, sys.executable, __file__)
    return f"{above}/{NAME}{hashed_texts([*tool, who, here, *arguments])}"


def load(file: str) -> Memo | None:
    """The memo in a file; None for none, and for one that cannot be trusted."""
    if not is_ours(file.rpartition("/")[0]):
        return None
    try:
        descriptor = posix.open(file, _OPEN)
    except OSError:
        return None
    try:
        data = _read(descriptor)
    except OSError:
        return None
    finally:
        posix.close(descriptor)
    return decode(data)


def _read(descriptor: int) -> bytes:
    found = posix.fstat(descriptor)
    is_file = found.st_mode & _TYPE == _FILE and found.st_size <= MEMO_BYTES
    if not is_file or found.st_uid != posix.geteuid() or found.st_mode & _OTHERS_USE:
        return b""
    data = b""
    while part := posix.read(descriptor, found.st_size + 1):
        data += part
        if len(data) > found.st_size:
            return b""
    return data


def sources_are_same(memo: Memo) -> bool:
    """Is all that the plan came of as it was?"""
    if memo.values != hashed_values(memo.variables):
        return False
    try:
        for path, mode in zip(memo.others, memo.other_modes):
            if lstat(path).st_mode != mode:
                return False
    except OSError:
        return False
    return not any(map(_is_there, memo.absent)) and _are_same(memo.files, memo.file_numbers)


def image_is_same(memo: Memo) -> bool:
    """Is the image as the run left it?"""
    prefix = memo.root.rstrip("/") + "/"
    left = [prefix + entry[0] for entry in memo.entries]
    left += [prefix + path for path in memo.more]
    return _are_same(left, memo.left_numbers)


def _are_same(paths: Sequence[str], numbers: Sequence[int]) -> bool:
    columns = [numbers[one::FIELDS] for one in range(FIELDS)]
    try:
        for path, device, inode, mode, size, mtime, ctime in zip(paths, *columns):
            found = lstat(path)
            if (
                found.st_ino != inode
                or found.st_ctime_ns != ctime
                or found.st_mtime_ns != mtime
                or found.st_size != size
                or found.st_mode != mode
                or found.st_dev != device
            ):
                return False
    except OSError:
        return False
    return True


def _is_there(path: str) -> bool:
    """Is there something, or can that not be known?"""
    try:
        lstat(path)
    except OSError as error:
        return error.errno not in _NOT_THERE
    return True


def hashed_values(variables: Sequence[str]) -> str:
    """One hash of the values that the variables have, or of that they are not set."""
    found = (posix.environ.get(name.encode("utf-8", "surrogateescape")) for name in variables)
    return hashed(b"".join(b"-" if one is None else b"%d:%s" % (len(one), one) for one in found))


def _variable(name: str) -> str:
    return posix.environ.get(name.encode(), b"").decode("utf-8", "surrogateescape")
