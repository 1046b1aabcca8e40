"""Signals on their way to a program that runs two processes further down.

What a terminal or somebody else sends to our process group the program gets itself. What is sent to
our first process alone goes down as a real-time signal, which nobody else sends. The first process
cannot tell the two apart; the last can, as it is in the group, too: it passes on what it did not
get itself. So the program gets each signal once.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType
from typing import Any, Callable, Optional

from occlum_build.run.descriptors import pipe_above_streams

# Those that a program is sent on purpose.
_PASSED_ON = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_CARRIER: dict[int, int] = {
    one: signal.SIGRTMIN + 1 + index for index, one in enumerate(_PASSED_ON)
}
_CARRIED = {carrier: one for one, carrier in _CARRIER.items()}
_HANDLED = frozenset({*_PASSED_ON, *_CARRIED})
# In which a carrier comes through; signals of which several wait count as one, so none may be left.
_MOMENT_SECONDS = 1.0
_CHUNK_BYTES = 1 << 16
_Frame = Optional[FrameType]


class Relay:
    """Passes signals on to a process; those that come before it is known wait for it."""

    def __init__(self, sent_as: Mapping[int, int]) -> None:
        self._sent_as = sent_as  # what comes -> what is sent
        self._target = 0
        self._waiting: list[int] = []
        self._of_group: dict[int, list[float]] = {}  # when the target got a signal as well
        self.is_started = False  # the target: before that it gets nothing itself

    def pass_to(self, pid: int) -> None:
        self._target = pid
        while self._waiting:
            self._send(self._waiting.pop(0))

    def stop(self) -> None:
        """The process has ended: its number may be another's soon."""
        self._target = -1

    def handle(self, number: int, _frame: _Frame) -> None:
        """Pass a signal on."""
        sent = self._sent_as[number]
        if self._target > 0:
            self._send(sent)
        elif self._target == 0:
            self._waiting.append(sent)

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError):  # it ended a moment ago, and `stop` comes next
            os.kill(self._target, number)

    def note(self, number: int, _frame: _Frame) -> None:
        """A signal has come to the group of ours and the target's."""
        if self.is_started:
            self._of_group.setdefault(number, []).append(time.monotonic())

    def handle_carrier(self, number: int, frame: _Frame) -> None:
        """Pass on what a carrier stands for, unless it came to the group a moment ago."""
        noted = self._of_group.get(self._sent_as[number], [])
        while noted:
            if time.monotonic() - noted.pop(0) <= _MOMENT_SECONDS:
                return
        self.handle(number, frame)


class FirstProcess:
    """Within it, the signals of this process go to the one that `relay` is told of."""

    def __init__(self) -> None:
        self.relay = Relay(_CARRIER)
        self._before: dict[int, Any] = {}

    def __enter__(self) -> FirstProcess:
        self._woken, self._waker = pipe_above_streams()
        os.set_blocking(self._waker, False)
        self._waker_before = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        for number in _PASSED_ON:
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup leaves it
                self._before[number] = signal.signal(number, self.relay.handle)
        # Who ignores it has no exit codes.
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return self

    def __exit__(self, *_exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._waker_before)
        os.close(self._woken)
        os.close(self._waker)

    def read(self, descriptor: int) -> bytes:
        """Some of what a descriptor has, b"" at its end; signals are passed on meanwhile.

        Python calls a handler when it is back from the system. Of a signal that comes just before
        a call that waits it would know when that ends, so what it waits for is the signal, too.
        """
        poll = select.poll()
        for one in (descriptor, self._woken):
            poll.register(one, select.POLLIN)
        while True:
            ready = {one for one, _ in poll.poll()}
            if self._woken in ready:
                os.read(self._woken, _CHUNK_BYTES)
            if descriptor in ready:
                return os.read(descriptor, _CHUNK_BYTES)


def between() -> Relay:
    """The relay of a process between the first and the last, which gets carriers."""
    signal.set_wakeup_fd(-1)
    relay = Relay({carrier: carrier for carrier in _CARRIED})
    for carrier in _CARRIED:
        signal.signal(carrier, relay.handle)
    for number in _PASSED_ON:
        signal.signal(number, signal.SIG_IGN)
    return relay


def last() -> Relay:
    """The relay of the process that starts the program."""
    relay = Relay(_CARRIED)
    for carrier in _CARRIED:
        signal.signal(carrier, relay.handle_carrier)
    for number in _PASSED_ON:
        signal.signal(number, relay.note)
    return relay


def hold() -> frozenset[int]:
    """From now on signals that are passed on wait: what was held back before, for `let_go`.

    Around a fork, until the handlers of the new process stand: what comes earlier would be lost.
    """
    return frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED))


def let_go(held_before: frozenset[int]) -> None:
    """Let those come that waited."""
    signal.pthread_sigmask(signal.SIG_SETMASK, held_before)


def hand_over(pid: int) -> None:
    """Send a process just forked what waits for us: of the group's signals, those of before it.

    It holds signals back as well, so that one which it has got itself does not count twice.
    """
    for number in sorted(signal.sigpending() & {*_PASSED_ON}):
        os.kill(pid, number)


def await_child(has_ended: Callable[[], bool]) -> None:
    """Ask for it at first and when a child has ended, until it is true; signals are handled.

    They are taken one by one, as a handler would be late (see `FirstProcess.read`).
    """
    awaited = {*_HANDLED, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    try:
        while not has_ended():
            number = signal.sigwait(awaited)
            handler = signal.getsignal(number)
            if callable(handler):
                handler(number, None)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignored_signals() -> frozenset[int]:
    """The signals that a program is to ignore, as whoever started us wants it."""
    return frozenset(one for one in _PASSED_ON if signal.getsignal(one) == signal.SIG_IGN)


def restore(ignored: frozenset[int]) -> None:
    """What a new program starts with: Python and we have changed some."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        wanted = signal.SIG_IGN if number in ignored else signal.SIG_DFL
        if signal.getsignal(number) not in (wanted, None):
            signal.signal(number, wanted)
