"""From a target to the BOM that it stands for, with what rules that BOM and all it includes."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pants.engine.addresses import Address, UnparsedAddressInputs
from pants.engine.rules import Rule
from pants.engine.target import Target, WrappedTargetRequest
from pants.util.frozendict import FrozenDict

from occlum_build.bom.model import Bom, CopyItem, DirItem, FileItem, LinkItem, Text
from occlum_build.bom.model import Target as BomTarget
from occlum_build.errors import Place
from pants_occlum.bom.project_sources import (
    ProjectSources,
    ProjectSourcesRequest,
    project_sources,
    wheel_directory,
)
from pants_occlum.bom.target_types import (
    DEFAULT_WORKSPACE,
    AutodepField,
    BomEnvField,
    BomSourceField,
    DirsField,
    ExcludesField,
    FilesField,
    FilesTargetField,
    IncludeDirsField,
    LoaderConfigField,
    MkdirsField,
    PackagesField,
    SymlinksField,
    WorkspaceField,
    split_mode,
)
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import resolve_target, resolve_targets
from pants_occlum.invalid import invalid_target
from pants_occlum.process.client_env import ClientEnvRequest, client_env
from pants_occlum.project_paths import project_path
from pants_occlum.subsystem import DEFAULT_LOADER_CONFIG, OcclumSubsystem
from pants_occlum.wheels.installed import InstalledWheels, installed_wheels
from pants_occlum.wheels.requests import WheelsOf
from pants_occlum.wheels.target_types import WheelsLockfileField

_VARIABLE = re.compile(r"[A-Za-z_]\w*(=.*)?", re.DOTALL)


@dataclass(frozen=True)
class BomRootRequest:
    address: Address


@dataclass(frozen=True)
class BomRoot:
    """A top BOM: its path, or the BOM itself where it stands in a BUILD file.

    `workspace` and the relative ones of `include_dirs` and `loader_config` are paths below the
    build root; absolute ones are in the sysroot.
    """

    address: Address
    bom: str | Bom
    workspace: str
    include_dirs: tuple[str, ...]
    env: FrozenDict[str, str]
    loader_config: str

    @property
    def loader_config_may_be_absent(self) -> bool:
        return self.loader_config == DEFAULT_LOADER_CONFIG


@dataclass(frozen=True)
class CopiedArtefact:
    """What `package` wrote for a dependency, below the build root."""

    path: str
    is_directory: bool


@rule(desc="Read the fields of a BOM target")
async def bom_root(request: BomRootRequest, occlum: OcclumSubsystem) -> BomRoot:
    wrapped = await resolve_target(
        WrappedTargetRequest(request.address, "the `boms` of an occlum_image"), **implicitly()
    )
    target = wrapped.target
    if target.has_field(BomSourceField):
        wanted = _variables(target)
        env: FrozenDict[str, str] = FrozenDict({})
        if wanted:  # else nothing of this BOM is looked at in each session
            env = (await client_env(ClientEnvRequest(wanted), **implicitly())).values
        return _of_file(target, env, occlum)
    if target.has_field(WheelsLockfileField):
        wheels = await installed_wheels(WheelsOf(target.address), **implicitly())
        return _of_wheels(target, wheels, occlum)
    if not target.has_field(FilesTargetField):
        raise invalid_target(
            f"{request.address} is a `{target.alias}`, but the `boms` of an `occlum_image` are "
            "`occlum_bom`, `occlum_files` and `occlum_wheels` targets."
        )
    project = await project_sources(ProjectSourcesRequest((target.address,)), **implicitly())
    named = await resolve_targets(
        **implicitly({target[PackagesField].to_unparsed_address_inputs(): UnparsedAddressInputs})
    )
    paths = _artefacts(target, [one.address for one in named], project)
    copied = [CopiedArtefact(path, is_directory=path not in project.files) for path in paths]
    return root_in_build_file(target, copied, occlum)


def _variables(target: Target) -> tuple[str, ...]:
    """The variables that a BOM may use, by names or with values; an error of Pants for others."""
    field = target[BomEnvField]
    for one in field.value or ():
        if not _VARIABLE.fullmatch(one):
            raise invalid_target(
                f"The {field.alias!r} field in target {target.address} takes `NAME` or "
                f"`NAME=value`, not {one!r}."
            )
    return tuple(field.value or ())


def _artefacts(target: Target, named: Iterable[Address], project: ProjectSources) -> list[str]:
    artefacts: list[str] = []
    for address in named:
        found = project.packages.get(address)
        if not found:
            raise invalid_target(
                f"The `packages` of {target.address} names {address}, but `package` writes no "
                "artefact of it. Files of the project go under `files` or `dirs`."
            )
        artefacts.extend(found)
    return artefacts


def _of_file(target: Target, env: FrozenDict[str, str], occlum: OcclumSubsystem) -> BomRoot:
    bom = target[BomSourceField].file_path
    directory = target.address.spec_path
    workspace = target[WorkspaceField].value
    return BomRoot(
        address=target.address,
        bom=bom,
        workspace=(
            project_path(workspace, directory)
            if workspace is not None
            else posixpath.join(posixpath.dirname(bom), DEFAULT_WORKSPACE)
        ),
        include_dirs=tuple(
            project_path(one, directory) for one in target[IncludeDirsField].value or ()
        ),
        env=env,
        loader_config=_loader_config(target, occlum),
    )


def _of_wheels(target: Target, wheels: InstalledWheels, occlum: OcclumSubsystem) -> BomRoot:
    """The BOM that an `occlum_wheels` target amounts to: each distribution is copied whole."""
    spec = str(target.address)
    place = Place(spec)
    copies = []
    for distribution in wheels.distributions:
        why = Place(f"{spec} ({distribution})")
        source = wheel_directory(target.address, distribution)
        copies.append(CopyItem(why, Text(source.replace("$", "$$"), why), None, None))
    bom = Bom(
        path=spec,
        excludes=tuple(Text(one, place) for one in target[ExcludesField].value or ()),
        targets=(BomTarget(Text("/", place), copy=tuple(copies)),),
    )
    return BomRoot(
        address=target.address,
        bom=bom,
        workspace="",
        include_dirs=(),
        env=FrozenDict({}),
        loader_config=_loader_config(target, occlum),
    )


def root_in_build_file(
    target: Target, artefacts: Sequence[CopiedArtefact], occlum: OcclumSubsystem
) -> BomRoot:
    """The BOM that an `occlum_files` target amounts to."""
    place = Place(str(target.address))

    def texts(values: Sequence[str] | None) -> tuple[Text, ...]:
        # A BUILD file has no variables of a BOM: a dollar sign is itself.
        return tuple(Text(value.replace("$", "$$"), place) for value in values or ())

    autodep = target[AutodepField].value
    copies = [
        CopyItem(
            place,
            None,
            texts(target[DirsField].value),
            tuple(FileItem(name, autodep=autodep) for name in texts(target[FilesField].value)),
        )
    ]
    if artefacts:
        up = posixpath.relpath("/", posixpath.join("/", target.address.spec_path))
        dirs = texts([one.path for one in artefacts if one.is_directory])
        files = texts([one.path for one in artefacts if not one.is_directory])
        items = (FileItem(text, autodep=autodep) for text in files)
        copies.append(CopyItem(place, Text(up, place), dirs, tuple(items)))
    mkdirs = [split_mode(value) for value in target[MkdirsField].value or ()]
    links = [
        LinkItem(src, name)
        for name, src in zip(
            texts(sorted(target[SymlinksField].value or {})),
            texts([one for _, one in sorted((target[SymlinksField].value or {}).items())]),
        )
    ]
    bom = Bom(
        path=str(target.address),
        excludes=tuple(Text(one, place) for one in target[ExcludesField].value or ()),
        targets=(
            BomTarget(
                texts([target[FilesTargetField].value or "/"])[0],
                tuple(DirItem(texts([path])[0], mode) for path, mode in mkdirs),
                tuple(links),
                tuple(copies),
            ),
        ),
    )
    return BomRoot(
        address=target.address,
        bom=bom,
        workspace=target.address.spec_path,
        include_dirs=(),
        env=FrozenDict({}),
        loader_config=_loader_config(target, occlum),
    )


def _loader_config(target: Target, occlum: OcclumSubsystem) -> str:
    value = target[LoaderConfigField].value
    if value is not None:
        return project_path(value, target.address.spec_path)
    return project_path(occlum.loader_config, "")


def rules() -> Iterable[Rule]:
    return collect_rules()
