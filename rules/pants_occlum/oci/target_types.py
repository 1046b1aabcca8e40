"""Target types: `rune_bundle` and `oci_image`."""

from __future__ import annotations

from pants.engine.target import (
    COMMON_TARGET_FIELDS,
    BoolField,
    DictStringToStringField,
    IntField,
    StringField,
    StringSequenceField,
    Target,
    TriBoolField,
    ValidNumbers,
)
from pants.util.strutil import help_text

from occlum_build.oci.grouping import DEFAULT_BUDGET
from occlum_build.oci.layer import GZIP, MEDIA_TYPES
from occlum_build.oci.runtimes import RUNTIMES
from occlum_build.oci.settings import LOG_LEVELS, RA_TYPES
from pants_occlum.compat.pants_rules import EnvironmentField
from pants_occlum.dist.output_path import DistPathField
from pants_occlum.findings import AllowField
from pants_occlum.one_address import OneAddressField


class BundleEnclaveField(OneAddressField):
    alias = "enclave"
    help = "The `occlum_enclave` whose instance is in the bundle. Give this or `image`."


class BundleImageField(OneAddressField):
    alias = "image"
    help = help_text(
        """
        The `occlum_image` that is the bundle's root file system: a plain container, or what an
        enclave runtime other than Occlum loads. Give this or `enclave`.
        """
    )


class BundleRuntimeField(StringField):
    alias = "runtime"
    valid_choices = tuple(sorted(RUNTIMES))
    help = help_text(
        """
        What runs the program: an enclave runtime, or `runc` for a container without an enclave.
        Default: `occlum` with `enclave`, `runc` with `image`.
        """
    )


class BundleArgsField(StringSequenceField):
    alias = "args"
    required = True
    help = "The program, for an enclave its path inside of it, and its arguments."


class ContainerEnvField(StringSequenceField):
    alias = "env"
    help = "The environment of the program, `NAME=value`."


class ContainerCwdField(StringField):
    alias = "cwd"
    help = help_text(
        """
        The working directory. An enclave's instance stands in `/run/rune`, which is the default for
        one.
        """
    )


class RuntimePathField(StringField):
    alias = "runtime_path"
    help = "The enclave runtime's library (PAL) on the host. Default: where its package puts it."


class RuntimeArgsField(StringSequenceField):
    alias = "runtime_args"
    help = help_text(
        """
        The arguments of the enclave runtime, without commas and blanks. Default: for Occlum the
        instance directory, for WAMR and the skeleton `debug`.
        """
    )


class LogLevelField(StringField):
    alias = "log_level"
    valid_choices = LOG_LEVELS
    help = "The log level of the enclave runtime. Default: `info`."


class RaTypeField(StringField):
    alias = "ra_type"
    valid_choices = RA_TYPES
    help = "The kind of remote attestation."


class SpidField(StringField):
    alias = "ra_epid_spid"
    help = help_text(
        """
        The service provider's id for EPID attestation. The subscription key is a secret: set
        ENCLAVE_RA_EPID_SUB_KEY where the container is started.
        """
    )


class ContainerAnnotationsField(DictStringToStringField):
    alias = "annotations"
    help = "More annotations; those of rune are made from the other fields."


class HostnameField(StringField):
    alias = "hostname"
    default = "rune"
    help = "The host name in the container."


class ReadOnlyField(BoolField):
    alias = "read_only"
    default = False
    help = "Mount the root file system read-only."


class RuneBundle(Target):
    alias = "rune_bundle"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        BundleEnclaveField,
        BundleImageField,
        BundleRuntimeField,
        BundleArgsField,
        ContainerEnvField,
        ContainerCwdField,
        RuntimePathField,
        RuntimeArgsField,
        LogLevelField,
        RaTypeField,
        SpidField,
        ContainerAnnotationsField,
        HostnameField,
        ReadOnlyField,
        AllowField,
        DistPathField,
        EnvironmentField,
    )
    help = help_text(
        """
        An OCI runtime bundle for rune or runc: `bundle/config.json` and `bundle/rootfs`.

        What rune would refuse, or silently ignore, is an error or a warning of `package`.
        """
    )


class OciEnclaveField(OneAddressField):
    alias = "enclave"
    help = "The `occlum_enclave` whose instance is in the image."


class OciPlainImageField(OneAddressField):
    alias = "image"
    help = "The `occlum_image` that is the image's root file system."


class OciBundleField(OneAddressField):
    alias = "bundle"
    help = help_text(
        """
        A `rune_bundle`: the image has its root file system, program, environment and working
        directory, and rune's settings as variables, as rune reads them from an image.
        """
    )


class EntryPointField(StringSequenceField):
    alias = "entry_point"
    help = "The program and its first arguments. Default: the `args` of the bundle."


class CmdField(StringSequenceField):
    alias = "cmd"
    help = "Arguments for the entry point that are replaced by those of `docker run`."


class LabelsField(DictStringToStringField):
    alias = "labels"
    help = help_text(
        """
        More labels; the digest of the `occlum_image`, and the MRENCLAVE of an enclave, are set.
        """
    )


class OciAnnotationsField(DictStringToStringField):
    alias = "annotations"
    help = "Annotations of the manifest."


class RefNameField(StringField):
    alias = "ref_name"
    default = "latest"
    help = "The name of the image in its layout, which tools ask for: `oci:layout:latest`."


class MaxLayersField(IntField):
    alias = "max_layers"
    default = DEFAULT_BUDGET
    valid_numbers = ValidNumbers.positive_only
    help = "How many layers the image may have; beyond that the smallest become one."


class CompressionField(StringField):
    alias = "compression"
    default = GZIP
    valid_choices = tuple(MEDIA_TYPES)
    help = help_text(
        """
        How layers are compressed. `gzip` is read by every tool; `zstd` is smaller and faster to
        unpack, and takes a container runtime that knows it (containerd 1.5, Docker 23). An image
        shares layers with images of the same compression.
        """
    )


class OciFormatsField(StringSequenceField):
    alias = "formats"
    default = ("archive", "layout")
    valid_choices = ("archive", "layout")
    help = "What `package` writes: `layout`, the directory; `archive`, the same as `image.oci.tar`."


class AttachSbomField(TriBoolField):
    alias = "attach_sbom"
    help = help_text(
        """
        Attach the bills of materials and the provenance that the `occlum_image` has in `sbom`: they
        are in the layout, as referrers of the image, and `publish` pushes them with it (OCI 1.1).
        The digest of the image is the same with and without. Default: True, but False for an
        encrypted enclave, as they name each file of its image.
        """
    )


class OciRepositoriesField(StringSequenceField):
    alias = "repositories"
    help = help_text(
        """
        Where `publish` pushes the image: `registry.example/team/app:1.0`, several are allowed.
        Without a tag it is `latest`. An empty list keeps the image out of `publish`.
        """
    )


class OciImage(Target):
    alias = "oci_image"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        OciPlainImageField,
        OciEnclaveField,
        OciBundleField,
        EntryPointField,
        CmdField,
        ContainerEnvField,
        ContainerCwdField,
        LabelsField,
        OciAnnotationsField,
        RefNameField,
        MaxLayersField,
        CompressionField,
        OciFormatsField,
        AttachSbomField,
        OciRepositoriesField,
        AllowField,
        DistPathField,
        EnvironmentField,
    )
    help = help_text(
        """
        An OCI image of an `occlum_image`, an `occlum_enclave` or a `rune_bundle`, made without a
        daemon: the same bytes from the same files. Images share the layers that they have in
        common.
        """
    )
