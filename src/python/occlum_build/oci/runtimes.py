"""The enclave runtimes that rune drives, and what each expects of a bundle (docs/oci.md)."""

from __future__ import annotations

from dataclasses import dataclass

ENCLAVE_TYPES = ("AwsNitroEnclaves", "Jailhouse", "intelSgx")
RUNE_DIRECTORY = "/run/rune"
INSTANCE = "occlum_instance"


@dataclass(frozen=True)
class Runtime:
    """One runtime with its defaults; that of plain runc has no `enclave_type`.

    `pal_path` is the shared library that the host has; `cwd` the working directory, which must
    hold a file for each pattern in `needs`.
    """

    name: str
    enclave_type: str = ""
    pal_path: str = ""
    args: tuple[str, ...] = ()
    cwd: str = "/"
    needs: tuple[str, ...] = ()


RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime("runc"),
        Runtime(
            "occlum",
            "intelSgx",
            "/opt/occlum/build/lib/libocclum-pal.so",
            (INSTANCE,),
            RUNE_DIRECTORY,
        ),
        Runtime(
            "wamr",
            "intelSgx",
            "/usr/lib/libwamr-pal.so",
            ("debug",),
            RUNE_DIRECTORY,
            ("enclave.signed.so", "*.aot"),
        ),
        Runtime(
            "skeleton",
            "intelSgx",
            "/usr/lib/liberpal-skeleton-v2.so",
            ("debug",),
            RUNE_DIRECTORY,
            ("encl.bin", "encl.ss"),
        ),
        Runtime("nitro", "AwsNitroEnclaves", "/usr/lib64/libpal_ne.so"),
    )
}
