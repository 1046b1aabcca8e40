"""Keys of an enclave: read here, never part of a digest, an argument or the environment."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pants.engine.addresses import Address
from pants.engine.rules import Rule
from pants.option.global_options import NamedCachesDirOption

from occlum_build.errors import OcclumError
from occlum_build.occlum.encrypted_cache import Limits
from occlum_build.occlum.signing import KeyFile, Signer, SignerCommand, open_signer
from occlum_build.sefs.keys import read_key_file
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules
from pants_occlum.problems import told_of
from pants_occlum.process.execution import Execution
from pants_occlum.process.tool_process import link_in_cache
from pants_occlum.subsystem import OcclumSubsystem

KEY_CACHE, KEY_DIR = "occlum_image_key", ".key"
ENCRYPTED_CACHE, ENCRYPTED_DIR = "occlum_encrypted", ".encrypted"


@dataclass(frozen=True)
class ImageKeyRequest:
    address: Address


@dataclass(frozen=True)
class KeptEncrypted:
    """The cache of what was encrypted, in a directory; `key` authenticates its indexes."""

    folder: str
    limits: Limits
    key: str = field(repr=False)

    def arguments(self, name: str) -> tuple[str, ...]:
        """Those of the process that encrypts, for an entry."""
        place = f"{ENCRYPTED_DIR}/{self.link}"
        return (place, name, str(self.limits.most_bytes), str(self.limits.days))

    @property
    def link(self) -> str:
        """The name in the named cache: runs that keep in different directories may be at once."""
        return hashlib.sha256(os.fsencode(self.folder)).hexdigest()


@dataclass(frozen=True)
class ImageKey:
    """The image key by its fingerprint, an HMAC that says nothing about it.

    A process reads it through a link of that name in a named cache, and compares: neither the key
    nor the path of its file is part of the process.
    """

    fingerprint: str
    cache: KeptEncrypted | None = None

    @property
    def path(self) -> str:
        return f"{KEY_DIR}/{self.fingerprint}"


@dataclass(frozen=True)
class EnclaveSignerRequest:
    address: Address


@dataclass(frozen=True)
class EnclaveSigner:
    """Who signs, None for the public test key, and MRSIGNER, so that a new key is seen."""

    signer: Signer | None
    mrsigner: str


# Looked at in each session, as a key file may have changed.
@_uncacheable_rule
async def image_key(
    request: ImageKeyRequest,
    occlum: OcclumSubsystem,
    execution: Execution,
    named_caches_dir: NamedCachesDirOption,
) -> ImageKey:
    if execution.remote_execution:
        raise OcclumError(
            "usage",
            f"{request.address} is to be encrypted, which is done on this machine only",
            hint="build it with --no-remote-execution, or in a `local_environment`",
        )
    file = _absolute(occlum.image_key_file, "image_key_file")
    if file is None:
        raise OcclumError(
            "usage",
            f"{request.address} is to be encrypted, but there is no image key",
            hint="make one with `occlum-build gen-image-key`, and name it with "
            "[occlum].image_key_file",
        )
    with told_of("[occlum].image_key_file"), read_key_file(Path(file)) as read:
        fingerprint, cache_key = read.fingerprint(), read.cache_key()
    key = ImageKey(fingerprint, _encrypted_cache(occlum, named_caches_dir, cache_key))
    link_in_cache(file, str(named_caches_dir.val / KEY_CACHE / key.fingerprint))
    return key


def _encrypted_cache(
    occlum: OcclumSubsystem, named_caches_dir: NamedCachesDirOption, key: str
) -> KeptEncrypted | None:
    """None where nothing is to be kept.

    The directory is not a named cache itself, as CI systems keep and share those.
    """
    if not occlum.encrypted_cache:
        return None
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(home):  # then the specification has it ignored
        home = os.path.expanduser("~/.cache")
    folder = _absolute(occlum.encrypted_cache_dir, "encrypted_cache_dir")
    folder = folder or os.path.join(home, "pants-occlum", "encrypted")
    most_bytes = max(occlum.encrypted_cache_mb, 0) * 1_000_000
    kept = KeptEncrypted(folder, Limits(most_bytes, max(occlum.encrypted_cache_days, 0)), key)
    link_in_cache(folder, str(named_caches_dir.val / ENCRYPTED_CACHE / kept.link))
    return kept


@_uncacheable_rule
async def enclave_signer(request: EnclaveSignerRequest, occlum: OcclumSubsystem) -> EnclaveSigner:
    key_file = _absolute(occlum.sign_key_file, "sign_key_file")
    public_key = _absolute(occlum.signer_public_key, "signer_public_key")
    signer: Signer | None = None
    if occlum.signer:
        if public_key is None:
            raise OcclumError("usage", "[occlum].signer needs [occlum].signer_public_key")
        signer = SignerCommand(tuple(occlum.signer), Path(public_key))
    elif key_file is not None:
        signer = KeyFile(Path(key_file))
    if signer is None:
        return EnclaveSigner(None, "")
    option = "signer_public_key" if occlum.signer else "sign_key_file"
    with told_of(f"[occlum].{option}"):
        return EnclaveSigner(signer, open_signer(signer).mrsigner)


def _absolute(value: str | None, option: str) -> str | None:
    if value is None:
        return None
    path = os.path.expanduser(value)
    if not os.path.isabs(path):
        raise OcclumError("usage", f"[occlum].{option} must be an absolute path, not {value!r}")
    return path


def rules() -> Iterable[Rule]:
    return collect_rules()
