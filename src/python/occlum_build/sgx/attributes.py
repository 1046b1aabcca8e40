"""SGX attributes (flags and XFRM) of an enclave, their masks, and the save area they ask for."""

from __future__ import annotations

from dataclasses import dataclass

from occlum_build.sgx.records import pages_of
from occlum_build.sgx.xml_config import EnclaveConfig

U64 = 2**64 - 1

FLAG_DEBUG = 0x2
FLAG_MODE_64BIT = 0x4
FLAG_PROVISION_KEY = 0x10
FLAG_EINITTOKEN_KEY = 0x20
FLAG_KSS = 0x80
FLAG_AEX_NOTIFY = 0x400
_FLAGS_UNCHECKED = FLAG_DEBUG | 0x00FF000000000000

XFRM_LEGACY = 0x3
XFRM_AVX = 0x6
XFRM_MPX = 0x18
XFRM_AVX512 = 0xE6
XFRM_PKRU = 0x200
XFRM_AMX = 0x60000
_XFRM_KNOWN = XFRM_LEGACY | XFRM_AVX | XFRM_MPX | XFRM_AVX512 | XFRM_PKRU | XFRM_AMX

# Ascending: the save area of an enclave is the last one whose feature bits are all there.
_XSAVE_SIZES_BYTES = (
    (XFRM_LEGACY, 576),
    (XFRM_AVX, 832),
    (XFRM_MPX, 1088),
    (XFRM_AVX512, 2688),
    (XFRM_PKRU, 2752),
    (XFRM_AMX, 11008),
)
SSA_GPR_SIZE = 184


@dataclass(frozen=True)
class Attributes:
    """What SIGSTRUCT demands: a bit whose mask is 0 may be either way at run time."""

    flags: int
    flags_mask: int
    xfrm: int
    xfrm_mask: int

    @property
    def requested_xfrm(self) -> int:
        """The features the loader asks for: those demanded and those left open."""
        return ~self.xfrm_mask & U64 | self.xfrm & self.xfrm_mask

    @property
    def xsave_size(self) -> int:
        """Bytes of the XSAVE area in a save-state frame."""
        requested = self.requested_xfrm
        return [size for bits, size in _XSAVE_SIZES_BYTES if requested & bits == bits][-1]

    @property
    def ssa_frame_pages(self) -> int:
        """Pages of one save-state frame: XSAVE area and general registers."""
        return pages_of(self.xsave_size + SSA_GPR_SIZE)


def attributes_of(config: EnclaveConfig) -> Attributes:
    """The attributes a signing configuration stands for."""
    flags = FLAG_MODE_64BIT
    for name, flag in (
        ("ProvisionKey", FLAG_PROVISION_KEY),
        ("LaunchKey", FLAG_EINITTOKEN_KEY),
        ("EnableKSS", FLAG_KSS),
        ("EnableAEXNotify", FLAG_AEX_NOTIFY),
    ):
        if config[name]:
            flags |= flag
    flags_mask = ~_FLAGS_UNCHECKED & U64 | flags
    if config["DisableDebug"]:
        flags_mask |= FLAG_DEBUG
    xfrm, xfrm_mask = XFRM_LEGACY, XFRM_LEGACY | ~_XFRM_KNOWN & U64
    for name, feature in (("PKRU", XFRM_PKRU), ("AMX", XFRM_AMX)):
        # 0: must be off, 1: must be on, 2: either.
        if config[name] == 1:
            xfrm |= feature
        if config[name] != 2:
            xfrm_mask |= feature
    return Attributes(flags, flags_mask, xfrm, xfrm_mask)
