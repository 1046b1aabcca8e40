"""`publish` for `oci_image`: skopeo pushes the layout and what is attached, by their digests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pants.core.goals.publish import (
    PublishFieldSet,
    PublishOutputData,
    PublishPackages,
    PublishProcesses,
    PublishRequest,
)
from pants.core.util_rules.system_binaries import BinaryPathRequest
from pants.engine.env_vars import EnvironmentVars, EnvironmentVarsRequest
from pants.engine.fs import AddPrefix, CreateDigest
from pants.engine.process import InteractiveProcess, Process
from pants.engine.rules import Rule
from pants.engine.unions import UnionRule
from pants.util.frozendict import FrozenDict

from occlum_build.errors import OcclumError, Report
from occlum_build.oci.push import NO_TLS, TLS
from occlum_build.oci.repository import Repository, parse_repository
from occlum_build.shown import escaped
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import (
    add_prefix,
    create_digest,
    environment_vars_subset,
    find_binary,
)
from pants_occlum.dist.digest import digest_entries
from pants_occlum.invalid import invalid_field
from pants_occlum.oci.image import OciLayout, OciRequest, make_oci_layout
from pants_occlum.oci.target_types import OciRepositoriesField
from pants_occlum.problems import container_errors
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


async def _find_skopeo(env: EnvironmentVars) -> str:
    folders = tuple(folder for folder in env.get("PATH", "").split(":") if folder)
    request = BinaryPathRequest(binary_name="skopeo", search_path=folders)
    found = await find_binary(request, **implicitly())
    if found.first_path is None:
        raise OcclumError(
            "oci",
            "`publish` pushes images with skopeo, which is in no directory of PATH",
            hint="install it (on Debian: apt-get install skopeo)",
        )
    return found.first_path.path


@rule
async def publish_oci(request: PublishOciRequest, options: SkopeoSubsystem) -> PublishProcesses:
    address = request.field_set.address
    repositories = _repositories(request.field_set)
    if not repositories:
        reason = "as its field `repositories` is an empty list"
        return PublishProcesses([PublishPackages((escaped(str(address)),), description=reason)])
    env = await environment_vars_subset(
        **implicitly(EnvironmentVarsRequest(["PATH", *options.env_vars]))
    )
    with container_errors(address, "published"):
        skopeo = await _find_skopeo(env)
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
    repository: Repository, layout: OciLayout, pushing: Process, env: EnvironmentVars
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
