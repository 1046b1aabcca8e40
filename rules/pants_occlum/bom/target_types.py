"""The target types `occlum_bom`, `occlum_files`, `occlum_wheels`, and the field that names them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Optional

from pants.engine.addresses import Address
from pants.engine.target import (
    COMMON_TARGET_FIELDS,
    BoolField,
    Dependencies,
    DictStringToStringField,
    SingleSourceField,
    SpecialCasedDependencies,
    StringField,
    StringSequenceField,
    Target,
)
from pants.util.strutil import help_text

from occlum_build.bom.modes import MODE_HINT, parse_mode
from pants_occlum.invalid import invalid_field
from pants_occlum.sysroot.target_types import SysrootField
from pants_occlum.wheels.target_types import (
    WheelsGlibcField,
    WheelsInterpreterField,
    WheelsLockfileField,
    WheelsPrefixField,
    WheelsPythonField,
    WheelsRequirementsField,
    WheelsResolveField,
    WheelsTargetField,
)

# Pants' help reads these hints at run time, when Python 3.9 cannot join types with `|`.
_RawTexts = Optional[Iterable[str]]
_Texts = Optional[tuple[str, ...]]

DEFAULT_WORKSPACE = "occlum_instance"


class BomSourceField(SingleSourceField):
    expected_file_extensions: ClassVar[tuple[str, ...]] = (".yaml", ".yml")
    required = True
    help = help_text(
        """
        The BOM file, in the format of Occlum's `copy_bom`. An existing one works unchanged.
        """
    )


class BomDependenciesField(Dependencies):
    help = help_text(
        """
        The targets that own what the BOM names in the project.

        The owners of included BOMs, and of files and directories of the project that the BOM
        names, are inferred. Add the targets whose built artefacts the BOM names: what
        `./pants package` makes of a dependency is found where it is written, below `dist/` at the
        build root.
        """
    )


class IncludeDirsField(StringSequenceField):
    alias = "include_dirs"
    help = help_text(
        """
        Where included BOMs are looked for, after the including BOM's own directory.

        A path that begins with `./` is relative to this BUILD file, another relative one to the
        build root. An absolute one, as Occlum's `/opt/occlum/etc/template`, is looked up in the
        sysroot; where Occlum is not installed, a built-in `base.yaml` stands in for the one there.
        """
    )


class BomEnvField(StringSequenceField):
    alias = "env"
    help = help_text(
        """
        The variables that the BOM, and those it includes, may use: `NAME=value`, or only `NAME` to
        take the value from the environment that Pants runs in. No other variable is defined.
        """
    )


class WorkspaceField(StringField):
    alias = "workspace"
    help = help_text(
        f"""
        The directory that relative sources in the BOM start from; it need not exist.

        Default: `{DEFAULT_WORKSPACE}` beside the BOM, where users of Occlum stand, so that
        `../app.py` is the file beside the BOM. A path that begins with `./` is relative to this
        BUILD file, another one to the build root.
        """
    )


class LoaderConfigField(StringField):
    alias = "loader_config"
    help = help_text(
        """
        The `occlum_elf_loader.config` to use: a file of the project (`./` relative to this BUILD
        file, else to the build root) or an absolute path in the sysroot.

        Default: `[occlum].loader_config`.
        """
    )


class OcclumBom(Target):
    alias = "occlum_bom"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        BomSourceField,
        BomDependenciesField,
        IncludeDirsField,
        BomEnvField,
        WorkspaceField,
        LoaderConfigField,
        SysrootField,
    )
    help = help_text(
        """
        A bill of materials: the files of an image, as Occlum's `copy_bom` reads it.

        The `env`, `workspace` and `include_dirs` of the BOM that an image names also rule the BOMs
        that it includes.
        """
    )


class FilesTargetField(StringField):
    alias = "target"
    default = "/"
    help = "The directory of the image that everything here goes to; it is made."


class FilesField(StringSequenceField):
    alias = "files"
    help = help_text(
        """
        Files to copy, with the libraries they need: relative to this BUILD file, or absolute ones
        of the sysroot. Wildcards match within one directory.
        """
    )


class DirsField(StringSequenceField):
    alias = "dirs"
    help = help_text(
        """
        Directories to copy: relative to this BUILD file, or absolute ones of the sysroot. With a
        trailing slash the contents are copied instead of the directory itself.
        """
    )


class PackagesField(SpecialCasedDependencies):
    alias = "packages"
    help = help_text(
        """
        Targets (`pex_binary`, `archive`, ...) whose artefacts, as `package` builds them, come into
        the target directory; or whose files Pants makes or fetches (`shell_command`, ...).
        """
    )


class SymlinksField(DictStringToStringField):
    alias = "symlinks"
    help = help_text(
        """
        Links to make below the target directory: `{name: what it points to}`, as
        `{"bin/python": "python3.11"}`. A link that leads to nothing in the image is a warning.
        """
    )


class MkdirsField(StringSequenceField):
    alias = "mkdirs"
    help = help_text(
        """
        Directories to make below the target directory, with permission bits where they are not to
        be 0755: `["var/lib", "tmp:1777"]`.
        """
    )

    @classmethod
    def compute_value(cls, raw_value: _RawTexts, address: Address) -> _Texts:
        value = super().compute_value(raw_value, address)
        for item in value or ():
            name, _, digits = item.rpartition(":")
            if name and digits.isdigit() and parse_mode(digits) is None:
                raise invalid_field(
                    f"The {cls.alias!r} field in target {address} has {item!r}, but {digits} is no "
                    f"mode: {MODE_HINT}."
                )
        return value


def split_mode(value: str) -> tuple[str, int | None]:
    """The name and the permission bits that an item of `mkdirs` says, None where it says none."""
    name, _, digits = value.rpartition(":")
    mode = parse_mode(digits) if name else None
    return (value, None) if mode is None else (name, mode)


class AutodepField(BoolField):
    alias = "autodep"
    default = True
    help = help_text(
        """
        Also copy the shared libraries that `files` and `packages` need, and those that the ELF
        files in zip archives among these need.
        """
    )


class ExcludesField(StringSequenceField):
    alias = "excludes"
    help = "What to leave out of `dirs`: patterns as rsync's `--exclude` takes them."


class FilesDependenciesField(Dependencies):
    help = help_text(
        """
        Targets that own files named in `files` and `dirs`.

        They are inferred; list here what inference cannot see, or leave one out with `!`.
        """
    )


class OcclumFiles(Target):
    alias = "occlum_files"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        FilesDependenciesField,
        FilesTargetField,
        FilesField,
        DirsField,
        PackagesField,
        SymlinksField,
        MkdirsField,
        AutodepField,
        ExcludesField,
        LoaderConfigField,
        SysrootField,
    )
    help = help_text(
        """
        Files of an image, named here instead of in a BOM file.

        An `occlum_image` lists it among its `boms`. Everything goes below `target`: `mkdirs` are
        made first, then `symlinks`, `dirs`, and last `files` and `packages`.
        """
    )


class WheelsExcludesField(ExcludesField):
    help = "What to leave out, as `tests` or `*.pyi`: patterns as rsync's `--exclude` takes them."


class OcclumWheels(Target):
    alias = "occlum_wheels"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        WheelsResolveField,
        WheelsLockfileField,
        WheelsRequirementsField,
        WheelsPythonField,
        WheelsGlibcField,
        WheelsTargetField,
        WheelsPrefixField,
        WheelsInterpreterField,
        WheelsExcludesField,
        LoaderConfigField,
    )
    help = help_text(
        """
        Python distributions that a resolve of Pants locks, installed from wheels.

        An `occlum_image` lists it among its `boms`. Native modules get the libraries that they
        need, as all else. See docs/wheels.md.
        """
    )


class ImageBomsField(SpecialCasedDependencies):
    alias = "boms"
    required = True
    help = help_text(
        """
        The `occlum_bom`, `occlum_files` and `occlum_wheels` targets whose union is the image. Where
        two of them claim one path the later one wins, with a warning (see `[occlum].conflicts`).
        """
    )
