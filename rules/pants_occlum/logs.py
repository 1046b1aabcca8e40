"""Loggers for messages that name files and values of others."""

from __future__ import annotations

import logging

from occlum_build.errors import OcclumError, Problem
from occlum_build.shown import escaped


class _Escaping(logging.Filter):
    """What is put into a message is shown on one line; problems escape what is in them."""

    def filter(self, record: logging.LogRecord) -> bool:
        args = record.args if isinstance(record.args, tuple) else ()
        record.msg = escaped(record.msg)
        record.args = tuple(
            one if isinstance(one, (Problem, OcclumError, int)) else escaped(str(one))
            for one in args
        )
        return True


def logger_of(name: str) -> logging.Logger:
    """The logger of a module, whose messages cannot move a cursor."""
    logger = logging.getLogger(name)
    logger.addFilter(_Escaping())
    return logger
