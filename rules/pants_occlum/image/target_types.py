"""The target type `occlum_image`."""

from __future__ import annotations

from pants.engine.target import COMMON_TARGET_FIELDS, BoolField, StringSequenceField, Target
from pants.util.strutil import help_text, softwrap

from pants_occlum.bom.target_types import ImageBomsField
from pants_occlum.compat.pants_rules import EnvironmentField
from pants_occlum.dist.output_path import DistPathField
from pants_occlum.findings import AllowField
from pants_occlum.sysroot.target_types import SysrootField


class AllowMissingField(StringSequenceField):
    alias = "allow_missing"
    help = help_text(
        """
        Names of libraries (as the error lists them, `libfoo.so.1`) that may be missing from the
        image.
        """
    )


class PackageMetadataField(BoolField):
    alias = "package_metadata"
    default = False
    help = help_text(
        """
        Let the image tell scanners which packages it has: of each package that has a file in it
        `/var/lib/dpkg/status.d/<package>` and `<package>.md5sums`, as distroless images have them,
        and `/usr/share/doc/<package>/copyright`, and besides `os-release`. These files are part of
        the image, and of MRENCLAVE. Only with an `occlum_packages` as its `sysroot`.
        """
    )


class FormatsField(StringSequenceField):
    alias = "formats"
    default = ("dir",)
    valid_choices = ("dir", "tar")
    help = help_text(
        """
        What `package` writes: `dir`, the tree `image/`; `tar`, a deterministic `image.tar`.
        """
    )


class SbomField(StringSequenceField):
    alias = "sbom"
    default = ()
    valid_choices = ("cyclonedx", "spdx", "slsa")
    help = help_text(
        """
        What `package` writes beside the image of what it is made of: `cyclonedx`, a bill of
        materials as CycloneDX 1.6, `image.cdx.json`; `spdx`, one as SPDX 2.3, `image.spdx.json`;
        `slsa`, where it comes from, as SLSA provenance v1, `image.slsa.json`. They are the same
        wherever the image is built. They need `cyclonedx-python-lib` and `spdx-tools` in
        `[GLOBAL].plugins` (docs/sbom.md).
        """
    )


class ReportField(BoolField):
    alias = "report"
    default = False
    help = help_text(
        """
        Whether `package` also writes `report.html`, a page for a browser: what makes the image
        large, which file needs which, what was found wrong, the measurement of an enclave, and all
        entries with where they come from. It is one file that needs no network (docs/report.md).
        """
    )


class ImageOutputPathField(DistPathField):
    help = help_text(
        """
        The directory below `dist/` that the image, its `manifest.json` and its `image.digest` go
        to, as a relative path without `..`. Default: the target's directory and name,
        `path.to.dir/name`.
        """
    )


class OcclumImage(Target):
    alias = "occlum_image"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        ImageBomsField,
        AllowMissingField,
        PackageMetadataField,
        AllowField,
        SysrootField,
        FormatsField,
        SbomField,
        ReportField,
        ImageOutputPathField,
        EnvironmentField,
    )
    help = softwrap(
        """
        The root file system of an enclave: the files of its BOMs with all their libraries.

        `package` writes the tree, `manifest.json` (each entry, with why it is there) and
        `image.digest`, which is the same wherever the image is built from the same files.
        """
    )
