"""How large what others made may be, by its kind: more is an error that says so (SECURITY.md)."""

from __future__ import annotations

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

# Bytes of a whole file that is read into memory.
ARCHIVE_INDEX_BYTES = 1 * GIB  # Packages of an archive, unpacked
ARCHIVE_RELEASE_BYTES = 8 * MIB  # InRelease, Release and Release.gpg
BOM_BYTES = 4 * MIB
CONFIG_BYTES = 1 * MIB  # Occlum.json, Enclave.xml, loader configuration, ld.so.conf, init_ra_conf
DOWNLOAD_BYTES = 8 * GIB  # of a file whose size is told nowhere, on the way to a disk
ENCLAVE_BYTES = 256 * MIB  # the libOS, and every other file of a toolchain
KEYRING_BYTES = 4 * MIB
KEY_BYTES = 64 * KIB  # key files, public keys, signatures, what a signer prints
LD_SO_CACHE_BYTES = 16 * MIB
LOCK_BYTES = 256 * MIB
MANIFEST_BYTES = 256 * MIB  # manifest.json, and what else has a row an entry
MEASUREMENT_BYTES = 16 * MIB  # it has a line an entry of the initfs
PACKAGE_DATABASE_BYTES = 64 * MIB
UNSIZED_BYTES = 1 * MIB  # of a copied file that says that it is empty, as those of /proc do
STATE_BYTES = 4 * KIB  # .__occlum_status, .sgx_mode, .ROOT_MAC
TOOLCHAIN_ARCHIVE_BYTES = 1 * GIB

# Containers in one another in a JSON document, and characters of a whole number in it.
JSON_DEPTH = 64
JSON_DIGITS = 1000


def shown_bytes(count: int) -> str:
    """A bound as text: `4 MiB`."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count} bytes"
