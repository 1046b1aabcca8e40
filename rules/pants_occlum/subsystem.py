"""The options `[occlum]` and `[skopeo]`."""

from __future__ import annotations

import enum
from typing import Any

from pants.option.option_types import (
    BoolOption,
    DictOption,
    EnumOption,
    IntOption,
    ShellStrListOption,
    StrListOption,
    StrOption,
)
from pants.option.subsystem import Subsystem
from pants.util.strutil import softwrap

from occlum_build.version import VERSION

DEFAULT_LOADER_CONFIG = "/opt/occlum/etc/template/occlum_elf_loader.config"


class Conflicts(enum.Enum):
    warn = "warn"
    error = "error"


class CpuLevel(enum.Enum):
    baseline = "baseline"
    v2 = "v2"
    v3 = "v3"
    v4 = "v4"


class LockMode(enum.Enum):
    off = "off"
    verify = "verify"
    require = "require"


class OcclumSubsystem(Subsystem):
    options_scope = "occlum"
    name = "Occlum"
    help = f"How images for Occlum are built, by pants-occlum {VERSION}."

    sysroot = StrOption(
        default="/",
        help=softwrap(
            """
            Where absolute paths of BOMs are looked up: an absolute directory (the host, or an
            extracted root file system; absolute links resolve inside it), or the address of an
            `occlum_sysroot` or `occlum_packages`. For images and BOMs that name none.
            """
        ),
    )
    lock = EnumOption(
        default=LockMode.off,
        help=softwrap(
            """
            What the lock file of an `occlum_sysroot` is good for. `off`: nothing. `verify`: a build
            fails when a file that it looks at is not as pinned, or not pinned. `require`: for a
            build there is nothing but what is pinned; files that this machine lacks come from the
            caches.
            """
        ),
    )
    share_host_files = BoolOption(
        default=False,
        help=softwrap(
            """
            Make the host's files of images outputs of processes, so that the remote cache has them
            for machines that lack them.
            """
        ),
    )
    archive_mirrors = DictOption[Any](
        help=softwrap(
            """
            Mirrors of this site, by the address of an `occlum_archive`, which are tried before its
            own: `{"path/to:ubuntu": ["file:/srv/mirror/ubuntu"]}`; `//directory` is below the
            build root. No lock file and no cache depends on them.
            """
        ),
    )
    share_packages = BoolOption(
        default=False,
        help=softwrap(
            """
            Make packages of an `occlum_packages` that this machine has outputs of processes, so
            that the remote cache is an archive of them, and ask it for others before mirrors.
            """
        ),
    )
    parallel_downloads = IntOption(
        default=8,
        advanced=True,
        help="How many packages of an `occlum_packages`, or wheels, are downloaded at a time.",
    )
    wheel_mirrors = StrListOption(
        help=softwrap(
            """
            Where wheels are on this site, tried in order before the URLs of lock files: bases or
            templates with `{path}`, `{name}` or `{sha256}`, as `file:/srv/wheels/{name}` or
            `//3rdparty/wheels/{name}` below the build root. No cache depends on them.
            """
        ),
    )
    loader_config = StrOption(
        default=DEFAULT_LOADER_CONFIG,
        help=softwrap(
            """
            Occlum's `occlum_elf_loader.config`: an absolute path in the sysroot, or a file below
            the build root. Where the default does not exist, Occlum's own lines whose loader
            exists in the sysroot apply.
            """
        ),
    )
    cpu_level = EnumOption(
        default=CpuLevel.baseline,
        help="The x86-64 level whose `glibc-hwcaps` libraries may be taken.",
    )
    conflicts = EnumOption(
        default=Conflicts.warn,
        help="What to do when two BOMs, or two lines of one, put different things at one path: "
        "warn, and let the later one win, or fail.",
    )
    allow = StrListOption(
        help=softwrap(
            """
            Codes of checks (docs/checks.md) whose findings are counted and not shown, of any
            target; with a reason as `"code: reason"`. Targets have a field `allow` of their own.
            """
        ),
    )
    toolchain_root = StrOption(
        default="/opt/occlum",
        help="Where Occlum is installed, for enclaves that name no `occlum_toolchain`.",
    )
    image_key_file = StrOption(
        default=None,
        help=softwrap(
            """
            The key file (`occlum-build gen-image-key`) of `occlum_rootfs`, and of enclaves with
            `encrypt=True`: an absolute path, readable by you alone. The key enters no cache, log or
            process input.
            """
        ),
    )
    encrypted_cache = BoolOption(
        default=True,
        help=softwrap(
            """
            Keep encrypted secure file systems in a directory of this machine, below no cache of
            Pants, so that a run without pantsd, or with a new one, need not encrypt again what it
            has. What lies there is ciphertext; where that is too much, turn it off.
            """
        ),
    )
    encrypted_cache_dir = StrOption(
        default=None,
        advanced=True,
        help=softwrap(
            """
            Where `[occlum].encrypted_cache` is: an absolute path. Default: `pants-occlum/encrypted`
            below `$XDG_CACHE_HOME`, or below `~/.cache`.
            """
        ),
    )
    encrypted_cache_mb = IntOption(
        default=10_000,
        advanced=True,
        help="How many megabytes `[occlum].encrypted_cache` may have; what was taken longest ago "
        "goes first.",
    )
    encrypted_cache_days = IntOption(
        default=30,
        advanced=True,
        help="After how many days `[occlum].encrypted_cache` drops what no run has taken.",
    )
    sign_key_file = StrOption(
        default=None,
        help=softwrap(
            """
            The PEM key (RSA-3072, exponent 3) that signs enclaves: an absolute path. Without it and
            without a signer, the toolchain's public test key signs, as in `occlum build`.
            """
        ),
    )
    signer = ShellStrListOption(
        help=softwrap(
            """
            A command that signs instead of a key file, for an HSM or a key service: it reads the
            256 bytes to sign and writes a 384-byte RSA signature (PKCS#1 v1.5, SHA-256).
            """
        ),
    )
    signer_public_key = StrOption(
        default=None,
        help="The PEM public key of `[occlum].signer`: an absolute path.",
    )
    tailor = BoolOption(
        default=True,
        advanced=True,
        help="Let `tailor` propose `occlum_bom` and `occlum_image` targets for BOM files.",
    )


class SkopeoSubsystem(Subsystem):
    options_scope = "skopeo"
    name = "skopeo"
    help = "How `publish` pushes OCI images: with the skopeo that is in PATH."

    insecure_registries = StrListOption(
        help=softwrap(
            """
            Registries (`host:port`) that are pushed to by plain HTTP, or without checking their
            certificates. Those on the loopback interface need not be listed.
            """
        ),
    )
    env_vars = StrListOption(
        default=["DOCKER_CONFIG", "HOME", "REGISTRY_AUTH_FILE", "TMPDIR", "XDG_RUNTIME_DIR"],
        advanced=True,
        help=softwrap(
            """
            The environment variables that skopeo sees besides PATH, by their names. The defaults
            are those by which it finds credentials. A proxy is to be added, as `HTTPS_PROXY`: its
            address may have a password in it, which Pants logs at the level `debug`.
            """
        ),
    )
