"""`publish` for `oci_image`: skopeo pushes the layout and what is attached, by their digests."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pants.core.goals.publish import (
    PublishFieldSet,
    PublishOutputData,
    PublishPackages,
    PublishProcesses,
    PublishRequest,
)
from pants.engine.fs import AddPrefix, CreateDigest
from pants.engine.process import InteractiveProcess, Process
from pants.engine.rules import Rule
from pants.engine.unions import UnionRule
from pants.util.frozendict import FrozenDict

from occlum_build.errors import OcclumError, Report
from occlum_build.oci.push import NO_TLS, TLS
from occlum_build.oci.repository import Repository, parse_repository
from occlum_build.shown import escaped
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import add_prefix, create_digest
from pants_occlum.dist.digest import digest_entries
from pants_occlum.invalid import invalid_field
from pants_occlum.oci.image import OciLayout, OciRequest, make_oci_layout
from pants_occlum.oci.target_types import OciRepositoriesField
from pants_occlum.problems import container_errors
from pants_occlum.process.client_env import ClientEnvRequest, client_env
from pants_occlum.process.tool_process import ToolProcessRequest, prepare_tool_process
from pants_occlum.subsystem import SkopeoSubsystem

_LAYOUT = "layout"


class PublishOciRequest(PublishRequest["PublishOciFieldSet"]):
    pass


@dataclass(frozen=True)
class PublishOciFieldSet(PublishFieldSet["PublishOciRequest"]):
    publish_request_type = PublishOciRequest
    required_fields = (OciRepositoriesField,)

    repositories: OciRepositoriesField


@dataclass(frozen=True)
class _SkopeoRequest:
    path: str


@dataclass(frozen=True)
class _Skopeo:
    program: str


# Here, where it is run, and not by Pants, which would look for it on a worker.
@_uncacheable_rule
async def find_skopeo(request: _SkopeoRequest) -> _Skopeo:
    program = shutil.which("skopeo", path=request.path)
    if program is None:
        raise OcclumError(
            "oci",
            "`publish` pushes images with skopeo, which is in no directory of PATH",
            hint="install it (on Debian: apt-get install skopeo)",
        )
    return _Skopeo(program)


@rule
async def publish_oci(request: PublishOciRequest, options: SkopeoSubsystem) -> PublishProcesses:
    address = request.field_set.address
    repositories = _repositories(request.field_set)
    if not repositories:
        reason = "as its field `repositories` is an empty list"
        return PublishProcesses([PublishPackages((escaped(str(address)),), description=reason)])
    wanted = ClientEnvRequest(("PATH", *options.env_vars))
    env = (await client_env(wanted, **implicitly())).values
    with container_errors(address, "published"):
        skopeo = (await find_skopeo(_SkopeoRequest(env.get("PATH", "")))).program
    layout = await make_oci_layout(OciRequest(address), **implicitly())
    digest = await create_digest(CreateDigest(digest_entries(layout.tree)))
    inputs = await add_prefix(AddPrefix(digest, _LAYOUT))
    published = []
    for repository in repositories:
        is_insecure = repository.is_loopback or repository.registry in options.insecure_registries
        tls = NO_TLS if is_insecure else TLS
        pushing = await prepare_tool_process(
            ToolProcessRequest(
                module="occlum_build.oci.push",
                argv=(_LAYOUT, layout.name, str(repository), skopeo, tls),
                description=f"Push {repository}",
                input_digest=inputs,
            )
        )
        published.append(_published(repository, layout, pushing, env))
    return PublishProcesses(published)


def _published(
    repository: Repository, layout: OciLayout, pushing: Process, env: Mapping[str, str]
) -> PublishPackages:
    place = f"{repository.registry}/{repository.path}"
    referrers = [f"{place}@{digest} ({media_type})" for media_type, digest in layout.referrers]
    data: dict[str, Any] = {"repository": str(repository), "digest": layout.name}
    if layout.referrers:
        data["referrers"] = tuple(
            FrozenDict({"artifactType": media_type, "digest": digest})
            for media_type, digest in layout.referrers
        )
    return PublishPackages(
        names=(f"{repository}@{layout.name}", *referrers),
        process=InteractiveProcess(
            pushing.argv,
            env=env,
            input_digest=pushing.input_digest,
            append_only_caches=pushing.append_only_caches,
            immutable_input_digests=pushing.immutable_input_digests,
        ),
        data=PublishOutputData(data),
    )


def _repositories(field_set: PublishOciFieldSet) -> tuple[Repository, ...]:
    texts = field_set.repositories.value
    if texts is None:
        raise invalid_field(
            f"{field_set.address} cannot be published: its field 'repositories' is not set. Name "
            'one, as in `repositories=["registry.example/team/app:1.0"]`, or keep the image out '
            "of `publish` with an empty list."
        )
    report = Report()
    found = []
    with container_errors(field_set.address, "published"):
        for text in texts:
            with report:
                found.append(parse_repository(text))
        report.raise_errors()
    return tuple(found)


def rules() -> Iterable[Rule | UnionRule]:
    return (*collect_rules(), *PublishOciFieldSet.rules())
