"""The target type `occlum_toolchain`."""

from __future__ import annotations

from pants.engine.target import COMMON_TARGET_FIELDS, StringField, Target
from pants.util.strutil import help_text

from pants_occlum.one_address import OneAddressField
from pants_occlum.sysroot.target_types import SysrootField


class ToolchainRootField(StringField):
    alias = "root"
    help = help_text(
        """
        Where Occlum is installed: an absolute directory, as `/opt/occlum`, or the root of a system
        that has it in `opt/occlum`. Give this, `archive` or `sysroot`.
        """
    )


class ToolchainArchiveField(OneAddressField):
    alias = "archive"
    help = help_text(
        """
        A `file` target whose file is a tar archive of Occlum: one of the project, or with
        `source=http_source(url, len=..., sha256=...)` one from the network.
        """
    )


class ToolchainSysrootField(SysrootField):
    help = help_text(
        """
        An `occlum_packages` with Occlum's packages, or an `occlum_sysroot` in which it is
        installed: in place of `root` and `archive`. Only files that its lock file pins count.
        """
    )


class ToolchainVersionField(StringField):
    alias = "version"
    help = "The version that the toolchain must have, `0.31.0`; any supported one by default."


class OcclumToolchain(Target):
    alias = "occlum_toolchain"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        ToolchainRootField,
        ToolchainArchiveField,
        ToolchainSysrootField,
        ToolchainVersionField,
    )
    help = help_text(
        """
        Occlum's own files that an enclave is made of: libOS, PAL, init, the musl libraries of the
        initfs and the default Occlum.json. Each is an input of the build by its content.
        """
    )
