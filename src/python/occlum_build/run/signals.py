"""Signals on their way to a program that runs two processes further down.

What a terminal or somebody else sends to our process group the program gets itself. What is sent to
our first process alone goes down as a real-time signal, which nobody else sends. The first process
cannot tell the two apart; the last can, as it is in the group, too: it passes on what it did not
get itself. So the program gets each signal once.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType
from typing import Any, Optional

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
# In which a carrier comes through; signals of which several wait count as one, so none may be left.
_MOMENT_SECONDS = 1.0
_Frame = Optional[FrameType]


class Relay:
    """Passes signals on to a process; those that come before it is known wait for it."""

    def __init__(self, sent_as: Mapping[int, int]) -> None:
        self._sent_as = sent_as  # what comes -> what is sent
        self._target = 0
        self._waiting: list[int] = []
        self._of_group: dict[int, float] = {}  # when the target got a signal as well
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
            self._of_group[number] = time.monotonic()

    def handle_carrier(self, number: int, frame: _Frame) -> None:
        """Pass on what a carrier stands for, unless it came to the group a moment ago."""
        noted = self._of_group.pop(self._sent_as[number], None)
        if noted is None or time.monotonic() - noted > _MOMENT_SECONDS:
            self.handle(number, frame)


class FirstProcess:
    """Within it, the signals of this process go to the one that `relay` is told of."""

    def __init__(self) -> None:
        self.relay = Relay(_CARRIER)
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Relay:
        for number in _PASSED_ON:
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup leaves it
                self._before[number] = signal.signal(number, self.relay.handle)
        return self.relay

    def __exit__(self, *_exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def between() -> Relay:
    """The relay of a process between the first and the last, which gets carriers."""
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
    return frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, *_CARRIED}))


def let_go(held_before: frozenset[int]) -> None:
    """Let those come that waited."""
    signal.pthread_sigmask(signal.SIG_SETMASK, held_before)


def ignored_signals() -> frozenset[int]:
    """The signals that a program is to ignore, as whoever started us wants it."""
    return frozenset(one for one in _PASSED_ON if signal.getsignal(one) == signal.SIG_IGN)


def restore(ignored: frozenset[int]) -> None:
    """What a new program starts with: Python and we have changed some."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        wanted = signal.SIG_IGN if number in ignored else signal.SIG_DFL
        if signal.getsignal(number) not in (wanted, None):
            signal.signal(number, wanted)
