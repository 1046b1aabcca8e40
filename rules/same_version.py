"""Tells hatchling, for pyproject.toml, that the plugin needs the library of its own version."""

from __future__ import annotations

from hatchling.metadata.plugin.interface import MetadataHookInterface  # pants: no-infer-dep


class SameVersion(MetadataHookInterface):
    def update(self, metadata: dict[str, object]) -> None:
        """Add the requirement; `metadata` is that of the wheel, with its version."""
        metadata["dependencies"] = [f"occlum-build=={metadata['version']}"]
