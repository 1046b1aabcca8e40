"""The target types `occlum_archive` and `occlum_packages`: a root of distribution packages."""

from __future__ import annotations

from pants.engine.target import (
    COMMON_TARGET_FIELDS,
    BoolField,
    DictStringToStringField,
    SpecialCasedDependencies,
    StringField,
    StringSequenceField,
    Target,
)
from pants.util.strutil import help_text

from occlum_build.packages.config import MADE


class ArchiveMirrorsField(StringSequenceField):
    alias = "mirrors"
    required = True
    help = help_text(
        """
        Where the archive is, tried in order: a base (`http:`, `https:`, `file:/directory`), or a
        template with `{path}`, `{name}`, `{sha256}` or `{snapshot}`. `//directory` is below the
        build root. A mirror is no part of any lock file: another one gives the same image.
        """
    )


class ArchiveSuitesField(StringSequenceField):
    alias = "suites"
    required = True
    help = help_text(
        """
        The suites, such as `["jammy", "jammy-updates", "jammy-security"]`. One that ends in `/` is
        a flat repository.
        """
    )


class ArchiveComponentsField(StringSequenceField):
    alias = "components"
    default = ("main",)
    help = "The components of each suite, such as `main` and `universe`; not of a flat repository."


class ArchiveKeyringField(StringField):
    alias = "keyring"
    required = True
    help = help_text(
        """
        A file with the OpenPGP certificates, armoured or not, of which one must have signed each
        suite: `./` relative to this BUILD file, else to the build root. Whatever else this machine
        trusts does not count.
        """
    )


class ArchiveOnlyField(StringSequenceField):
    alias = "only"
    help = help_text(
        """
        Patterns of names of packages, such as `["occlum-*"]`: all that this archive may supply.
        Default: everything.
        """
    )


class ArchiveAllowExpiredField(BoolField):
    alias = "allow_expired"
    default = False
    help = help_text(
        """
        Take suites past their `Valid-Until`, and older ones than the lock file has, as those of a
        snapshot are.
        """
    )


class OcclumArchive(Target):
    alias = "occlum_archive"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        ArchiveMirrorsField,
        ArchiveSuitesField,
        ArchiveComponentsField,
        ArchiveKeyringField,
        ArchiveOnlyField,
        ArchiveAllowExpiredField,
    )
    help = help_text(
        """
        An archive of Debian packages: where it is, and who signs it.

        Lock files name it by the name of this target. See docs/packages.md.
        """
    )


class PackagesArchivesField(SpecialCasedDependencies):
    alias = "archives"
    help = help_text(
        """
        The addresses of `occlum_archive` targets. The highest version of a package wins, and the
        first archive where versions are equal. Without any, all packages are in `debs`.
        """
    )


class PackagesPackagesField(StringSequenceField):
    alias = "packages"
    required = True
    help = help_text(
        """
        What the root is to have, with all that it depends on: `name`, `name (>= 1)`,
        `name=version` or `name/suite`. A provider that is named here settles which one a virtual
        package is.
        """
    )


class PackagesDebsField(SpecialCasedDependencies):
    alias = "debs"
    help = help_text(
        """
        The addresses of targets with `.deb` files of the project, which outrank those of archives.
        """
    )


class PackagesWithoutField(StringSequenceField):
    alias = "without"
    help = help_text(
        """
        Packages that count as there: nothing is taken of them, nor for them.
        """
    )


class PackagesEssentialField(BoolField):
    alias = "essential"
    default = False
    help = "Also take all packages that are `Essential`, as debootstrap does."


class PackagesRecommendsField(BoolField):
    alias = "recommends"
    default = False
    help = "Also take what packages recommend, as apt does by default."


class PackagesLinksField(DictStringToStringField):
    alias = "links"
    help = help_text(
        """
        Links that the root has besides those of its packages, path to target. They take the place
        of derived ones (alternatives, merged `/usr`); an empty target removes one.
        """
    )


class PackagesMadeField(StringSequenceField):
    alias = "made"
    default = MADE
    help = help_text(
        f"""
        What is made in place of maintainer scripts, each only where its package is in the root.
        All there are: {", ".join(f"`{one}`" for one in MADE)}.
        """
    )


class PackagesMergedUsrField(BoolField):
    alias = "merged_usr"
    default = True
    help = help_text(
        """
        Whether `/bin`, `/lib` and the like are links to those of `/usr`, as in every suite of
        today.
        """
    )


class PackagesLockfileField(StringField):
    alias = "lockfile"
    required = True
    help = help_text(
        """
        The file that pins packages by their SHA-256: `./` relative to this BUILD file, else to the
        build root. `generate-lockfiles --resolve=<address of this target>` writes it, and a build
        takes what it says and nothing else. Commit it.
        """
    )


class OcclumPackages(Target):
    alias = "occlum_packages"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        PackagesArchivesField,
        PackagesPackagesField,
        PackagesDebsField,
        PackagesWithoutField,
        PackagesEssentialField,
        PackagesRecommendsField,
        PackagesLinksField,
        PackagesMadeField,
        PackagesMergedUsrField,
        PackagesLockfileField,
    )
    help = help_text(
        """
        A root made of distribution packages, which stands for `/` in place of a host: a sysroot.

        A build reads the lock file alone, and gives the same image on every machine. See
        docs/packages.md.
        """
    )
