"""Where an enclave's instance is in the root file system of a container, and what of it."""

from __future__ import annotations

from occlum_build.occlum.instance import SIGNED_LIBOS
from occlum_build.oci.runtimes import INSTANCE, RUNE_DIRECTORY

# A container runtime mounts over the first three, Docker writes into /etc.
MOUNT_POINTS = ("dev", "proc", "sys", "etc", "tmp")
INSTANCE_PATH = f"{RUNE_DIRECTORY}/{INSTANCE}".lstrip("/")
_LIBOS = "build/lib/libocclum-libos"
# Left behind by a build, and of no use to a PAL.
_BUILD_ONLY = ("build/.Occlum_sys.json", "build/Enclave.xml", "build/image_config.json")


def in_container(path: str) -> bool:
    """Does a path of an instance belong into a container, as into `occlum package`'s archive?

    What is left out: the libOS before it was signed and the plain texts of what is in it.
    """
    is_unsigned = path.startswith(_LIBOS) and path != f"build/{SIGNED_LIBOS}"
    return path not in _BUILD_ONLY and not is_unsigned
