"""Fields by which a target owns files beside those of its sources: Pants 2.17 alone has them."""

from __future__ import annotations

from pants_occlum.compat.versions import ONE_OWNING_FIELD

if ONE_OWNING_FIELD:

    class SecondaryOwnerMixin:
        """Nothing: a target owns the files of its first field of sources."""
else:
    from pants.engine.target import SecondaryOwnerMixin

__all__ = ["SecondaryOwnerMixin"]
