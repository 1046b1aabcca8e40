"""Signals on their way to a program that runs two processes further down.

A terminal sends its signals to the program itself, as all are one process group. What somebody
sends to our first process goes down as a real-time signal, which nobody else sends, so that the
program gets each once. The processes between ignore the originals.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
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
_OF_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
_CARRIER: dict[int, int] = {
    one: signal.SIGRTMIN + 1 + index for index, one in enumerate(_PASSED_ON)
}
_CARRIED = {carrier: one for one, carrier in _CARRIER.items()}
_Frame = Optional[FrameType]


class Relay:
    """Passes signals on to a process; those that come before it is known wait for it."""

    def __init__(self, sent_as: Mapping[int, int]) -> None:
        self._sent_as = sent_as  # what comes -> what is sent
        self._target = 0
        self._waiting: list[int] = []

    def pass_to(self, pid: int) -> None:
        self._target = pid
        while self._waiting:
            os.kill(pid, self._waiting.pop(0))

    def stop(self) -> None:
        """The process has ended: its number may be another's soon."""
        self._target = -1

    def handle(self, number: int, _frame: _Frame) -> None:
        if number in _OF_TERMINAL and _is_in_foreground():
            return
        sent = self._sent_as[number]
        if self._target > 0:
            os.kill(self._target, sent)
        elif self._target == 0:
            self._waiting.append(sent)


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
    return _relay({carrier: carrier for carrier in _CARRIED})


def last() -> Relay:
    """The relay of the process that starts the program."""
    return _relay(_CARRIED)


def _relay(sent_as: Mapping[int, int]) -> Relay:
    relay = Relay(sent_as)
    for carrier in sent_as:
        signal.signal(carrier, relay.handle)
    for number in _PASSED_ON:
        signal.signal(number, signal.SIG_IGN)
    return relay


def ignored_signals() -> frozenset[int]:
    """The signals that a program is to ignore, as whoever started us wants it."""
    return frozenset(one for one in _PASSED_ON if signal.getsignal(one) == signal.SIG_IGN)


def restore(ignored: frozenset[int]) -> None:
    """What a new program starts with: Python and we have changed some."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        wanted = signal.SIG_IGN if number in ignored else signal.SIG_DFL
        if signal.getsignal(number) not in (wanted, None):
            signal.signal(number, wanted)


def _is_in_foreground() -> bool:
    """Whether a terminal sends its signals to our process group."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
