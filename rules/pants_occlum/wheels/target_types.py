"""The fields of `occlum_wheels`: Python distributions of a lock file, as files of an image."""

from __future__ import annotations

from pants.engine.target import StringField, StringSequenceField
from pants.util.strutil import help_text


class WheelsResolveField(StringField):
    alias = "resolve"
    help = help_text(
        """
        The resolve whose lock file is taken, by its name in `[python].resolves`. The Python backend
        is needed to write that, with `generate-lockfiles`, and not to read it.
        """
    )


class WheelsLockfileField(StringField):
    alias = "lockfile"
    help = help_text(
        """
        The lock file itself, in place of `resolve`, as `pex3 lock create --style universal` writes
        it: `./` relative to this BUILD file, else to the build root.
        """
    )


class WheelsRequirementsField(StringSequenceField):
    alias = "requirements"
    help = help_text(
        """
        What is wanted of the lock file, with all that it needs: names, maybe with extras, as
        `["numpy", "uvicorn[standard]"]`. Default: all that the resolve is made of.
        """
    )


class WheelsPythonField(StringField):
    alias = "python"
    required = True
    help = help_text(
        """
        The version of CPython in the image: `"3.11"`, or `"3.11.2"` where a distribution asks for
        that.
        """
    )


class WheelsGlibcField(StringField):
    alias = "glibc"
    default = "2.31"
    help = help_text(
        """
        The version of glibc in the image: wheels of a later `manylinux` are not taken. Occlum's is
        2.31, or 2.35 in its build for Ubuntu 22.04.
        """
    )


class WheelsTargetField(StringField):
    alias = "target"
    default = "/usr/lib/python3/dist-packages"
    help = help_text(
        """
        The directory of the image that modules go to. Debian's Python looks in the default; others
        in such as `/usr/local/lib/python3.11/site-packages`.
        """
    )


class WheelsPrefixField(StringField):
    alias = "prefix"
    default = "/usr"
    help = help_text(
        """
        The directory of the image below which the rest goes: scripts to `bin`, headers to
        `include/python3.11/NAME`, data as it is.
        """
    )


class WheelsInterpreterField(StringField):
    alias = "interpreter"
    default = "/usr/bin/python3"
    help = "The program of the image that scripts name after `#!`."
