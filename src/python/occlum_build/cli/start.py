"""How a command starts and is stopped: a signal ends it quietly, from its first moment on."""

from __future__ import annotations

# Built in, unlike `os` and `signal`: while those are imported a signal would show a traceback.
import _signal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` itself takes its time
    from typing import Any, NoReturn

_SIGNALS: tuple[int, ...] = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)
# A plan has many objects that all stay: to look through them again and again is a tenth of a run.
GC_THRESHOLD = 200_000


class Stopped(KeyboardInterrupt):
    """A signal ended the run: what was begun is cleaned up, and the exit code says which."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number  # as a shell has it


def start() -> None:
    """For the first lines of a command: until its verb runs, a signal ends it at once."""
    _end_by_signals()
    _prepare()


def _end_by_signals() -> None:
    for number in _SIGNALS:
        if _signal.getsignal(number) != _signal.SIG_IGN:  # as nohup and a shell's `&` leave it
            _signal.signal(number, _end_at_once)


def _prepare() -> None:
    import gc

    gc.set_threshold(GC_THRESHOLD)
    if sys.flags.no_site:  # left out by the command, so that not even this comes before us
        import site

        site.main()


# What the commands call that are installed: what they need is imported under the eyes of `start`.


def occlum_build() -> int:
    """The command `occlum-build`; returns the exit code."""
    _end_by_signals()
    if sys.argv[1:2] == ["copy-bom"]:
        code = _from_memo()
        if code is not None:
            return code
    _prepare()
    from occlum_build.cli.main import main

    return _ended(main())


def copy_bom() -> int:
    """The command `copy_bom`; returns the exit code."""
    _end_by_signals()
    code = _from_memo()
    if code is not None:
        return code
    _prepare()
    from occlum_build.cli.copy_bom_command import main

    return _ended(main())


def _ended(code: int) -> int:
    """The exit code of a command that has ended: what it leaves is not looked through for cycles.

    Python would do so several times, which takes a tenth of a small run.
    """
    import gc

    gc.freeze()
    return code


def _from_memo() -> int | None:
    from occlum_build.cli.memo.find import attempt

    return attempt(sys.argv)


def occlum() -> int:
    """The command `occlum`; returns the exit code."""
    start()
    from occlum_build.cli.occlum_command import main

    return _ended(main())


def clean_up_when_stopped() -> None:
    """From now on a signal raises Stopped. Does nothing in a program that did not `start`."""
    _replace(_end_at_once, _raise_stopped)


def end_at_once_again() -> None:
    """The inverse of `clean_up_when_stopped`, for who goes on with what needs no cleaning up."""
    _replace(_raise_stopped, _end_at_once)


def finish() -> None:
    """The work is done, or cleaned up: what comes now is too late, and does not change the end."""
    _replace(_raise_stopped, _signal.SIG_IGN)


def _replace(old: Any, new: Any) -> None:
    for number in _SIGNALS:
        if _signal.getsignal(number) is old:
            _signal.signal(number, new)


def _end_at_once(number: int, _frame: Any) -> NoReturn:
    posix._exit(128 + number)


def _raise_stopped(number: int, _frame: Any) -> NoReturn:
    finish()  # what sends a signal twice is not to stop the cleaning up
    raise Stopped(number)
