"""The target type `occlum_sysroot`, and the field that names one."""

from __future__ import annotations

from pants.engine.target import COMMON_TARGET_FIELDS, StringField, Target
from pants.util.strutil import help_text

from pants_occlum.one_address import OneAddressField


class SysrootRootField(StringField):
    alias = "root"
    default = "/"
    help = help_text(
        """
        The directory that stands for `/`: the host's own, or an extracted or debootstrapped root
        file system. A relative one starts at the build root. Absolute links resolve inside it.
        """
    )


class SysrootLockfileField(StringField):
    alias = "lockfile"
    help = help_text(
        """
        The file that pins what images take from the sysroot: `./` relative to this BUILD file, else
        to the build root. `generate-lockfiles --resolve=<address of this target>` writes it, and
        `[occlum].lock` says what it is good for. Commit it.
        """
    )


class OcclumSysroot(Target):
    alias = "occlum_sysroot"
    core_fields = (*COMMON_TARGET_FIELDS, SysrootRootField, SysrootLockfileField)
    help = help_text(
        """
        Where absolute paths of BOMs are looked up, and the lock file that pins what is there.

        An image or a BOM names it with `sysroot=`; for all others `[occlum].sysroot` does.
        """
    )


class SysrootField(OneAddressField):
    alias = "sysroot"
    help = help_text(
        """
        The `occlum_sysroot` or `occlum_packages` in which absolute paths are looked up. An image
        has one: it and its BOMs must not name different ones. Default: `[occlum].sysroot`.
        """
    )
