"""Pants' own rules by their names in current Pants, and what else of Pants lies elsewhere there."""

from __future__ import annotations

from pants_occlum.compat.versions import ENV_VARS_MOVED, ENVIRONMENTS_MOVED, NATIVE

if ENVIRONMENTS_MOVED:
    from pants.core.environments.target_types import EnvironmentField
else:
    from pants.core.util_rules.environments import EnvironmentField

if ENV_VARS_MOVED:
    from pants.core.util_rules.env_vars import environment_vars_subset
elif NATIVE:
    from pants.engine.internals.platform_rules import environment_vars_subset
else:
    from pants_occlum.compat.pants_rules_by_get import environment_vars_subset

if NATIVE:
    from pants.core.goals.package import environment_aware_package
    from pants.core.util_rules.source_files import determine_source_files
    from pants.core.util_rules.system_binaries import find_binary
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
        find_binary,
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
    "add_prefix",
    "create_digest",
    "determine_source_files",
    "digest_subset_to_digest",
    "digest_to_snapshot",
    "download_file",
    "environment_aware_package",
    "environment_vars_subset",
    "execute_process",
    "execute_process_or_raise",
    "find_binary",
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
