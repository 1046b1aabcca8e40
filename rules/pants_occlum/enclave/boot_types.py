"""Target type: `occlum_rootfs`."""

from __future__ import annotations

from pants.engine.target import COMMON_TARGET_FIELDS, StringField, StringSequenceField, Target
from pants.util.strutil import help_text

from pants_occlum.compat.pants_rules import EnvironmentField
from pants_occlum.dist.output_path import DistPathField
from pants_occlum.findings import AllowField
from pants_occlum.one_address import OneAddressField


class RootfsImageField(OneAddressField):
    alias = "image"
    required = True
    help = "The `occlum_image` that is booted."


class LowerField(StringField):
    alias = "lower"
    required = True
    help = help_text(
        """
        The directory of the host that `lower/` is put into, where the enclave finds it: absolute,
        or relative to the directory in which the enclave is started. That is the instance where
        `occlum run` starts it, and need not be where another program does.
        """
    )


class UpperField(StringField):
    alias = "upper"
    required = True
    help = help_text(
        """
        The directory of the host for what is written, as `lower`. It must exist and is empty before
        the first boot: `package` writes an empty `upper/`.
        """
    )


class BootEntryPointField(StringField):
    alias = "entry_point"
    help = help_text(
        """
        The one program, or directory of programs, of the image that may be started. Default: the
        `entry_points` of the template's Occlum.json.
        """
    )


class HostfsSourceField(StringField):
    alias = "hostfs_source"
    help = help_text(
        """
        The directory of the host that the template's first mount of the type `hostfs` shows.
        Default: the one in its Occlum.json.
        """
    )


class HostfsTargetField(StringField):
    alias = "hostfs_target"
    help = "Where `hostfs_source` is mounted, a directory of the image. Default: `/host`."


class BootEnvField(StringSequenceField):
    alias = "env"
    help = help_text(
        """
        The trusted environment, `NAME=value`. Variables of other names in the template's
        `env.default` are kept.
        """
    )


class KeyFileField(StringField):
    alias = "key_file"
    help = help_text(
        """
        The file that the template's init reads the image key from: an absolute path in the initfs.
        Give this or `key_program`.
        """
    )


class KeyProgramField(StringField):
    alias = "key_program"
    help = help_text(
        """
        The program of the initfs, by its absolute path, that prints the image key for the
        template's init, say after remote attestation. Give this or `key_file`.
        """
    )


class OcclumRootfs(Target):
    alias = "occlum_rootfs"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        RootfsImageField,
        LowerField,
        UpperField,
        BootEntryPointField,
        HostfsSourceField,
        HostfsTargetField,
        BootEnvField,
        KeyFileField,
        KeyProgramField,
        AllowField,
        DistPathField,
        EnvironmentField,
    )
    help = help_text(
        """
        An encrypted root file system that an enclave mounts when it starts: runtime boot.

        `package` encrypts the image with the key in `[occlum].image_key_file`, without an enclave,
        and writes `lower/`, an empty `upper/`, `manifest.json` and `image.digest`. The enclave is
        an `occlum_enclave` that names this target in `boot`. What it boots is bound to the key, not
        to its MRENCLAVE: see docs/runtime-boot.md.
        """
    )
