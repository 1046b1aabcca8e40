"""What goes with an OCI image: bills of materials and provenance of the `occlum_image` in it."""

from __future__ import annotations

from pants.engine.fs import FileDigest
from pants.engine.target import Target, WrappedTargetRequest

from occlum_build.oci.referrers import Attached
from occlum_build.sbom.slsa import PREDICATE
from pants_occlum.compat.by_name import implicitly
from pants_occlum.compat.pants_rules import resolve_target
from pants_occlum.dist.digest import file_digests
from pants_occlum.image.sbom import MEDIA_TYPES, SLSA_FILE, SbomsRequest, write_sboms
from pants_occlum.image.target_types import SbomField
from pants_occlum.invalid import invalid_field
from pants_occlum.oci.rootfs import Rootfs
from pants_occlum.oci.target_types import AttachSbomField

# By which BuildKit names what a statement says, and tools find provenance among statements.
_PREDICATE_TYPE = "in-toto.io/predicate-type"


def goes_with(wanted: bool | None, *, is_shared: bool) -> bool:
    """Whether bills go with an image; they name each file of it, which an encrypted one hides."""
    return is_shared if wanted is None else wanted


async def attached_files(target: Target, rootfs: Rootfs) -> dict[Attached, FileDigest]:
    """What the image in a root file system has as `sbom`, unless an `oci_image` goes without."""
    wanted = target[AttachSbomField].value
    wrapped = await resolve_target(WrappedTargetRequest(rootfs.image, "an image"), **implicitly())
    formats = tuple(sorted(set(wrapped.target[SbomField].value or ())))
    if wanted and not formats:
        raise invalid_field(
            f"The field 'attach_sbom' of {target.address} is True, but its image {rootfs.image} "
            'has nothing that could go with it: set `sbom` there, as in `sbom=["cyclonedx"]`.'
        )
    if not formats or not goes_with(wanted, is_shared=rootfs.is_shared):
        return {}
    written = await write_sboms(SbomsRequest(rootfs.image, formats))
    files = await file_digests(written.digest)
    return {
        Attached(
            path,
            MEDIA_TYPES[path],
            f"sha256:{file.fingerprint}",
            file.serialized_bytes_length,
            ((_PREDICATE_TYPE, PREDICATE),) if path == SLSA_FILE else (),
        ): file
        for path, file in sorted(files.items())
    }
