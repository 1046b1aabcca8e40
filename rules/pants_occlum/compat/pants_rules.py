"""Pants' own rules by their names in current Pants, and what else of Pants lies elsewhere there."""

from __future__ import annotations

from pants_occlum.compat.versions import ENVIRONMENTS_MOVED, NATIVE

if ENVIRONMENTS_MOVED:
    from pants.core.environments.subsystems import EnvironmentsSubsystem
    from pants.core.environments.target_types import (
        EnvironmentField,
        EnvironmentTarget,
        LocalEnvironmentTarget,
        RemotePlatformField,
    )
else:
    from pants.core.util_rules.environments import (
        EnvironmentField,
        EnvironmentsSubsystem,
        EnvironmentTarget,
        LocalEnvironmentTarget,
        RemotePlatformField,
    )

if NATIVE:
    from pants.core.goals.package import environment_aware_package
    from pants.core.util_rules.source_files import determine_source_files
    from pants.engine.internals.graph import (
        find_owners,
        find_valid_field_sets,
        resolve_target,
        resolve_targets,
        resolve_unparsed_address_inputs,
    )
    from pants.engine.intrinsics import (
        add_prefix,
        create_digest,
        digest_subset_to_digest,
        digest_to_snapshot,
        download_file,
        execute_process,
        get_digest_contents,
        get_digest_entries,
        merge_digests,
        path_globs_to_paths,
        remove_prefix,
    )
    from pants.engine.process import execute_process_or_raise
else:
    from pants_occlum.compat.pants_rules_by_get import (
        add_prefix,
        create_digest,
        determine_source_files,
        digest_subset_to_digest,
        digest_to_snapshot,
        download_file,
        environment_aware_package,
        execute_process,
        execute_process_or_raise,
        find_owners,
        find_valid_field_sets,
        get_digest_contents,
        get_digest_entries,
        merge_digests,
        path_globs_to_paths,
        remove_prefix,
        resolve_target,
        resolve_targets,
        resolve_unparsed_address_inputs,
    )

__all__ = [
    "EnvironmentField",
    "EnvironmentTarget",
    "EnvironmentsSubsystem",
    "LocalEnvironmentTarget",
    "RemotePlatformField",
    "add_prefix",
    "create_digest",
    "determine_source_files",
    "digest_subset_to_digest",
    "digest_to_snapshot",
    "download_file",
    "environment_aware_package",
    "execute_process",
    "execute_process_or_raise",
    "find_owners",
    "find_valid_field_sets",
    "get_digest_contents",
    "get_digest_entries",
    "merge_digests",
    "path_globs_to_paths",
    "remove_prefix",
    "resolve_target",
    "resolve_targets",
    "resolve_unparsed_address_inputs",
]
