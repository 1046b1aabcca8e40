"""The target type `occlum_image_test`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Optional

from pants.core.goals.test import TestTimeoutField
from pants.engine.addresses import Address
from pants.engine.target import (
    COMMON_TARGET_FIELDS,
    BoolField,
    DictStringToStringField,
    IntField,
    StringField,
    StringSequenceField,
    Target,
)
from pants.util.frozendict import FrozenDict
from pants.util.strutil import help_text

from occlum_build.run.expected import pattern_problem
from occlum_build.run.spec import READY
from pants_occlum.compat.pants_rules import EnvironmentField
from pants_occlum.invalid import invalid_field
from pants_occlum.one_address import OneAddressField

# Pants' help reads these hints at run time, when Python 3.9 cannot join types with `|`.
_Text = Optional[str]
_Texts = Optional[tuple[str, ...]]
_RawTexts = Optional[Iterable[str]]
_Number = Optional[int]
_Map = Optional[FrozenDict[str, str]]
_RawMap = Optional[Mapping[str, str]]
_MOST_EXIT = 255
_PORT, _MOST_PORT = re.compile("[1-9][0-9]{0,4}"), 65535
NAMESPACES = "namespaces"


class TestImageField(OneAddressField):
    alias = "image"
    required = True
    help = help_text(
        """
        The `occlum_image` that the program runs in, or an `occlum_enclave`: then in its image, with
        the environment, entry points, mounts and memory of its Occlum.json.
        """
    )
    __test__ = False


class TestArgsField(StringSequenceField):
    alias = "args"
    required = True
    help = "The program, an absolute path in the image, and its arguments."
    __test__ = False

    @classmethod
    def compute_value(cls, raw_value: _RawTexts, address: Address) -> _Texts:
        value = super().compute_value(raw_value, address)
        if not value:
            raise invalid_field(f"The 'args' field in target {address} names no program.")
        return value


class TestStdinField(StringField):
    alias = "stdin"
    help = "What the program reads from its standard input. Default: nothing."
    __test__ = False


class TestEnvField(StringSequenceField):
    alias = "env"
    help = help_text(
        """
        Variables that are set outside of the enclave, `NAME=value`: with an `occlum_enclave` those
        that its `env.untrusted` lists, with an `occlum_image` any.
        """
    )
    __test__ = False

    @classmethod
    def compute_value(cls, raw_value: _RawTexts, address: Address) -> _Texts:
        value = super().compute_value(raw_value, address)
        for one in value or ():
            if one.find("=") < 1:
                raise invalid_field(
                    f"The 'env' field in target {address} takes NAME=value, not {one!r}."
                )
        return value


class ExpectExitField(IntField):
    alias = "expect_exit"
    default = 0
    help = "The exit code that the program ends with; 128 and more: by a signal."

    @classmethod
    def compute_value(cls, raw_value: _Number, address: Address) -> _Number:
        value = super().compute_value(raw_value, address)
        if value is not None and not 0 <= value <= _MOST_EXIT:
            raise invalid_field(
                f"The 'expect_exit' field in target {address} is a number from 0 to {_MOST_EXIT}, "
                f"not {value}."
            )
        return value


class _ExpectTextField(StringField):
    @classmethod
    def compute_value(cls, raw_value: _Text, address: Address) -> _Text:
        value = super().compute_value(raw_value, address)
        _check_pattern(cls.alias, value or "", address)
        return value


class ExpectStdoutField(_ExpectTextField):
    alias = "expect_stdout"
    help = help_text(
        """
        What the program prints: all of it, or after `re:` a regular expression that matches
        somewhere in it (`^` and `$` at each line). Default: anything.
        """
    )


class ExpectStderrField(_ExpectTextField):
    alias = "expect_stderr"
    help = "What it prints on standard error, as `expect_stdout`. Default: anything."


class ExpectFilesField(DictStringToStringField):
    alias = "expect_files"
    help = help_text(
        """
        Files that are in the image after the program has ended, by absolute path, with their
        contents as in `expect_stdout`; `re:` alone for any content.
        """
    )

    @classmethod
    def compute_value(cls, raw_value: _RawMap, address: Address) -> _Map:
        value = super().compute_value(dict(raw_value) if raw_value is not None else None, address)
        for path, text in (value or {}).items():
            if not path.startswith("/"):
                raise invalid_field(
                    f"The 'expect_files' field in target {address} takes absolute paths in the "
                    f"image, not {path!r}."
                )
            _check_pattern(cls.alias, text, address)
        return value


class ServicesField(StringSequenceField):
    alias = "services"
    help = help_text(
        """
        Programs of the image that run meanwhile, each as a shell would split it:
        `"/bin/redis-server --port 6379"`. They and the program see one network, in which there is
        nothing else, and the same files.
        """
    )

    @classmethod
    def compute_value(cls, raw_value: _RawTexts, address: Address) -> _Texts:
        value = super().compute_value(raw_value, address)
        for one in value or ():
            if not split_service(one):
                raise invalid_field(
                    f"The 'services' field in target {address} has {one!r}, which names no "
                    "program, or has a quotation mark too many."
                )
        return value


class WaitForField(StringSequenceField):
    alias = "wait_for"
    help = help_text(
        """
        What must be there before the program starts: `tcp:6379` (127.0.0.1 accepts connections),
        `unix:/run/socket` (so does a socket), or `file:/run/ready`.
        """
    )

    @classmethod
    def compute_value(cls, raw_value: _RawTexts, address: Address) -> _Texts:
        value = super().compute_value(raw_value, address)
        for one in value or ():
            kind, _, where = one.partition(":")
            is_right = _is_port(where) if kind == "tcp" else where.startswith("/")
            if kind not in READY or not is_right:
                raise invalid_field(
                    f"The 'wait_for' field in target {address} takes `tcp:PORT`, `unix:/path` and "
                    f"`file:/path`, not {one!r}."
                )
        return value


class ImageTestTimeoutField(TestTimeoutField):
    help = help_text(
        """
        After how many seconds, that of services included, the test has failed. Default:
        `[test].timeout_default`; no more than `[test].timeout_maximum`.
        """
    )


class SkipWithoutField(StringSequenceField):
    alias = "skip_without"
    help = help_text(
        f"""
        What a machine may lack, so that the test is skipped there, with a warning and as such in
        its report, where it would have failed: absolute paths of the machine, without which its
        image cannot be built, and `{NAMESPACES}` for the right to run an image at all. Default:
        nothing, as a test that did not run shows nothing.
        """
    )

    @classmethod
    def compute_value(cls, raw_value: _RawTexts, address: Address) -> _Texts:
        value = super().compute_value(raw_value, address)
        for one in value or ():
            if one != NAMESPACES and not one.startswith("/"):
                raise invalid_field(
                    f"The 'skip_without' field in target {address} takes absolute paths and "
                    f"`{NAMESPACES}`, not {one!r}."
                )
        return value


class SkipImageTestsField(BoolField):
    alias = "skip_tests"
    default = False
    help = "Leave this test out of `test`."


class OcclumImageTest(Target):
    alias = "occlum_image_test"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        TestImageField,
        TestArgsField,
        TestStdinField,
        TestEnvField,
        ExpectExitField,
        ExpectStdoutField,
        ExpectStderrField,
        ExpectFilesField,
        ServicesField,
        WaitForField,
        ImageTestTimeoutField,
        SkipWithoutField,
        SkipImageTestsField,
        EnvironmentField,
    )
    help = help_text(
        """
        Runs a program of an image in `test`, with the image as its root, and compares what it does.

        There is no SGX and no libOS: it finds what an image lacks, as a library or a module that is
        loaded at run time, before an enclave does. What it writes to the image is thrown away.
        """
    )


def split_service(text: str) -> tuple[str, ...]:
    """The argv of a service; empty where it is none."""
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return ()


def _is_port(text: str) -> bool:
    return bool(_PORT.fullmatch(text)) and int(text) <= _MOST_PORT


def _check_pattern(alias: str, text: str, address: Address) -> None:
    problem = pattern_problem(text)
    if problem:
        raise invalid_field(f"The {alias!r} field in target {address}: {problem}.")
